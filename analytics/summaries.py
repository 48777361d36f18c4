"""Exact summaries of readings: count, first and last time, and per axis min, max, sum, avg, median and percentiles.

One function for every door. It answers from rollups, exactly, and reads raw what no rollup covers; where that is more
than memory is for, it is gone through in groups, see `large_pools`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np

from analytics import reference
from analytics.large_pools import LargePool
from analytics.order_statistics import median_of, select
from analytics.pools import NO_VALUES, Pool, pools_of
from analytics.reference import AXES, NO_PERCENTILES, AxisSummary, Percentiles, Summary
from analytics.tiling import Span, TooLarge, read_slices
from analytics.whole_periods import of_whole_periods
from devices.columns import END_MICROSECOND, FIRST_MICROSECOND, Floats
from devices.models import Device
from devices.reading_ids import from_microseconds, microseconds
from devices.transactions import snapshot

MAX_VALUES = 4_000_000  # of slices of an axis that a request may hold in memory


def summarize(
    devices: Iterable[Device],
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    percentiles: Percentiles = NO_PERCENTILES,
) -> Summary:
    """The summary of all readings of the devices together, `start_time <= recorded_at < end_time`."""
    start, stop = _bounds(start_time, end_time)
    spans = [Span(0, device.pk, start, stop) for device in devices]
    return _summaries(spans, percentiles).get(0, Summary())


def summarize_each(
    devices: Iterable[Device],
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    percentiles: Percentiles = NO_PERCENTILES,
) -> dict[int, Summary]:
    """The summary of each device by id, for those that have readings in the window."""
    start, stop = _bounds(start_time, end_time)
    return _summaries([Span(device.pk, device.pk, start, stop) for device in devices], percentiles)


def summarize_between(
    devices: Sequence[Device], boundaries: Sequence[datetime], percentiles: Percentiles = NO_PERCENTILES
) -> list[Summary]:
    """The summaries of all readings of the devices together, from each of the boundaries to the next."""
    ends = [microseconds(boundary) for boundary in boundaries]
    spans = [
        Span(place, device.pk, start, stop) for place, (start, stop) in enumerate(pairwise(ends)) for device in devices
    ]
    summaries = _summaries(spans, percentiles)
    return [summaries.get(place, Summary()) for place in range(len(ends) - 1)]


def _bounds(start_time: datetime | None, end_time: datetime | None) -> tuple[int, int]:
    start = FIRST_MICROSECOND if start_time is None else max(microseconds(start_time), FIRST_MICROSECOND)
    return start, END_MICROSECOND if end_time is None else min(microseconds(end_time), END_MICROSECOND)


def _summaries(spans: Sequence[Span], percentiles: Percentiles) -> dict[int, Summary]:
    """The summary of each place that has readings, all of one moment."""
    spans = [span for span in spans if span.start < span.stop]
    with snapshot():
        kept = {} if percentiles else of_whole_periods(spans)
        spans = [span for span in spans if span.place not in kept]
        try:
            return kept | _of_pools(pools_of(spans), percentiles)
        except TooLarge:
            return kept | _in_halves(spans, percentiles)


def _of_pools(pools: Mapping[int, Pool], percentiles: Percentiles) -> dict[int, Summary]:
    statistics = [_order_statistics(pools, axis, percentiles) for axis in range(len(AXES))]
    return {place: _summary(pool, [found[place] for found in statistics], percentiles) for place, pool in pools.items()}


def _in_halves(spans: Sequence[Span], percentiles: Percentiles) -> dict[int, Summary]:
    """Where all places together are too much for memory: half of them, and the others."""
    places = sorted({span.place for span in spans})
    if len(places) == 1:
        return {places[0]: _of_large_pool(spans, percentiles)}
    middle = places[len(places) // 2]
    halves = ([span for span in spans if (span.place < middle) == is_first] for is_first in (True, False))
    return {place: summary for half in halves for place, summary in _summaries(half, percentiles).items()}


def _of_large_pool(spans: Sequence[Span], percentiles: Percentiles) -> Summary:
    """The summary of one place; by the plain path where more readings than memory is for are of one time."""
    try:
        pool = LargePool(spans)
    except TooLarge:
        start, stop = map(from_microseconds, (spans[0].start, spans[0].stop))
        return reference.summarize([span.device_id for span in spans], start, stop, percentiles)
    return _summary(pool, pool.order_statistics(percentiles), percentiles)


def _order_statistics(pools: Mapping[int, Pool], axis: int, percentiles: Percentiles) -> dict[int, Floats]:
    """Per place the values of the median's ranks, then those of the percentiles. TooLarge."""
    known = {place: pool.known_median(axis) for place, pool in pools.items()} if not percentiles else {}
    found = {place: np.array([median]) for place, median in known.items() if median is not None}
    plans = {place: pool.plan(axis, percentiles) for place, pool in pools.items() if place not in found}
    if sum(plan.size for plan in plans.values()) > MAX_VALUES:
        raise TooLarge
    slices = [part for place, plan in plans.items() for part in pools[place].of_rollups(plan.slices)]
    values = read_slices(axis, slices)
    for place, plan in plans.items():
        values[place] += pools[place].in_memory(axis, plan.slices)
    return found | {place: select(plan, np.concatenate([NO_VALUES, *values[place]])) for place, plan in plans.items()}


def _summary(pool: Pool | LargePool, statistics: Sequence[Floats], percentiles: Percentiles) -> Summary:
    axes = {name: _axis_summary(pool, axis, statistics[axis].tolist(), percentiles) for axis, name in enumerate(AXES)}
    return Summary(pool.count, from_microseconds(pool.first_at), from_microseconds(pool.last_at), **axes)


def _axis_summary(pool: Pool | LargePool, axis: int, values: list[float], percentiles: Percentiles) -> AxisSummary:
    middle = len(values) - len(percentiles)
    lowest, highest = pool.ends(axis)
    total = math.fsum(pool.sums(axis))
    by_text = dict(zip(percentiles, values[middle:], strict=True)) if percentiles else None
    return AxisSummary(lowest, highest, total, total / pool.count, median_of(values[:middle]), by_text)
