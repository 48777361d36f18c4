"""Exact summaries of readings: count, first and last time, and per axis min, max, sum, avg, median and percentiles.

One function for every door. It answers from rollups, exactly, and reads raw what no rollup covers; where that is more
than memory is for, the plain path of `analytics.reference` answers.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np

from analytics import reference
from analytics.order_statistics import median_of, select
from analytics.pools import NO_VALUES, Pool, pools_of
from analytics.raw import TooManyRaw
from analytics.reference import AXES, NO_PERCENTILES, AxisSummary, Percentiles, Summary
from analytics.tiling import Span, read_slices
from devices.columns import END_MICROSECOND, FIRST_MICROSECOND, Floats
from devices.models import Device
from devices.reading_ids import from_microseconds, microseconds
from devices.transactions import snapshot


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
    with snapshot():
        try:
            pools = pools_of([span for span in spans if span.start < span.stop])
        except TooManyRaw:
            return _one_by_one(spans, percentiles)
        statistics = [_order_statistics(pools, axis, percentiles) for axis in range(len(AXES))]
    return {place: _summary(pool, [found[place] for found in statistics], percentiles) for place, pool in pools.items()}


def _one_by_one(spans: Sequence[Span], percentiles: Percentiles) -> dict[int, Summary]:
    """Where all places together are too much for memory: each alone; and one that is too much, by the plain path."""
    places = {span.place for span in spans}
    if len(places) > 1:
        alone = (_summaries([span for span in spans if span.place == place], percentiles) for place in sorted(places))
        return {place: summary for summaries in alone for place, summary in summaries.items()}
    start, stop = map(from_microseconds, (spans[0].start, spans[0].stop))
    return {spans[0].place: reference.summarize([span.device_id for span in spans], start, stop, percentiles)}


def _order_statistics(pools: Mapping[int, Pool], axis: int, percentiles: Percentiles) -> dict[int, Floats]:
    """Per place the values of the median's ranks, then those of the percentiles."""
    known = {place: pool.known_median(axis) for place, pool in pools.items()} if not percentiles else {}
    found = {place: np.array([median]) for place, median in known.items() if median is not None}
    plans = {place: pool.plan(axis, percentiles) for place, pool in pools.items() if place not in found}
    slices = [part for place, plan in plans.items() for part in pools[place].slices(plan)]
    values = read_slices(axis, slices)
    for place, plan in plans.items():
        values[place] += pools[place].in_memory(axis, plan)
    return found | {place: select(plan, np.concatenate([NO_VALUES, *values[place]])) for place, plan in plans.items()}


def _summary(pool: Pool, statistics: Sequence[Floats], percentiles: Percentiles) -> Summary:
    axes = {name: _axis_summary(pool, axis, statistics[axis].tolist(), percentiles) for axis, name in enumerate(AXES)}
    return Summary(pool.count, from_microseconds(pool.first_at), from_microseconds(pool.last_at), **axes)


def _axis_summary(pool: Pool, axis: int, values: list[float], percentiles: Percentiles) -> AxisSummary:
    middle = len(values) - len(percentiles)
    lowest, highest = pool.ends(axis)
    total = math.fsum(pool.sums(axis))
    by_text = dict(zip(percentiles, values[middle:], strict=True)) if percentiles else None
    return AxisSummary(lowest, highest, total, total / pool.count, median_of(values[:middle]), by_text)
