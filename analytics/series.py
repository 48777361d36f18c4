"""A device's readings as a curve: at most so many points, each with its exact count and least, middle, greatest value.

Points begin at multiples of a step, counted from 1970 in UTC. From an hour on, a step is a multiple of a rollup's
period, so that a year opens as fast as an hour; where the readings are few, they are the points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics.periods import MICROSECONDS
from analytics.reference import AxisSummary, Summary
from analytics.summaries import summarize, summarize_between
from devices.models import Device, Reading
from devices.reading_ids import from_microseconds, microseconds
from devices.transactions import snapshot

MOST_POINTS = 400  # so that a year is a point a day, each of which is one rollup
MINUTE, HOUR, DAY = 60, 3_600, 86_400
# In seconds. Below an hour readings are read, or the quarters of rollups; from there on rollups alone.
STEPS = [
    *(1, 2, 5, 10, 15, 30),
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 5, 10, 15, 30, 60, 90, 180, 360)),
]
LONGEST_READ = 2 * DAY  # a longer window has no step below an hour


@dataclass(frozen=True)
class Series:
    """The start and the summary of each point that has readings; `step` in seconds, None where they are readings."""

    step: int | None
    points: list[tuple[datetime, Summary]]


def series(
    device: Device, start_time: datetime | None = None, end_time: datetime | None = None, most: int = MOST_POINTS
) -> Series:
    """The curve of a device's readings with `start_time <= recorded_at < end_time`, of at most `most` points."""
    readings = Reading.objects.filter(device=device).in_window(start_time, end_time).oldest_first()
    with snapshot():
        few = readings.values_list("recorded_at", "x", "y", "z")[: most + 1]
        if len(few) <= most:
            return Series(None, [(time, _of_one(time, axes)) for time, *axes in few])
        start, stop = _extent(device, start_time, end_time)
        step = step_of(start, stop, most)
        boundaries = _boundaries(start, stop, step)
        summaries = summarize_between([device], boundaries)
    return Series(step, [point for point in zip(boundaries, summaries, strict=False) if point[1].count])


def step_of(start: int, stop: int, most: int) -> int:
    """The shortest step, in seconds, that cuts a window (in microseconds) into no more than so many points."""
    least = HOUR if stop - start > LONGEST_READ * MICROSECONDS else 0
    steps = [step for step in STEPS if step >= least and len(_starts(start, stop, step)) <= most]
    return steps[0] if steps else STEPS[-1] * -(-(stop - start) // (STEPS[-1] * MICROSECONDS * (most - 1)))


def _extent(device: Device, start_time: datetime | None, end_time: datetime | None) -> tuple[int, int]:
    """The window in microseconds, an open end being that of the readings, of which there are some."""
    if start_time is not None and end_time is not None:
        return microseconds(start_time), microseconds(end_time)
    summary = summarize([device], start_time, end_time)
    first, last = start_time or summary.first_at, summary.last_at
    assert first is not None and last is not None  # noqa: S101, PT018
    return microseconds(first), microseconds(end_time) if end_time else microseconds(last) + 1


def _starts(start: int, stop: int, step: int) -> range:
    """The multiples of a step from that at or before the start of a window."""
    length = step * MICROSECONDS
    return range(start // length * length, stop, length)


def _boundaries(start: int, stop: int, step: int) -> list[datetime]:
    """Where points begin, the first at the window's start, and where the last one ends."""
    return [from_microseconds(moment) for moment in (start, *_starts(start, stop, step)[1:], stop)]


def _of_one(time: datetime, axes: Sequence[float]) -> Summary:
    return Summary(1, time, time, *(AxisSummary(*[value] * 5) for value in axes))
