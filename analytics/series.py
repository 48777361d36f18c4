"""A device's readings as a curve: at most so many points, each with its exact count and least, middle, greatest value.

Points begin at multiples of a step, counted from 1970 in UTC. Where the readings are many, a step is the period of a
rollup, so that a year opens as fast as an hour; where they are few, they are the points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics.contents import FEWEST
from analytics.periods import MICROSECONDS, Level
from analytics.reference import AxisSummary, Summary
from analytics.summaries import summarize, summarize_between
from devices.lookups import readings_in_window
from devices.models import Device
from devices.reading_ids import from_microseconds, microseconds
from devices.transactions import snapshot

MOST_POINTS = 400  # twice as many where each is a rollup: so a month is hours, and a year is days
MOST_READ = 200_000  # readings of a window that are read one by one
MINUTE, HOUR, DAY, MONTH = 60, int(Level.HOUR), int(Level.DAY), int(Level.MONTH)
# In seconds, where readings are read; where rollups are, a step is one of these: medians of several need a search.
STEPS = [
    *(1, 2, 5, 10, 15, 30),
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 5, 10, 15)),
]


@dataclass(frozen=True)
class Point:
    """The readings with `start_time <= recorded_at < end_time`, of which there are some; or one reading, both equal."""

    start_time: datetime
    end_time: datetime
    summary: Summary


@dataclass(frozen=True)
class Series:
    """A curve, and the summary of all of it. An open end of its window has become that of the readings.

    `step` is in seconds, None where the points are the readings themselves.
    """

    start_time: datetime | None
    end_time: datetime | None
    summary: Summary
    step: int | None
    points: list[Point]


def series(
    device: Device, start_time: datetime | None = None, end_time: datetime | None = None, most: int = MOST_POINTS
) -> Series:
    """The curve of a device's readings with `start_time <= recorded_at < end_time`, of at most `most` points.

    Or twice as many, where each is a rollup.
    """
    with snapshot():
        summary = summarize([device], start_time, end_time)
        if summary.first_at is None or summary.last_at is None:
            return Series(start_time, end_time, summary, None, [])
        start_time, end_time = start_time or summary.first_at, end_time or summary.last_at + datetime.resolution
        if summary.count <= most:
            return Series(start_time, end_time, summary, None, _readings(device, start_time, end_time))
        start, stop = microseconds(start_time), microseconds(end_time)
        step = step_of(start, stop, summary.count, most)
        return Series(start_time, end_time, summary, step, _points(device, start, stop, step))


def step_of(start: int, stop: int, count: int, most: int) -> int:
    """The shortest step, in seconds, that cuts a window (in microseconds) with so many readings into few points."""
    filled = _filled_level((stop - start) / MICROSECONDS, count)
    steps = [(step, most) for step in STEPS if step < filled and count <= MOST_READ]
    steps += [(int(level), 2 * most) for level in sorted(Level) if level >= filled]
    fitting = (step for step, limit in steps if len(_starts(start, stop, step)) <= limit)
    return next(fitting, MONTH * -(-(stop - start) // (MONTH * MICROSECONDS * (most - 1))))


def _filled_level(seconds: float, count: int) -> Level:
    """The first level whose periods have the readings that a rollup needs, if they come evenly."""
    return next((level for level in sorted(Level) if count * level >= FEWEST * seconds), Level.MONTH)


def _starts(start: int, stop: int, step: int) -> range:
    """The multiples of a step from that at or before the start of a window."""
    length = step * MICROSECONDS
    return range(start // length * length, stop, length)


def _points(device: Device, start: int, stop: int, step: int) -> list[Point]:
    edges = [from_microseconds(moment) for moment in (start, *_starts(start, stop, step)[1:], stop)]
    points = map(Point, edges, edges[1:], summarize_between([device], edges))
    return [point for point in points if point.summary.count]


def _readings(device: Device, start_time: datetime, end_time: datetime) -> list[Point]:
    readings = readings_in_window(device.pk, start_time, end_time)
    rows = readings.oldest_first().values_list("recorded_at", "x", "y", "z")
    return [Point(time, time, _of_one(time, axes)) for time, *axes in rows]


def _of_one(time: datetime, axes: Sequence[float]) -> Summary:
    return Summary(1, time, time, *(AxisSummary(value, value, value, value, value) for value in axes))
