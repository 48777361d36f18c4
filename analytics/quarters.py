"""Parts of an hour from its rollup, which keeps for each of its sorted values in which quarter of the hour it was read.

A day of any time zone begins with a quarter. What is less than a quarter is read raw. A quarter takes two bits: a byte
would be 3 % of what a reading takes, and leave fewer readings to read than are worth that.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from django.db import connection

from analytics.models import Rollup
from analytics.packing import Packing
from analytics.periods import MICROSECONDS, Level, floor
from analytics.raw import MAX_RAW, Raw
from analytics.reference import AXES
from analytics.tiling import Span, TooLarge
from devices.columns import Bytes, Floats, Integers
from devices.lookups import chunks, look_up, time_from, time_to, within

QUARTER = 15 * 60 * MICROSECONDS
HOUR = Level.HOUR * MICROSECONDS
VALUES_A_QUERY = 500_000
PLACES = np.arange(0, 8, 2, dtype=np.uint8)  # of the bits of a quarter in a byte


def quarters_of(times: Integers, hour: int) -> Bytes:
    """In which quarter of an hour each time is, 0 to 3."""
    return ((times - hour) // QUARTER).astype(np.uint8)


def sort_with_quarters(values: Floats, quarters: Bytes) -> tuple[Floats, bytes]:
    """The values in ascending order, equal ones in that of their quarters; and these, packed."""
    order = np.lexsort((quarters, values))
    return values[order], _packed(quarters[order]).tobytes()


def read_parts(spans: Sequence[Span]) -> tuple[list[tuple[int, Raw]], list[Span]]:
    """What rollups know of the hours that the spans begin and end in, with its place, and the spans that are left.

    TooLarge where these are more values than memory is for.
    """
    wanted = [part for span in spans for part in _parts(span)]
    found = {part: ends for chunk in chunks(wanted) for part, ends in _known(chunk)}
    raws, size = [], 0
    for part, raw in _read(found):
        raws.append((part.place, raw))
        size += raw.axes.shape[1]
        if size > MAX_RAW[connection.vendor]:
            raise TooLarge
    return raws, [left for span in spans for left in _left_over(span, found)]


class _Part(NamedTuple):
    """Whole quarters of an hour, `start <= t < stop`, that count for the answer at `place`."""

    place: int
    device_id: int
    hour: int
    start: int
    stop: int


class _Ends(NamedTuple):
    """How many values the hour has, and the first and last time of the part's, None if it has no readings."""

    size: int
    first_at: int | None
    last_at: int | None


_KNOWN = f"""
SELECT wanted.column1, rollup.count,
       (SELECT min(recorded_at) FROM devices_reading WHERE device_id = {{device}}
        AND recorded_at >= wanted.column4 AND recorded_at < wanted.column5 AND {{within}}),
       (SELECT max(recorded_at) FROM devices_reading WHERE device_id = {{device}}
        AND recorded_at >= wanted.column4 AND recorded_at < wanted.column5 AND {{within}})
FROM (VALUES {{values}}) AS wanted
{{look_up}} analytics_rollup rollup
WHERE rollup.device_id = {{device}} AND rollup.level = {Level.HOUR} AND rollup.period_start = wanted.column3
AND rollup.status = {Rollup.Status.READY} AND rollup.x_quarters IS NOT NULL {{as_one}} rollup
"""
_VALUES = f"""
SELECT wanted.column1, rollup.count,
       {", ".join(f"rollup.{axis}_{part}" for axis in AXES for part in ("quarters", "grid", "decimals", "packed"))}
FROM (VALUES {{values}}) AS wanted
{{look_up}} analytics_rollup rollup
WHERE rollup.device_id = {{device}} AND rollup.level = {Level.HOUR} AND rollup.period_start = wanted.column3
{{as_one}} rollup
"""


def _parts(span: Span) -> Iterator[_Part]:
    """The whole quarters of the hours that a span covers in part: where it begins, and where it ends."""
    for hour in sorted({floor(span.start, Level.HOUR), floor(span.stop - 1, Level.HOUR)}):
        start = max(-(-span.start // QUARTER) * QUARTER, hour)
        stop = min(span.stop // QUARTER * QUARTER, hour + HOUR)
        if 0 < stop - start < HOUR:
            yield _Part(span.place, span.device_id, hour, start, stop)


def _known(parts: Sequence[_Part]) -> Iterator[tuple[_Part, _Ends]]:
    rows = ((i, part.device_id, part.hour, time_to(part.start), time_to(part.stop)) for i, part in enumerate(parts))
    times = within("recorded_at", ((part.start, part.stop) for part in parts))
    for number, count, first, last in look_up(_KNOWN, rows, within=times):
        yield parts[number], _Ends(count, time_from(first), time_from(last))


def _read(parts: dict[_Part, _Ends]) -> Iterator[tuple[_Part, Raw]]:
    """The values of the parts, as many hours at a time as memory is for."""
    for some in _by_size((part, ends.size) for part, ends in parts.items() if ends.first_at is not None):
        rows = sorted(look_up(_VALUES, ((i, part.device_id, part.hour) for i, part in enumerate(some))))
        axes = [_of_axis(some, rows, axis) for axis in range(len(AXES))]
        for part, *values in zip(some, *axes, strict=True):
            yield part, Raw(np.array(values), parts[part].first_at or 0, parts[part].last_at or 0)


def _of_axis(parts: Sequence[_Part], rows: Sequence[Any], axis: int) -> list[Floats]:
    """Per part its values of an axis, from the rows of `_VALUES`: one axis at a time, for an hour may be large."""
    counts = np.array([row[1] for row in rows])
    quarters, grids, decimals, contents = zip(*(row[2 + 4 * axis : 6 + 4 * axis] for row in rows), strict=True)
    hours = Packing.of(grids, counts, decimals).unpack(np.zeros_like(counts), counts, contents)
    return [_within(*hour) for hour in zip(parts, quarters, hours, strict=True)]


def _within(part: _Part, packed: Any, values: Floats) -> Floats:
    quarters = _unpacked(np.frombuffer(packed, dtype=np.uint8))[: values.size]
    first, last = ((time - part.hour) // QUARTER for time in (part.start, part.stop - 1))
    return values[(first <= quarters) & (quarters <= last)]


def _packed(quarters: Bytes) -> Bytes:
    """Four to a byte, the first lowest."""
    padded = np.append(quarters, np.zeros(-quarters.size % 4, dtype=np.uint8)).reshape(-1, 4)
    packed: Bytes = np.bitwise_or.reduce(padded << PLACES, axis=1).astype(np.uint8)
    return packed


def _unpacked(packed: Bytes) -> Bytes:
    quarters: Bytes = ((packed[:, None] >> PLACES) & 3).astype(np.uint8).ravel()
    return quarters


def _by_size(parts: Iterable[tuple[_Part, int]]) -> Iterator[list[_Part]]:
    some: list[_Part] = []
    size = 0
    for part, count in parts:
        if some and size + count > VALUES_A_QUERY:
            yield some
            some, size = [], 0
        some.append(part)
        size += count
    if some:
        yield some


def _left_over(span: Span, found: dict[_Part, _Ends]) -> Iterator[Span]:
    """The span without the parts of it that were found, which are in order of time."""
    position = span.start
    for part in _parts(span):
        if part in found:
            if position < part.start:
                yield span._replace(start=position, stop=part.start)
            position = part.stop
    if position < span.stop:
        yield span._replace(start=position)
