"""Buckets of any zone and window, around its odd changes above all."""

import os
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics.buckets import edges

# Without HYPOTHESIS_EXAMPLES the same examples in each run; with it, that many new ones.
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 400), derandomize=not examples, database=None, deadline=None)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
LONGEST = {"hour": 4 * DAY, "day": 40 * DAY, "week": 100 * DAY, "month": 400 * DAY}

Window = tuple[str, ZoneInfo, datetime, datetime]  # an interval and its zone, from, to

ZONES = [
    *("UTC", "Europe/Berlin", "Europe/Dublin", "Europe/Moscow", "Asia/Kathmandu"),
    *("Asia/Kolkata", "Asia/Gaza", "Asia/Manila", "Asia/Tehran", "Africa/Casablanca"),
    *("Africa/Cairo", "America/St_Johns", "America/New_York", "America/Sao_Paulo", "America/Havana"),
    *("America/Caracas", "America/Toronto", "America/Nuuk", "America/Scoresbysund", "Atlantic/Azores"),
    *("Antarctica/Troll", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati"),
    *("Pacific/Norfolk",),
]
ODD = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),  # 02:00 becomes 02:30
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # 02:00 becomes 01:30
    ("America/Sao_Paulo", "2018-11-04T03:00"),  # midnight is skipped
    ("America/Havana", "2018-11-04T05:00"),  # midnight comes twice
    ("America/St_Johns", "2010-11-07T02:31"),  # 00:01 becomes 23:01 of the day before
    ("America/Toronto", "1919-03-31T04:30"),  # 23:30 becomes 00:30
    ("America/Caracas", "2007-12-09T07:00"),  # 03:00 becomes 02:30
    ("America/Caracas", "2016-05-01T07:00"),  # 02:30 becomes 03:00
    ("America/Scoresbysund", "2024-10-27T01:00"),  # 00:00 becomes 23:00 of the day before
    ("Asia/Pyongyang", "2015-08-14T15:00"),  # 00:00 becomes 23:30 of the day before
    ("Asia/Pyongyang", "2018-05-04T15:00"),  # 23:30 becomes 00:00
    ("Asia/Kathmandu", "1985-12-31T18:30"),  # 00:00 becomes 00:15
    ("Africa/Monrovia", "1972-01-07T00:44:30"),  # from an offset with seconds
    ("Antarctica/Troll", "2026-10-25T01:00"),  # by two hours
    ("Antarctica/Casey", "2010-03-04T15:00"),  # 02:00 becomes 23:00 of the day before
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day is skipped
    ("Pacific/Kwajalein", "1993-08-21T12:00"),  # a day is skipped
    ("Pacific/Kwajalein", "1969-09-30T13:00"),  # almost a day comes twice
    ("Pacific/Kiritimati", "1994-12-31T10:40"),
]

any_times = st.datetimes(datetime(1900, 1, 5), datetime(2198, 11, 1), timezones=st.just(UTC))
anywhere = st.tuples(st.sampled_from(ZONES), any_times)
minutes = st.integers(-3 * 24 * 60, 6 * 60).map(lambda number: number * timedelta(minutes=1))
close = st.integers(-150, 150).map(lambda number: number * timedelta(minutes=1))
around_a_change = st.builds(
    lambda odd, shift: (odd[0], datetime.fromisoformat(odd[1]).replace(tzinfo=UTC) + shift),
    st.sampled_from(ODD),
    st.one_of(minutes, close),
)


@st.composite
def windows(draw: st.DrawFn, *intervals: str) -> Window:
    interval = draw(st.sampled_from(intervals))
    zone, start = draw(st.one_of(around_a_change, anywhere))
    length = draw(st.timedeltas(MICROSECOND, LONGEST[interval]))
    return interval, ZoneInfo(zone), start, start + length


def of(interval: str, zone: str, start: str, stop: str) -> Window:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, stop))
    return interval, ZoneInfo(zone), first, last


DATES = ("day", "week", "month")


@thoroughly
@given(windows("hour", *DATES))
@example(of("hour", "Australia/Lord_Howe", "2026-10-03T15:40", "2026-10-03T18:00"))
@example(of("day", "America/St_Johns", "2010-11-07T02:45", "2010-11-09T00:00"))
@example(of("day", "America/Toronto", "1919-03-31T04:40", "1919-04-02T00:00"))
def test_the_edges_rise_and_just_hold_the_window(window: Window) -> None:
    interval, zone, start, stop = window
    found = list(edges(start, stop, interval, zone))
    assert all(one < other for one, other in pairwise(found))
    assert found[0] <= start < found[1]
    assert found[-2] < stop <= found[-1]


@thoroughly
@given(windows("hour", *DATES), st.integers(0, 72))
@example(of("hour", "Australia/Lord_Howe", "2026-04-04T15:15", "2026-04-04T18:00"), 5)
def test_the_edges_are_the_same_wherever_the_window_starts(window: Window, hours: int) -> None:
    interval, zone, start, stop = window
    found = list(edges(start, stop, interval, zone))
    longer = list(edges(start - hours * HOUR, stop, interval, zone))
    assert longer[-len(found) :] == found


@thoroughly
@given(windows(*DATES))
@example(of("day", "America/Toronto", "1919-03-30T12:00", "1919-04-02T00:00"))
def test_days_weeks_and_months_begin_at_midnight_or_where_the_clock_skips_it(
    window: Window,
) -> None:
    interval, zone, start, stop = window
    for edge in edges(start, stop, interval, zone):
        local, before = edge.astimezone(zone), (edge - MICROSECOND).astimezone(zone)
        assert local.time() == time() or local.utcoffset() != before.utcoffset()
        assert local.date() > before.date()


@thoroughly
@given(windows(*DATES))
def test_days_weeks_and_months_that_follow_differ_in_their_dates(
    window: Window,
) -> None:
    interval, zone, start, stop = window
    dates = [edge.astimezone(zone).date() for edge in edges(start, stop, interval, zone)]
    assert all(one < other for one, other in pairwise(dates))
    if interval == "month":
        assert all(one.month != other.month for one, other in pairwise(dates))
    if interval == "week":
        assert all(one.isocalendar()[:2] != other.isocalendar()[:2] for one, other in pairwise(dates))


@thoroughly
@given(windows("hour"))
def test_hours_last_up_to_two(window: Window) -> None:
    interval, zone, start, stop = window
    found = list(edges(start, stop, interval, zone))
    assert all(timedelta() < other - one <= 2 * HOUR for one, other in pairwise(found))


@thoroughly
@given(windows("hour"))
@example(of("hour", "America/Caracas", "2016-05-01T06:30", "2016-05-01T10:00"))
def test_hours_begin_at_full_hours_or_with_a_change(window: Window) -> None:
    interval, zone, start, stop = window
    for edge in edges(start, stop, interval, zone):
        local, before = edge.astimezone(zone), (edge - MICROSECOND).astimezone(zone)
        assert (local.minute, local.second, local.microsecond) == (0, 0, 0) or local.utcoffset() != before.utcoffset()
