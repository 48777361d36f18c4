"""Curves agree with plain Python, point by point, and are cheap for any window."""

import os
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.building import build
from analytics.periods import MICROSECONDS
from analytics.series import DAY, HOUR, MINUTE, MONTH, MOST_POINTS, Series, series, step_of
from devices.models import Device
from tests.analytics.test_summaries_property import Example, devices_with, readings_and_windows
from tests.helpers import NEW_YEAR, at, stored
from tests.oracle import Sample, assert_agrees, oracle

pytestmark = pytest.mark.django_db

examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 150), derandomize=not examples, database=None, deadline=None)


def every(seconds: int, count: int) -> list[tuple[float, float, float, float]]:
    return [(n * seconds, (n * 7919) % 1009 / 8, float(-n), float(n % 17)) for n in range(count)]


def samples_of(rows: list[tuple[float, float, float, float]]) -> list[Sample]:
    return [(at(seconds), x, y, z) for seconds, x, y, z in rows]


def assert_is_the_curve_of(
    curve: Series, samples: list[Sample], start_time: datetime | None, end_time: datetime | None
) -> None:
    """Each point is the summary of the samples in it, and together they are all."""
    within = oracle(samples, start_time, end_time)
    assert_agrees(curve.summary, within)
    assert sum(point.summary.count for point in curve.points) == within.count
    for point, following in pairwise(curve.points):
        assert point.end_time <= following.start_time
    for point in curve.points if curve.step else ():
        assert_agrees(point.summary, oracle(samples, point.start_time, point.end_time))
    if curve.step is None:
        points = [(p.start_time, p.summary.x.median, p.summary.y.max, p.summary.z.min) for p in curve.points]
        chosen = (s for s in samples if (not start_time or start_time <= s[0]) and (not end_time or s[0] < end_time))
        assert points == sorted(chosen)


@thoroughly
@given(readings_and_windows(), st.integers(2, 12))
def test_a_curve_agrees_with_plain_python(example: Example, most: int) -> None:
    contents, start_time, end_time = example
    with devices_with(contents) as (device, *_):
        samples: list[Any] = list({content[1:] for content in contents if content[0] == 0})
        curve = series(device, start_time, end_time, most)
        assert len(curve.points) <= 2 * most
        assert_is_the_curve_of(curve, samples, start_time, end_time)


@pytest.mark.parametrize(
    ("start", "length"), [(0, DAY), (1234.5, DAY), (0, 2 * DAY + 1), (777, 3 * DAY), (HOUR, 20 * MINUTE), (0, 9 * DAY)]
)
def test_a_curve_from_rollups_agrees_with_plain_python(device: Device, start: float, length: float) -> None:
    rows = every(10, 3 * DAY // 10)
    stored(device, *rows)
    assert sum(build(device, NEW_YEAR + timedelta(days=70)))
    window = at(start), at(start + length)
    assert_is_the_curve_of(series(device, *window, most=100), samples_of(rows), *window)


@pytest.mark.parametrize(
    ("length", "step"),
    [(HOUR, 10), (6 * HOUR, MINUTE), (DAY, 5 * MINUTE), (2 * DAY, 10 * MINUTE), (7 * DAY, HOUR), (30 * DAY, HOUR),
     (60 * DAY, 6 * HOUR), (365 * DAY, DAY), (2 * 365 * DAY, DAY), (10 * 365 * DAY, MONTH),
     (290 * 365 * DAY, 9 * MONTH)],
)  # fmt: skip
def test_the_step_fits_the_window_of_a_reading_a_second(length: int, step: int) -> None:
    assert step_of(0, length * MICROSECONDS, length, MOST_POINTS) == step


@pytest.mark.parametrize(
    ("length", "interval", "step"),
    [(DAY, 0.1, HOUR), (7 * DAY, 60, 30 * MINUTE), (60 * DAY, 60, 6 * HOUR), (365 * DAY, 60, DAY),
     (60 * DAY, 20, 6 * HOUR), (365 * DAY, 3600, DAY), (10 * 365 * DAY, 3600, 10 * DAY),
     (100 * 365 * DAY, 3600, 4 * MONTH)],
)  # fmt: skip
def test_the_step_fits_the_rate(length: int, interval: float, step: int) -> None:
    """Readings where they are few; else one rollup a point, of a level that has rollups at this rate."""
    assert step_of(0, length * MICROSECONDS, round(length / interval), MOST_POINTS) == step


def test_few_readings_are_points_of_their_own(device: Device) -> None:
    stored(device, (0, 1, 2, 3), (0.5, 4, 5, 6))
    curve = series(device, at(0), at(365 * DAY))
    assert (curve.step, [point.start_time for point in curve.points]) == (None, [at(0), at(0.5)])


def test_an_open_window_is_that_of_the_readings(device: Device) -> None:
    stored(device, *every(60, 1000))
    curve = series(device, most=20)
    assert (curve.step, curve.start_time, len(curve.points)) == (HOUR, at(0), 17)
    assert curve.end_time == at(999 * 60) + datetime.resolution


def test_a_window_without_readings_has_no_points(device: Device) -> None:
    stored(device, *every(1, 5))
    curve = series(device, at(5), at(9), most=2)
    assert (curve.points, curve.summary.count, curve.end_time) == ([], 0, at(9))


def test_a_step_without_readings_has_no_point(device: Device) -> None:
    stored(device, *every(1, 300), *((s + 7200, x, y, z) for s, x, y, z in every(1, 300)))
    curve = series(device, at(0), at(10800), most=3)
    assert [point.start_time for point in curve.points] == [at(0), at(7200)]


def test_a_curve_takes_as_many_queries_for_a_year_as_for_a_week(
    device: Device, django_assert_max_num_queries: Any
) -> None:
    """Of the whole window and then of its points, each: rollups by level, quarters, readings, values by axis."""
    stored(device, *every(100, 3 * DAY // 100))
    assert sum(build(device, NEW_YEAR + timedelta(days=70)))
    for days in (7, 365):
        with django_assert_max_num_queries(18):
            assert series(device, at(-DAY), at(days * DAY)).points
