"""Percentiles and intervals over HTTP, against plain Python."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rest_framework.test import APIClient

from analytics.building import build
from analytics.models import Rollup
from devices.models import Device
from devices.rows import Row
from tests.helpers import NEW_YEAR, at, codes, store_rows, stored
from users.models import User

pytestmark = pytest.mark.django_db

AXES = ("x", "y", "z")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LATER = NEW_YEAR + 200 * DAY
NOTHING = dict.fromkeys(("min", "max", "sum", "avg", "median"))
DOORS = ["devices/{device}/analytics/", "users/{user}/analytics/", "users/{user}/analytics/?aggregate=false"]

Reading = tuple[datetime, float, float, float]


def asked(api: APIClient, path: str, device: Device, **query: str) -> Any:
    """The response of a door; `start` and `stop` are short for the bounds."""
    names = {"start": "start_time", "stop": "end_time"}
    path, _, fixed = path.format(device=device.pk, user=device.owner_id).partition("?")
    data = {names.get(name, name): value for name, value in query.items()}
    return api.get(f"/api/v1/{path}", data | ({"aggregate": "false"} if fixed else {}))


def answered(api: APIClient, path: str, device: Device, **query: str) -> Any:
    """The answer, or that of the device where there is one for each."""
    response = asked(api, path, device, **query)
    assert response.status_code == 200, response.content
    answer = response.json()
    return answer if "results" not in answer else next(o for o in answer["results"] if o["device"] == device.pk)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def text_of(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def nearest_rank(values: Iterable[float], percentile: str) -> float:
    ordered = sorted(values)
    return ordered[max(math.ceil(Fraction(percentile) * len(ordered) / 100), 1) - 1]


def series(start: datetime, stop: datetime, step: timedelta) -> list[Reading]:
    """Readings with an x that none other has."""
    times = [start + number * step for number in range(math.ceil((stop - start) / step))]
    count = len(times)
    return [(time, float(i * 7919 % 100_003), (i * 31 % count) / 8, float(-i)) for i, time in enumerate(times)]


def keep(device: Device, readings: Sequence[Reading]) -> list[Reading]:
    store_rows([Row(device.pk, *reading) for reading in readings])
    return list(readings)


def assert_figures(bucket: Mapping[str, Any], readings: Sequence[Reading]) -> None:
    assert bucket["count"] == len(readings)
    for axis, values in zip(AXES, list(zip(*readings, strict=True))[1:], strict=True):
        figures = bucket[axis]
        assert (figures["min"], figures["max"]) == (min(values), max(values))
        assert figures["median"] == statistics.median(values)
        assert figures["sum"] == pytest.approx(math.fsum(values), rel=1e-12, abs=1e-9)
        assert figures["avg"] == pytest.approx(math.fsum(values) / len(values), rel=1e-12, abs=1e-9)


def bounds_of(answer: Mapping[str, Any]) -> list[datetime]:
    """Where the buckets begin and the last one ends: each ends where the next one begins."""
    buckets = answer["buckets"]
    assert all(one["end_time"] == other["start_time"] for one, other in pairwise(buckets))
    ends = [bucket["start_time"] for bucket in buckets] + [bucket["end_time"] for bucket in buckets[-1:]]
    times = [datetime.fromisoformat(end) for end in ends]
    assert all(one < other for one, other in pairwise(times))
    assert sum(bucket["count"] for bucket in buckets) == answer["count"]
    return times


# Percentiles

TEXTS = ["0", "100", "50", "99.9", "5", "95", "33.333", "0.1", "050", "50.0", "66.66666666666666666666666667"]


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 1001])
def test_percentiles_are_of_the_nearest_rank_by_the_text_that_was_sent(
    api: APIClient, device: Device, path: str, count: int
) -> None:
    readings = keep(device, series(NEW_YEAR, at(count), timedelta(seconds=1)))
    answer = answered(api, path, device, percentiles=",".join(TEXTS))
    for axis, values in zip(AXES, list(zip(*readings, strict=True))[1:], strict=True):
        assert answer[axis]["percentiles"] == {text: nearest_rank(values, text) for text in TEXTS}
        assert answer[axis]["percentiles"]["0"] == answer[axis]["min"]
        assert answer[axis]["percentiles"]["100"] == answer[axis]["max"]


@pytest.mark.parametrize("path", DOORS)
def test_percentiles_from_rollups_are_those_of_the_readings(
    api: APIClient, alice: User, device: Device, other_device: Device, path: str
) -> None:
    kept = {}
    for one, shift in ((device, 0), (other_device, 7)):
        kept[one.pk] = keep(one, series(at(shift), at(26 * 3600), timedelta(seconds=15)))
    before = asked(api, path, device, percentiles=",".join(TEXTS)).json()
    for one in (device, other_device):
        assert sum(build(one, LATER)) > 24
    assert Rollup.objects.filter(device=device, status=Rollup.Status.READY).exists()
    assert asked(api, path, device, percentiles=",".join(TEXTS)).json() == before
    window = {"start": text_of(at(1234)), "stop": text_of(at(25.3 * 3600))}
    answer = answered(api, path, device, percentiles=",".join(TEXTS), **window)
    pool = kept[device.pk] + (kept[other_device.pk] if path == DOORS[1] else [])
    inside = [reading for reading in pool if at(1234) <= reading[0] < at(25.3 * 3600)]
    assert_figures(answer, inside)
    assert answer["x"]["percentiles"] == {text: nearest_rank((r[1] for r in inside), text) for text in TEXTS}


def test_the_percentile_50_may_differ_from_the_median(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 1, 1), (1, 2, 2, 2))
    assert answered(api, DOORS[0], device, percentiles="50")["x"] == {
        "min": 1.0, "max": 2.0, "sum": 3.0, "avg": 1.5, "median": 1.5, "percentiles": {"50": 1.0}
    }  # fmt: skip


def test_a_percentile_that_is_asked_twice_is_answered_once(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 1, 1), (1, 2, 2, 2))
    assert answered(api, DOORS[0], device, percentiles="90,90,10,90")["x"]["percentiles"] == {"90": 2.0, "10": 1.0}


def test_percentiles_are_computed_in_decimal(api: APIClient, device: Device) -> None:
    """In floats 0.07 * 100 is 7.000000000000001, whose ceiling is 8."""
    stored(device, *((second, second + 1, 0, 0) for second in range(100)))
    answer = answered(api, DOORS[0], device, percentiles="7,14.0,28,7." + 29 * "0" + "1")
    assert list(answer["x"]["percentiles"].values()) == [7.0, 14.0, 28.0, 8.0]


@pytest.mark.parametrize("path", DOORS)
def test_percentiles_of_no_readings_are_null(api: APIClient, device: Device, path: str) -> None:
    stored(device, (0, 1, 2, 3))
    answer = answered(api, path, device, percentiles="5,99.9", stop="2026-01-01T00:00:00Z")
    assert answer["count"] == 0
    assert [answer[axis] for axis in AXES] == 3 * [NOTHING | {"percentiles": {"5": None, "99.9": None}}]


@pytest.mark.parametrize("path", DOORS)
def test_percentiles_are_only_answered_where_they_were_asked_for(api: APIClient, device: Device, path: str) -> None:
    stored(device, (0, 1, 2, 3))
    assert "percentiles" not in answered(api, path, device)["x"]


def test_twenty_percentiles_are_answered(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    texts = [str(number) for number in range(20)]
    assert answered(api, DOORS[0], device, percentiles=",".join(texts))["z"]["percentiles"] == dict.fromkeys(texts, 3.0)


def test_buckets_have_percentiles_too(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3), (1, 2, 3, 4), (7200, 9, 9, 9))
    answer = answered(api, DOORS[0], device, percentiles="0,100", interval="hour")
    found = [bucket["x"]["percentiles"] for bucket in answer["buckets"]]
    assert found == [{"0": 1.0, "100": 2.0}, {"0": None, "100": None}, {"0": 9.0, "100": 9.0}]


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    "text",
    [
        *(
            ",".join(map(str, range(21))),
            ",".join(21 * ["5"]),
            "-1",
            "100.1",
            "101",
            "nan",
            "inf",
            "1000",
            "100.0000001",
        ),
        *("", " ", "5, 95", "5 ,95", " 5", "5 ", "5,", ",5", "5,,6", "5;6"),
        *("1e1", "+5", ".5", "5.", "0x5", "\N{ARABIC-INDIC DIGIT FIVE}", "five", "5\x00"),
    ],
)
def test_bad_percentiles_are_refused_by_name(api: APIClient, device: Device, path: str, text: str) -> None:
    response = asked(api, path, device, percentiles=text)
    assert (response.status_code, list(codes(response))) == (400, ["/percentiles"])


# Intervals


def by_hour(local: datetime) -> object:
    return local.date(), local.hour, local.fold


def by_hour_of_lord_howe(local: datetime) -> object:
    """The half hour that the clock repeats belongs to the hour; one that it skips leaves half of one."""
    return local.date(), local.hour


def by_day(local: datetime) -> object:
    return local.date()


def by_week(local: datetime) -> object:
    return local.isocalendar()[:2]


def by_month(local: datetime) -> object:
    return local.year, local.month


CHANGES = [
    ("Europe/Berlin", "2026-03-27T23:00", "2026-03-31T22:00"),
    ("Europe/Berlin", "2026-10-23T22:00", "2026-10-27T23:00"),
    ("Europe/Berlin", "2026-10-23T13:17", "2026-10-27T01:55"),
    ("Asia/Kathmandu", "2026-02-26T12:00", "2026-03-02T12:00"),
    ("Asia/Kathmandu", "1985-12-30T12:00", "1986-01-02T12:00"),  # from +05:30 to +05:45 at midnight
    ("America/Sao_Paulo", "2018-11-02T12:00", "2018-11-06T07:30"),
    ("America/Sao_Paulo", "2018-02-16T12:00", "2018-02-19T07:30"),
    ("Pacific/Apia", "2011-12-28T17:00", "2012-01-02T07:30"),
    ("America/Havana", "2018-11-02T12:00", "2018-11-06T07:30"),
    ("America/Havana", "2018-03-09T12:00", "2018-03-13T07:30"),
    ("Australia/Lord_Howe", "2026-04-03T12:00", "2026-04-06T07:30"),
    ("Australia/Lord_Howe", "2026-10-02T12:00", "2026-10-05T07:30"),
    ("UTC", "2026-02-27T00:00", "2026-03-02T00:00"),
]


def assert_grouped(
    answer: Mapping[str, Any], readings: Sequence[Reading], zone: str, key: Callable[[datetime], object]
) -> None:
    """The buckets hold what the readings are by their local time: there are readings for each bucket."""
    groups = [list(g) for _, g in groupby(readings, key=lambda reading: key(reading[0].astimezone(ZoneInfo(zone))))]
    bounds_of(answer)
    assert [bucket["count"] for bucket in answer["buckets"]] == [len(group) for group in groups]
    for bucket, group in zip(answer["buckets"], groups, strict=True):
        assert_figures(bucket, group)
        assert bucket["start_time"] <= text_of(group[0][0])
        assert text_of(group[-1][0]) < bucket["end_time"]


@pytest.mark.parametrize(("zone", "start", "stop"), CHANGES)
@pytest.mark.parametrize("interval", ["hour", "day"])
def test_hours_and_days_are_those_of_the_zone_through_changes_of_its_clocks(
    api: APIClient, device: Device, zone: str, start: str, stop: str, interval: str
) -> None:
    first, last = utc(start), utc(stop)
    readings = keep(device, series(first, last, timedelta(minutes=5)))
    query = {"interval": interval, "timezone": zone}
    answer = answered(api, DOORS[0], device, start=text_of(first), stop=text_of(last), **query)
    hours = by_hour_of_lord_howe if zone == "Australia/Lord_Howe" else by_hour
    assert_grouped(answer, readings, zone, hours if interval == "hour" else by_day)
    bounds = bounds_of(answer)
    assert (bounds[0], bounds[-1]) == (first, last)
    assert_grouped(answered(api, DOORS[0], device, **query), readings, zone, hours if interval == "hour" else by_day)


@pytest.mark.parametrize("zone", sorted({zone for zone, _, _ in CHANGES}))
@pytest.mark.parametrize(("interval", "key"), [("week", by_week), ("month", by_month)])
@pytest.mark.parametrize("middle", ["2018-11-04", "2011-12-30", "2026-10-25"])
def test_weeks_and_months_are_those_of_the_zone(
    api: APIClient, device: Device, zone: str, interval: str, key: Callable[[datetime], object], middle: str
) -> None:
    first, last = utc(middle) - 50 * DAY, utc(middle) + 70.5 * DAY
    readings = keep(device, series(first, last, HOUR))
    query = {"interval": interval, "timezone": zone}
    answer = answered(api, DOORS[0], device, start=text_of(first), stop=text_of(last), **query)
    assert_grouped(answer, readings, zone, key)
    inner = [time.astimezone(ZoneInfo(zone)) for time in bounds_of(answer)[1:-1]]
    assert all((time.weekday() if interval == "week" else time.day - 1) == 0 for time in inner)
    assert_grouped(answered(api, DOORS[0], device, **query), readings, zone, key)


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(("interval", "key"), [("hour", by_hour), ("day", by_day), ("week", by_week)])
def test_buckets_from_rollups_are_those_of_the_readings(
    api: APIClient, device: Device, path: str, interval: str, key: Callable[[datetime], object]
) -> None:
    first, last = utc("2025-10-24T13:17"), utc("2025-10-28T01:55")
    readings = keep(device, series(first, last, timedelta(seconds=20)))
    assert sum(build(device, LATER)) > 24
    query = {"interval": interval, "timezone": "Europe/Berlin", "start": text_of(first), "stop": text_of(last)}
    assert_grouped(answered(api, path, device, **query), readings, "Europe/Berlin", key)
    query["timezone"] = "Asia/Kathmandu"
    assert_grouped(answered(api, path, device, **query), readings, "Asia/Kathmandu", key)


@pytest.mark.parametrize("rolled_up", [False, True])
def test_the_buckets_of_a_pool_hold_the_readings_of_all_devices(
    api: APIClient, device: Device, other_device: Device, rolled_up: bool
) -> None:
    first, last = utc("2025-10-25T13:17"), utc("2025-10-27T01:55")
    readings = keep(device, series(first, last, timedelta(seconds=30)))
    readings += keep(other_device, series(first + timedelta(seconds=7), last, timedelta(seconds=40)))
    if rolled_up:
        assert all(sum(build(one, LATER)) > 24 for one in (device, other_device))
    query = {"interval": "hour", "timezone": "Europe/Berlin", "start": text_of(first), "stop": text_of(last)}
    assert_grouped(answered(api, DOORS[1], device, **query), sorted(readings), "Europe/Berlin", by_hour)
    query["percentiles"] = "5,95"
    each = asked(api, DOORS[2], device, **query).json()["results"]
    assert each == [answered(api, DOORS[0], one, **query) for one in (device, other_device)]


@pytest.mark.parametrize("path", DOORS)
def test_buckets_of_more_readings_than_memory_is_for_are_the_same(
    api: APIClient, device: Device, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(device, series(NEW_YEAR, NEW_YEAR + 3 * DAY, timedelta(minutes=10)))
    query = {"interval": "day", "timezone": "Asia/Kathmandu", "percentiles": "5,99.9"}
    before = answered(api, path, device, **query)
    monkeypatch.setattr("analytics.raw.MAX_RAW", {"sqlite": 100, "postgresql": 100})  # of 144 a day
    assert answered(api, path, device, **query) == before


@pytest.mark.parametrize(
    ("zone", "start", "stop", "hours"),
    [
        ("Europe/Berlin", "2026-03-27T23:00", "2026-03-30T22:00", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-23T22:00", "2026-10-26T23:00", [24, 25, 24]),
        ("Australia/Lord_Howe", "2026-04-03T13:00", "2026-04-06T13:30", [24, 24.5, 24]),
        ("Australia/Lord_Howe", "2026-10-02T13:30", "2026-10-05T13:00", [24, 23.5, 24]),
        ("America/Sao_Paulo", "2018-11-03T03:00", "2018-11-06T02:00", [24, 23, 24]),
        ("America/Havana", "2018-11-03T04:00", "2018-11-06T05:00", [24, 25, 24]),
        ("Pacific/Apia", "2011-12-28T10:00", "2012-01-01T10:00", [24, 24, 24, 24]),  # 28, 29, 31, 1
        ("Asia/Kathmandu", "2026-01-01T18:15", "2026-01-03T18:15", [24, 24]),
        ("UTC", "2026-03-28", "2026-03-30", [24, 24]),
    ],
)
def test_days_are_as_long_as_the_clocks_make_them(
    api: APIClient, device: Device, zone: str, start: str, stop: str, hours: list[float]
) -> None:
    query = {"start": text_of(utc(start)), "stop": text_of(utc(stop)), "interval": "day", "timezone": zone}
    bounds = bounds_of(answered(api, DOORS[0], device, **query))
    assert [(later - earlier) / HOUR for earlier, later in pairwise(bounds)] == hours


def test_the_skipped_day_of_apia_is_no_bucket(api: APIClient, device: Device) -> None:
    query = {"start": "2011-12-28T10:00:00Z", "stop": "2012-01-01T10:00:00Z", "interval": "day"}
    bounds = bounds_of(answered(api, DOORS[0], device, timezone="Pacific/Apia", **query))
    dates = [time.astimezone(ZoneInfo("Pacific/Apia")).date() for time in bounds[:-1]]
    assert dates == [date(2011, 12, 28), date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)]


@pytest.mark.parametrize(("zone", "start", "stop"), [change for change in CHANGES if "Lord_Howe" not in change[0]])
def test_hours_start_at_full_hours_of_the_zone_or_with_its_change(
    api: APIClient, device: Device, zone: str, start: str, stop: str
) -> None:
    query = {"start": text_of(utc(start)), "stop": text_of(utc(stop)), "interval": "hour", "timezone": zone}
    for time in bounds_of(answered(api, DOORS[0], device, **query))[1:-1]:
        local, before = (moment.astimezone(ZoneInfo(zone)) for moment in (time, time - timedelta(microseconds=1)))
        assert (local.minute, local.second) == (0, 0) or local.utcoffset() != before.utcoffset()


SHIFTS = [
    ("Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-03T18:00"),  # 02:00 becomes 02:30
    ("Australia/Lord_Howe", "2026-04-04T12:00", "2026-04-04T18:00"),  # 02:00 becomes 01:30
    ("America/Caracas", "2016-05-01T03:00", "2016-05-01T10:00"),  # 02:30 becomes 03:00
    ("Asia/Kathmandu", "1985-12-31T15:00", "1985-12-31T21:00"),  # 00:00 becomes 00:15
    ("America/St_Johns", "2010-11-07T00:30", "2010-11-07T06:00"),  # 00:01 becomes 23:01 of the day before
    ("America/Toronto", "1919-03-31T02:00", "1919-03-31T08:00"),  # 23:30 becomes 00:30
    ("Asia/Pyongyang", "2015-08-14T12:00", "2015-08-14T18:00"),  # 00:00 becomes 23:30 of the day before
]


@pytest.mark.parametrize(("zone", "start", "stop"), SHIFTS)
@pytest.mark.parametrize("interval", ["hour", "day"])
def test_the_buckets_hold_the_readings_of_the_window_wherever_around_a_change_it_starts(
    api: APIClient, device: Device, zone: str, start: str, stop: str, interval: str
) -> None:
    readings = keep(device, series(utc(start), utc(stop), timedelta(minutes=5)))
    for first in (utc(start) + number * 10 * timedelta(minutes=1) for number in range(24)):
        query = {"start": text_of(first), "stop": text_of(utc(stop)), "interval": interval, "timezone": zone}
        answer = answered(api, DOORS[0], device, **query)
        bounds = bounds_of(answer)
        assert (bounds[0], bounds[-1]) == (first, utc(stop))
        for bucket, (begin, end) in zip(answer["buckets"], pairwise(bounds), strict=True):
            inside = [reading for reading in readings if begin <= reading[0] < end]
            assert bucket["count"] == len(inside)
            if inside:
                assert_figures(bucket, inside)


def test_the_first_and_the_last_bucket_are_clipped_to_the_window(api: APIClient, device: Device) -> None:
    stored(device, *((second, 1, 1, 1) for second in range(0, 3 * 86400, 3600)))
    query = {"start": "2026-01-01T05:30:00Z", "stop": "2026-01-03T01:00:00.000001Z", "interval": "day"}
    answer = answered(api, DOORS[0], device, **query)
    assert [(bucket["start_time"], bucket["end_time"], bucket["count"]) for bucket in answer["buckets"]] == [
        ("2026-01-01T05:30:00Z", "2026-01-02T00:00:00Z", 18),
        ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", 24),
        ("2026-01-03T00:00:00Z", "2026-01-03T01:00:00.000001Z", 2),
    ]


def test_a_window_within_a_bucket_is_one_bucket(api: APIClient, device: Device) -> None:
    query = {"start": "2026-01-01T05:30:00Z", "stop": "2026-01-01T05:31:00Z", "interval": "month"}
    bounds = bounds_of(answered(api, DOORS[0], device, **query))
    assert bounds == [at(5.5 * 3600), at(5.5 * 3600 + 60)]


@pytest.mark.parametrize(
    ("interval", "first", "last"),
    [
        ("hour", "2026-01-06T10:00:00Z", "2026-01-07T12:00:00Z"),
        ("day", "2026-01-06T00:00:00Z", "2026-01-08T00:00:00Z"),
        ("week", "2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"),
        ("month", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("path", DOORS)
def test_open_bounds_run_from_the_bucket_of_the_first_reading_to_that_of_the_last(
    api: APIClient, device: Device, path: str, interval: str, first: str, last: str
) -> None:
    keep(device, [(utc("2026-01-06T10:30"), 1, 2, 3), (utc("2026-01-07T11:00"), 1, 2, 3)])
    buckets = answered(api, path, device, interval=interval)["buckets"]
    assert (buckets[0]["start_time"], buckets[-1]["end_time"]) == (first, last)
    assert sum(bucket["count"] for bucket in buckets) == 2
    half = answered(api, path, device, interval=interval, start="2026-01-06T10:10:00Z")["buckets"]
    assert (half[0]["start_time"], half[-1]["end_time"]) == ("2026-01-06T10:10:00Z", last)
    half = answered(api, path, device, interval=interval, stop="2026-01-07T11:10:00Z")["buckets"]
    assert (half[0]["start_time"], half[-1]["end_time"]) == (first, "2026-01-07T11:10:00Z")


def test_empty_buckets_are_present(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3), (3 * 3600, 1, 2, 3))
    buckets = answered(api, DOORS[0], device, interval="hour")["buckets"]
    assert [bucket["count"] for bucket in buckets] == [1, 0, 0, 1]
    assert buckets[1] == {
        "start_time": "2026-01-01T01:00:00Z", "end_time": "2026-01-01T02:00:00Z", "count": 0,
        "x": NOTHING, "y": NOTHING, "z": NOTHING,
    }  # fmt: skip


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("bounds", [{}, {"start": "2026-01-01T00:00:00Z"}, {"stop": "2026-01-01T00:00:00Z"}])
def test_open_bounds_without_readings_have_no_buckets(
    api: APIClient, device: Device, path: str, bounds: dict[str, str]
) -> None:
    answer = answered(api, path, device, interval="day", **bounds)
    assert (answer["count"], answer["buckets"]) == (0, [])


@pytest.mark.parametrize("path", DOORS)
def test_a_closed_window_without_readings_has_all_buckets(api: APIClient, device: Device, path: str) -> None:
    query = {"start": "2026-01-01T00:00:00Z", "stop": "2026-01-08T00:00:00Z", "interval": "day"}
    buckets = answered(api, path, device, **query)["buckets"]
    assert [(bucket["count"], bucket["x"]) for bucket in buckets] == 7 * [(0, NOTHING)]


def test_the_pool_of_a_user_without_devices_has_all_buckets_too(api: APIClient, alice: User) -> None:
    query = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-08T00:00:00Z", "interval": "day"}
    answer = api.get(f"/api/v1/users/{alice.pk}/analytics/", query).json()
    assert [bucket["count"] for bucket in answer["buckets"]] == 7 * [0]


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_equal_bounds_have_no_buckets(api: APIClient, device: Device, path: str, interval: str) -> None:
    stored(device, (0, 1, 2, 3))
    for moment in ("2026-01-01T00:00:00Z", "2026-01-01T00:30:00Z"):
        assert answered(api, path, device, start=moment, stop=moment, interval=interval)["buckets"] == []


@pytest.mark.parametrize("path", DOORS)
def test_buckets_are_only_answered_where_they_were_asked_for(api: APIClient, device: Device, path: str) -> None:
    stored(device, (0, 1, 2, 3))
    assert "buckets" not in answered(api, path, device, timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("path", "of_the_device", "asked_for", "start"),
    [
        (DOORS[0], "", None, "2026-01-01T00:00:00Z"),
        (DOORS[0], "Asia/Kathmandu", None, "2025-12-31T18:15:00Z"),
        (DOORS[0], "Asia/Kathmandu", "Europe/Berlin", "2025-12-31T23:00:00Z"),
        (DOORS[1], "Asia/Kathmandu", None, "2026-01-01T00:00:00Z"),
        (DOORS[1], "Asia/Kathmandu", "Europe/Berlin", "2025-12-31T23:00:00Z"),
        (DOORS[2], "Asia/Kathmandu", None, "2026-01-01T00:00:00Z"),
        (DOORS[2], "Asia/Kathmandu", "Europe/Berlin", "2025-12-31T23:00:00Z"),
    ],
)
def test_the_zone_is_the_one_asked_for_or_that_of_the_device_or_utc(
    api: APIClient, device: Device, path: str, of_the_device: str, asked_for: str | None, start: str
) -> None:
    Device.objects.filter(pk=device.pk).update(timezone=of_the_device)
    stored(device, (5 * 3600, 1, 2, 3))
    zone = {"timezone": asked_for} if asked_for else {}
    assert answered(api, path, device, interval="day", **zone)["buckets"][0]["start_time"] == start


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    ("query", "pointer"),
    [({"interval": name}, "/interval") for name in ("year", "", "Hour", "days", "hour,day", "1h")]
    + [
        ({"interval": "day", "timezone": name}, "/timezone")
        for name in ("Mars/Olympus", "", "europe/berlin", "+01:00", "../UTC", "/etc/passwd", "UTC\x00", 65 * "x")
    ]
    + [({"timezone": "Mars/Olympus"}, "/timezone")],
)
def test_an_unknown_interval_or_zone_is_refused_by_name(
    api: APIClient, device: Device, path: str, query: dict[str, str], pointer: str
) -> None:
    response = asked(api, path, device, **query)
    assert (response.status_code, list(codes(response))) == (400, [pointer])


@pytest.mark.parametrize("path", DOORS)
def test_10000_buckets_are_answered_and_one_more_is_refused(api: APIClient, device: Device, path: str) -> None:
    start, stop = "2025-01-01T00:00:00Z", utc("2025-01-01") + 10_000 * HOUR
    buckets = answered(api, path, device, start=start, stop=text_of(stop), interval="hour")["buckets"]
    assert len(buckets) == 10_000
    late = text_of(stop + timedelta(microseconds=1))
    response = asked(api, path, device, start=start, stop=late, interval="hour")
    assert (response.status_code, codes(response)) == (400, {"/interval": "too_many_buckets"})


def test_the_limit_is_of_the_whole_answer(api: APIClient, device: Device, other_device: Device) -> None:
    start, stop = "2025-01-01T00:00:00Z", utc("2025-01-01") + 5_000 * HOUR
    query = {"start": start, "interval": "hour"}
    results = asked(api, DOORS[2], device, stop=text_of(stop), **query).json()["results"]
    assert [len(result["buckets"]) for result in results] == [5_000, 5_000]
    response = asked(api, DOORS[2], device, stop=text_of(stop + HOUR), **query)
    assert (response.status_code, codes(response)) == (400, {"/interval": "too_many_buckets"})
    assert len(asked(api, DOORS[1], device, stop=text_of(stop + HOUR), **query).json()["buckets"]) == 5_001


def test_readings_far_apart_have_too_many_buckets(api: APIClient, device: Device) -> None:
    keep(device, [(utc("1900-01-01"), 1, 2, 3), (utc("2199-12-31T23:59:59"), 1, 2, 3)])
    response = asked(api, DOORS[0], device, interval="day")
    assert (response.status_code, codes(response)) == (400, {"/interval": "too_many_buckets"})
    for zone in ("UTC", "America/Adak", "Pacific/Kiritimati"):
        answer = answered(api, DOORS[0], device, interval="month", timezone=zone)
        bounds_of(answer)
        assert [bucket["count"] for bucket in answer["buckets"] if bucket["count"]] == [1, 1]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
@pytest.mark.parametrize(
    ("start", "stop"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-03T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("9999-12-30T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00Z", None),
        (None, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_window_far_outside_is_answered_or_refused(
    api: APIClient, device: Device, zone: str, interval: str, start: str | None, stop: str | None
) -> None:
    stored(device, (0, 1, 2, 3))
    query = {name: value for name, value in (("start", start), ("stop", stop)) if value}
    response = asked(api, DOORS[0], device, interval=interval, timezone=zone, **query)
    assert response.status_code in {200, 400}
    if response.status_code == 200:
        bounds_of(response.json())
