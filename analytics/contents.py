"""What a rollup keeps of a period, computed from the readings or from the rollups of shorter periods."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from analytics.order_statistics import grid, grid_step, median_of, middle_ranks
from analytics.packing import pack
from analytics.periods import COARSEST_FIRST, MICROSECONDS, Level
from analytics.pools import pools_of
from analytics.quarters import HOUR, quarters_of, sort_with_quarters
from analytics.raw import raw_parts
from analytics.reference import AXES
from analytics.tiling import Span, TooLarge
from devices.columns import Bytes, Floats

FEWEST = 256  # readings: fewer are as quickly read raw
MOST = 4_194_304  # readings: the 32 MiB of an axis are what a block may take of memory


class Axis(NamedTuple):
    """What a rollup keeps of an axis: its values in ascending order, their sum, and of an hour their quarters."""

    values: Floats
    sum: float
    quarters: bytes | None


class Content(NamedTuple):
    """What a rollup keeps; its axes can be gone through once."""

    size: int
    first_at: int
    last_at: int
    axes: Iterable[Axis]


def content_of(device_id: int, level: Level, start: int) -> Content | None:
    """What a period has, from finer rollups and readings. None where a rollup is not worth it, or too large."""
    span = span_of(device_id, level, start)
    try:
        content = of_readings(span) if level == Level.HOUR else _of_finer(span, level)
    except TooLarge:
        return None
    return content if content is not None and content.size >= FEWEST else None


def span_of(device_id: int, level: int, start: int) -> Span:
    """The time of a period of a device, for questions about it alone."""
    return Span(0, device_id, start, start + level * MICROSECONDS)


def of_readings(span: Span) -> Content | None:
    """What the readings of a period give; None where there are none, or too many. Of an hour, quarters too."""
    is_hour, size = span.stop - span.start == HOUR, 0
    ends: list[int] = []
    quarters: list[Bytes] = []
    columns: list[Floats] = []
    for times, axes in raw_parts(span):
        size += times.size
        if size > MOST:
            return None
        ends += [int(times.min()), int(times.max())]
        columns.append(axes)
        if is_hour:
            quarters.append(quarters_of(times, span.start))
    if not ends:
        return None
    of_each = np.concatenate(quarters) if is_hour else None
    # One after the other, as they are asked for: each may be tens of megabytes.
    sorted_axes = (_sorted(np.concatenate([part[axis] for part in columns]), of_each) for axis in range(len(AXES)))
    return Content(size, min(ends), max(ends), sorted_axes)


def _sorted(values: Floats, quarters: Bytes | None) -> Axis:
    ordered, packed = (np.sort(values), None) if quarters is None else sort_with_quarters(values, quarters)
    return Axis(ordered, float(ordered.sum()), packed)


def _of_finer(span: Span, level: Level) -> Content | None:
    pool = pools_of([span], [other for other in COARSEST_FIRST if other < level]).get(0)
    if pool is None or pool.count > MOST:
        return None
    axes = [Axis(np.sort(pool.all_values(axis)), math.fsum(pool.sums(axis)), None) for axis in range(len(AXES))]
    return Content(pool.count, pool.first_at, pool.last_at, axes)


def columns_of(name: str, axis: Axis) -> dict[str, Any]:
    """What a rollup keeps of an axis, by column."""
    median = median_of(axis.values[list(middle_ranks(len(axis.values)))])
    knots = grid(axis.values, grid_step(len(axis.values)))
    decimals, packed = pack(axis.values)
    return {
        f"{name}_sum": axis.sum,
        f"{name}_median": median,
        f"{name}_grid": knots.tobytes(),
        f"{name}_decimals": decimals,
        f"{name}_packed": packed,
        f"{name}_quarters": axis.quarters,
        f"{name}_values": b"",  # of an earlier release
    }
