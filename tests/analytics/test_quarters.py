"""Parts of an hour are read from its rollup, and are those that plain Python finds."""

import os
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import contents, pools, quarters
from analytics.building import build
from analytics.models import Rollup
from analytics.periods import Level
from analytics.raw import raw_readings
from analytics.summaries import summarize
from analytics.tiling import Span
from analytics.verifying import verify
from devices.models import Device
from devices.reading_ids import microseconds
from tests.analytics.test_summaries_property import devices_with
from tests.helpers import NEW_YEAR, at, stored
from tests.oracle import assert_agrees, oracle

pytestmark = pytest.mark.django_db

LATER = NEW_YEAR + timedelta(days=1)
HOURS = 3
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 150), derandomize=not examples, database=None, deadline=None)

MICROSECOND = timedelta(microseconds=1)
quarters_of_an_hour = st.integers(0, HOURS * 4).map(lambda number: NEW_YEAR + number * timedelta(minutes=15))
near_edges = st.tuples(quarters_of_an_hour, st.integers(-1, 1)).map(lambda pair: pair[0] + pair[1] * MICROSECOND)
moments = near_edges | st.integers(0, HOURS * 3600 * 10**6 - 1).map(lambda number: NEW_YEAR + number * MICROSECOND)
times = moments.filter(lambda time: at(0) <= time < at(HOURS * 3600))
values = st.sampled_from([0.0, 1.0, -1.0, 2.5]) | st.floats(-1e15, 1e15).map(lambda value: value + 0.0)
readings_of_hours = st.lists(st.tuples(st.just(0), times, values, values, values), min_size=1, max_size=40)


@pytest.fixture
def spans_read_raw(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """What answers have read reading by reading."""
    spans: list[Span] = []

    def recorded(wanted: list[Span], *args: Any) -> Any:
        spans.extend(wanted)
        return raw_readings(wanted, *args)

    monkeypatch.setattr(pools, "raw_readings", recorded)
    return spans


@pytest.fixture
def rolled_up(device: Device) -> Device:
    """A reading every ten seconds for three hours, and the rollups."""
    stored(device, *((second, (second * 7919) % 1009 / 8, -second, second % 17) for second in range(0, 3 * 3600, 10)))
    sum(build(device, LATER))
    return device


def samples_of(device: Device) -> list[Any]:
    return [(r.recorded_at, r.x, r.y, r.z) for r in device.readings.all()]


@thoroughly
@given(readings_of_hours, moments, moments)
def test_any_window_agrees_with_plain_python(readings: Any, start: Any, stop: Any) -> None:
    with pytest.MonkeyPatch.context() as patch, devices_with(readings) as devices:
        patch.setattr(contents, "FEWEST", 1)
        sum(build(devices[0], LATER))
        summary = summarize([devices[0]], start, stop)
        assert all(agrees for _, agrees in verify(devices[0].pk))
    assert_agrees(summary, oracle([content[1:] for content in set(readings)], start, stop))


def test_whole_quarters_of_an_hour_are_not_read_one_by_one(rolled_up: Device, spans_read_raw: list[Span]) -> None:
    summary = summarize([rolled_up], at(1000), at(9000.5))
    assert_agrees(summary, oracle(samples_of(rolled_up), at(1000), at(9000.5)))
    edges = [(at(1000), at(1800)), (at(9000), at(9000.5))]
    assert [span[2:] for span in spans_read_raw] == [(microseconds(a), microseconds(b)) for a, b in edges]


def test_less_than_a_quarter_is_read_one_by_one(rolled_up: Device, spans_read_raw: list[Span]) -> None:
    summarize([rolled_up], at(600), at(1000))
    assert [span.stop - span.start for span in spans_read_raw] == [400 * 10**6]


def test_a_part_of_a_stale_hour_is_read_one_by_one(rolled_up: Device, spans_read_raw: list[Span]) -> None:
    stored(rolled_up, (1805, 1e6, 0, 0))
    summary = summarize([rolled_up], at(600), at(3600))
    assert summary.x.max == 1e6
    assert [span.stop - span.start for span in spans_read_raw] == [3000 * 10**6]


def test_a_part_without_readings_counts_none(rolled_up: Device) -> None:
    stored(rolled_up, *((4 * 3600 + second / 10, second, 0, 0) for second in range(300)))
    sum(build(rolled_up, LATER))
    assert summarize([rolled_up], at(4 * 3600 + 600), at(5 * 3600 - 600)).count == 0


def test_an_hour_rolled_up_before_quarters_were_kept_is_read_one_by_one(
    rolled_up: Device, spans_read_raw: list[Span]
) -> None:
    Rollup.objects.filter(level=Level.HOUR).update(x_quarters=None, y_quarters=None, z_quarters=None)
    assert_agrees(summarize([rolled_up], at(600), at(3600)), oracle(samples_of(rolled_up), at(600), at(3600)))
    assert [span.stop - span.start for span in spans_read_raw] == [3000 * 10**6]


def test_hours_are_read_as_many_at_a_time_as_memory_is_for(
    rolled_up: Device, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    window = at(900), at(9000)
    with django_assert_num_queries(
        7
    ):  # what was pruned, whole hours, parts known, their values, and slices of three axes
        summarize([rolled_up], *window)
    monkeypatch.setattr(quarters, "VALUES_A_QUERY", 100)
    with django_assert_num_queries(8):
        summary = summarize([rolled_up], *window)
    assert_agrees(summary, oracle(samples_of(rolled_up), *window))


def test_verification_finds_quarters_that_are_wrong(rolled_up: Device) -> None:
    Rollup.objects.filter(level=Level.HOUR, period_start=microseconds(NEW_YEAR)).update(y_quarters=bytes(90))
    assert [agrees for _, agrees in verify(rolled_up.pk)] == [False, True, True, True]
