"""What is drawn of a series: the right shapes at the right places, whatever the values and times."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.charts import MOST_TICKS, Chart, chart, time_ticks, value_ticks
from analytics.reference import AXES, AxisSummary, Summary
from analytics.series import Point, Series
from tests.helpers import NEW_YEAR, at

BERLIN = ZoneInfo("Europe/Berlin")
values = st.floats(-1e15, 1e15, allow_nan=False)
lengths = st.integers(1, 300 * 366 * 86_400 * 10**6).map(lambda length: timedelta(microseconds=length))
starts = st.datetimes(datetime(1900, 1, 1), datetime(1901, 1, 1), timezones=st.just(UTC))


def summary(least: float, middle: float, greatest: float) -> Summary:
    axis = AxisSummary(least, greatest, middle, middle, middle)
    return Summary(1, NEW_YEAR, NEW_YEAR, axis, axis, axis)


def drawn(step: int | None, *points: Point, whole: Summary | None = None) -> Chart:
    series = Series(at(0), at(100), whole or summary(0, 5, 10), step, list(points))
    found = chart(series, BERLIN)
    assert found is not None
    return found


def test_a_point_is_a_box_from_its_least_to_its_greatest_value_and_a_line_at_its_median() -> None:
    axis = drawn(10, Point(at(0), at(10), summary(0, 5, 10))).axes[0]
    assert axis.band == "M0.0 4.55H100.0V95.45H0.0Z"  # with a twentieth of room above and below
    assert axis.median == "M50.0 50.00h0"


def test_the_line_has_a_gap_where_a_step_has_no_readings() -> None:
    points = [Point(at(start), at(start + 10), summary(0, 5, 10)) for start in (0, 10, 40)]
    assert drawn(10, *points).axes[2].median == "M50.0 50.00h0L150.0 50.00M450.0 50.00h0"


def test_readings_are_joined_and_have_no_band() -> None:
    axis = drawn(None, Point(at(0), at(0), summary(0, 0, 0)), Point(at(90), at(90), summary(10, 10, 10))).axes[1]
    assert (axis.median, axis.band) == ("M0.0 95.45h0L900.0 4.55", "")


def test_nothing_is_drawn_without_readings() -> None:
    assert chart(Series(at(0), at(1), Summary(), None, []), BERLIN) is None


@given(st.tuples(values, values, values).map(sorted))
def test_any_values_are_drawn_within_the_picture(figures: list[float]) -> None:
    for axis in drawn(10, Point(at(0), at(10), summary(*figures)), whole=summary(*figures)).axes:
        found = re.fullmatch(r"M0.0 (\S+)H100.0V(\S+)H0.0Z", axis.band)
        assert found
        assert 0 <= float(found[1]) <= float(found[2]) <= 100


@given(values, values)
def test_there_are_a_few_round_values_beside_a_curve(one: float, other: float) -> None:
    figures = sorted([one, one, other])
    chart = drawn(10, Point(at(0), at(10), summary(*figures)), whole=summary(*figures))
    assert 1 <= len(chart.axes[0].ticks) <= 6


@pytest.mark.parametrize("exponent", range(-250, 16))
def test_a_range_just_short_of_a_power_of_ten_has_round_values_too(exponent: int) -> None:
    """Its logarithm is rounded up to a whole number."""
    assert 3 <= len(value_ticks(0.0, 2 * 10.0**exponent * (1 - 2**-53))) <= 6


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [(0, 10, [0, 5, 10]), (-0.3, 0.9, [0, 0.5]), (1e14, 3e14, [1e14, 2e14, 3e14]), (0.1, 0.7, [0.2, 0.4, 0.6])],
)
def test_round_values(lowest: float, highest: float, expected: list[float]) -> None:
    assert value_ticks(lowest, highest) == pytest.approx(expected)


@given(starts, lengths, st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]))
def test_any_window_has_a_few_round_times(start: datetime, length: timedelta, zone: str) -> None:
    ticks = list(time_ticks(start, start + length, ZoneInfo(zone)))
    assert len(ticks) <= MOST_TICKS + 1
    assert all(start <= moment < start + length for moment, _ in ticks)
    assert length < timedelta(seconds=2) or ticks or length > timedelta(days=360)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (at(0), timedelta(seconds=4), ["01:00:00", "01:00:01", "01:00:02", "01:00:03"]),
        (at(0), timedelta(hours=1), ["01:00", "01:10", "01:20", "01:30", "01:40", "01:50"]),
        (at(0), timedelta(days=1), ["06:00", "12:00", "18:00", "2 Jan"]),
        (at(0), timedelta(days=5), ["2 Jan", "3 Jan", "4 Jan", "5 Jan", "6 Jan"]),
        (at(0), timedelta(days=40), ["5 Jan", "12 Jan", "19 Jan", "26 Jan", "2 Feb", "9 Feb"]),
        (at(0), timedelta(days=365), ["Mar 2026", "May 2026", "Jul 2026", "Sep 2026", "Nov 2026", "2027"]),
        (at(0), timedelta(days=3000), ["2028", "2030", "2032", "2034"]),
    ],
)
def test_times_are_round_on_the_clocks_of_the_zone(start: datetime, length: timedelta, expected: list[str]) -> None:
    assert [label for _, label in time_ticks(start, start + length, BERLIN)] == expected


def test_every_axis_is_drawn_in_its_order() -> None:
    assert [axis.name for axis in drawn(10, Point(at(0), at(10), summary(0, 5, 10))).axes] == list(AXES)
