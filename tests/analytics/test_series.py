"""Curves agree with plain Python, point by point, and are cheap for any window."""

import os
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.building import build
from analytics.periods import Level
from analytics.series import DAY, HOUR, MINUTE, STEPS, Series, series
from devices.models import Device
from devices.reading_ids import EPOCH
from tests.analytics.test_summaries_property import Example, devices_with, readings_and_windows
from tests.helpers import NEW_YEAR, at, stored
from tests.oracle import Sample, assert_agrees, oracle

pytestmark = pytest.mark.django_db

examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 150), derandomize=not examples, database=None, deadline=None)


def every(seconds: int, count: int) -> list[tuple[float, float, float, float]]:
    return [(n * seconds, (n * 7919) % 1009 / 8, -n, n % 17) for n in range(count)]


def samples_of(rows: list[tuple[float, float, float, float]]) -> list[Sample]:
    return [(at(seconds), *axes) for seconds, *axes in rows]


def assert_is_the_curve_of(
    curve: Series, samples: list[Sample], start_time: datetime | None, end_time: datetime | None
) -> None:
    """Each point is the summary of the samples from its start to that of the next step, and together they are all."""
    within = oracle(samples, start_time, end_time)
    assert sum(summary.count for _, summary in curve.points) == within.count
    assert [time for time, _ in curve.points] == sorted(time for time, _ in curve.points)
    for time, summary in curve.points if curve.step else ():
        length = timedelta(seconds=curve.step or 0)
        end = time - (time - EPOCH) % length + length
        assert_agrees(summary, oracle(samples, time, min(end, end_time) if end_time else end))
    if curve.step is None:
        points = [(time, one.x.median, one.y.max, one.z.min) for time, one in curve.points]
        chosen = (s for s in samples if (not start_time or start_time <= s[0]) and (not end_time or s[0] < end_time))
        assert points == sorted(chosen)


@thoroughly
@given(readings_and_windows(), st.integers(2, 12))
def test_a_curve_agrees_with_plain_python(example: Example, most: int) -> None:
    contents, start_time, end_time = example
    with devices_with(contents) as (device, *_):
        samples = list({content[1:] for content in contents if content[0] == 0})
        curve = series(device, start_time, end_time, most)
        assert len(curve.points) <= most
        assert_is_the_curve_of(curve, samples, start_time, end_time)


@pytest.mark.parametrize(
    ("start", "length"), [(0, DAY), (1234.5, DAY), (0, 2 * DAY + 1), (777, 3 * DAY), (HOUR, 20 * MINUTE), (0, 9 * DAY)]
)
def test_a_curve_from_rollups_agrees_with_plain_python(device: Device, start: float, length: float) -> None:
    rows = every(10, 3 * DAY // 10)
    stored(device, *rows)
    build(device.pk, NEW_YEAR + timedelta(days=70))
    window = at(start), at(start + length)
    assert_is_the_curve_of(series(device, *window, most=100), samples_of(rows), *window)


@pytest.mark.parametrize(
    ("length", "step"),
    [(HOUR, 10), (6 * HOUR, MINUTE), (DAY, 5 * MINUTE), (2 * DAY, 10 * MINUTE), (7 * DAY, HOUR), (30 * DAY, 2 * HOUR),
     (365 * DAY, DAY), (366 * DAY - 1, DAY), (10 * 365 * DAY, 10 * DAY), (290 * 365 * DAY, 360 * DAY)],
)  # fmt: skip
def test_the_step_fits_the_window(device: Device, length: int, step: int) -> None:
    stored(device, *every(1, 500))
    assert series(device, at(0), at(length)).step == step


def test_every_step_from_an_hour_on_is_whole_periods_of_a_rollup() -> None:
    levels = sorted(Level)
    for step, following in pairwise(step for step in STEPS if step >= HOUR):
        assert any(step % level == 0 for level in levels)
        assert step < following
    assert not [step for step in STEPS if step > DAY and step % DAY]


def test_few_readings_are_points_of_their_own(device: Device) -> None:
    stored(device, (0, 1, 2, 3), (0.5, 4, 5, 6))
    curve = series(device, at(0), at(365 * DAY))
    assert (curve.step, [time for time, _ in curve.points]) == (None, [at(0), at(0.5)])


def test_an_open_window_is_that_of_the_readings(device: Device) -> None:
    stored(device, *every(60, 1000))
    curve = series(device, most=20)
    assert (curve.step, curve.points[0][0], len(curve.points)) == (HOUR, at(0), 17)


def test_a_window_that_ends_before_it_starts_has_no_points(device: Device) -> None:
    stored(device, *every(1, 5))
    assert series(device, at(4), at(1), most=2).points == []


def test_a_step_without_readings_has_no_point(device: Device) -> None:
    stored(device, *every(1, 300), *((s + 7200, *axes) for s, *axes in every(1, 300)))
    curve = series(device, at(0), at(10800), most=3)
    assert [time for time, _ in curve.points] == [at(0), at(7200)]
