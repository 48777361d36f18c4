"""Rollups answer as the readings do, whatever happens to them."""

from datetime import datetime, timedelta
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics import reference
from analytics.building import build
from analytics.models import Rollup
from analytics.periods import Level
from analytics.summaries import summarize, summarize_between, summarize_each
from analytics.verifying import verify
from devices import ingest, reading_ids
from devices.models import Device, Reading
from devices.rows import Row
from tests.helpers import NEW_YEAR, at, stored

pytestmark = pytest.mark.django_db

LATER = NEW_YEAR + timedelta(days=70)


def history(device: Device, hours: int = 50, a_reading_each: int = 10) -> None:
    stored(device, *((s, (s * 7919) % 1009 / 8, -s, s % 17) for s in range(0, hours * 3600, a_reading_each)))


def roll_up(device: Device, now: datetime = LATER) -> int:
    return sum(build(device, now))


def agree(device: Device, start: datetime | None = None, end: datetime | None = None) -> None:
    fast, plain = summarize([device], start, end), reference.summarize([device.pk], start, end)
    for name in ("count", "first_at", "last_at"):
        assert getattr(fast, name) == getattr(plain, name)
    for axis in "xyz":
        a, b = getattr(fast, axis), getattr(plain, axis)
        assert (a.min, a.max, a.median) == (b.min, b.max, b.median)
        assert a.sum == b.sum or abs(a.sum - b.sum) <= 1e-9


def ready(device: Device) -> dict[str, int]:
    rows = Rollup.objects.filter(device=device, status=Rollup.Status.READY).values_list("level", flat=True)
    return {level.name: list(rows).count(level) for level in Level}


def look_ups(queries: CaptureQueriesContext) -> int:
    return sum(table in query["sql"] for query in queries for table in ("analytics_rollup", "devices_reading"))


def test_what_is_closed_is_rolled_up(device: Device) -> None:
    history(device)
    roll_up(device)
    assert ready(device) == {"HOUR": 50, "SIX_HOURS": 9, "DAY": 3, "MONTH": 1}


def test_an_hour_that_is_not_over_is_not(device: Device) -> None:
    history(device)
    roll_up(device, at(30 * 3600 + 1800))
    assert ready(device) == {"HOUR": 30, "SIX_HOURS": 5, "DAY": 1, "MONTH": 0}


def test_levels_that_a_rate_does_not_fill_are_not_built(device: Device) -> None:
    history(device, hours=24 * 60, a_reading_each=3600)
    roll_up(device, LATER + timedelta(days=30))
    assert ready(device) == {"HOUR": 0, "SIX_HOURS": 0, "DAY": 0, "MONTH": 2}


@pytest.mark.parametrize(
    ("start", "stop"),
    [(None, None), (0, 3600), (100, 3600 * 49.5), (86400, 2 * 86400), (3601, 7199), (5, 5), (4e5, 5e5), (-1e6, 1e5)],
)
def test_rollups_and_readings_give_one_answer(device: Device, start: float | None, stop: float | None) -> None:
    history(device)
    roll_up(device)
    agree(device, None if start is None else at(start), None if stop is None else at(stop))


def test_a_late_reading_is_answered_at_once_and_rolled_up_again(device: Device) -> None:
    history(device)
    roll_up(device)
    stored(device, (5000.5, 1e6, 0, 0))
    assert ready(device) == {"HOUR": 49, "SIX_HOURS": 8, "DAY": 2, "MONTH": 0}
    agree(device)
    roll_up(device)
    assert ready(device) == {"HOUR": 50, "SIX_HOURS": 9, "DAY": 3, "MONTH": 1}
    agree(device)


def test_a_history_that_comes_late_is_rolled_up(device: Device) -> None:
    history(device, hours=2)
    roll_up(device)
    stored(device, *((-86400 * 3 + s, s, 0, 0) for s in range(0, 7200, 10)))
    roll_up(device)
    assert ready(device)["HOUR"] == 4
    agree(device)


def test_a_replaced_a_deleted_and_a_window_of_readings_are_gone_at_once(device: Device) -> None:
    history(device)
    roll_up(device)
    one, other = Reading.objects.oldest_first()[100:102]
    ingest.delete_one(device, reading_ids.decode(one.id))
    agree(device)
    ingest.replace(device, reading_ids.decode(other.id), Row(device.pk, at(86400 * 1.5), 9.0, 9.0, 9.0))
    agree(device)
    ingest.delete_window(device, at(3000), at(90000))
    agree(device)
    roll_up(device)
    agree(device)
    assert all(agrees for _, agrees in verify(device.pk))


def test_a_batch_that_is_there_already_makes_nothing_stale(device: Device) -> None:
    history(device)
    roll_up(device)
    history(device)
    assert ready(device) == {"HOUR": 50, "SIX_HOURS": 9, "DAY": 3, "MONTH": 1}


@pytest.mark.django_db(transaction=True)
def test_a_deleted_device_takes_its_rollups_along(device: Device, other_device: Device) -> None:
    for one in (device, other_device):
        history(one, hours=3)
        roll_up(one)
    device.delete()
    assert set(Rollup.objects.values_list("device", flat=True)) == {other_device.pk}


def test_verification_finds_a_rollup_that_is_wrong_and_repair_mends_it(device: Device) -> None:
    history(device)
    roll_up(device)
    assert [rollup for rollup, agrees in verify(device.pk) if not agrees] == []
    Rollup.objects.filter(level=Level.HOUR, period_start=reading_ids.microseconds(at(3600))).update(y_median=1.0)
    with pytest.raises(Exception, match="62 rollups agree with their readings, 1 do not"):
        call_command("verify_rollups", stdout=StringIO(), stderr=StringIO())
    call_command("verify_rollups", "--repair", stdout=StringIO(), stderr=StringIO())
    call_command("rollup")
    call_command("verify_rollups", stdout=StringIO())


def test_a_rollup_of_an_earlier_release_is_not_read_and_built_anew(device: Device) -> None:
    history(device)
    roll_up(device)
    plain_doubles = {"x_values": bytes(8 * 360), "x_packed": None, "x_decimals": None, "x_median": -1.0}
    Rollup.objects.update(status=2, **plain_doubles)
    agree(device)
    roll_up(device)
    assert ready(device) == {"HOUR": 50, "SIX_HOURS": 9, "DAY": 3, "MONTH": 1}
    assert set(Rollup.objects.values_list("x_values", flat=True)) == {b""}
    agree(device)


def test_days_that_are_rollups_are_answered_by_one_look_up_for_all(device: Device) -> None:
    history(device, hours=72, a_reading_each=60)
    roll_up(device)
    days = [at(86_400 * day) for day in range(4)]
    with CaptureQueriesContext(connection) as queries:
        summaries = summarize_between([device], days)
    assert look_ups(queries) == 1
    assert summaries == [reference.summarize([device.pk], *window) for window in pairwise(days)]


def test_a_day_of_several_devices_is_answered_by_one_look_up_for_all(device: Device, other_device: Device) -> None:
    devices = [device, other_device]
    for each in devices:
        history(each, hours=24, a_reading_each=60)
        roll_up(each)
    with CaptureQueriesContext(connection) as queries:
        summaries = summarize_each(devices, at(0), at(86_400))
    assert look_ups(queries) == 1
    assert summaries == {each.pk: reference.summarize([each.pk], at(0), at(86_400)) for each in devices}


def test_a_build_that_stopped_half_way_goes_on(device: Device) -> None:
    history(device)
    steps = build(device, LATER)
    next(steps)
    del steps
    Rollup.objects.filter(level=Level.HOUR).update(status=Rollup.Status.BUILDING, token=7)
    agree(device)
    roll_up(device)
    assert ready(device) == {"HOUR": 50, "SIX_HOURS": 9, "DAY": 3, "MONTH": 1}
    agree(device)


def test_thirty_days_of_few_readings_are_closed_in_one_step(device: Device) -> None:
    history(device, hours=90 * 24, a_reading_each=3600)
    assert list(build(device, at(95 * 86_400))) == [144, 720, 720, 576]  # a period begins on the seventh of January
    assert ready(device) == {"HOUR": 0, "SIX_HOURS": 0, "DAY": 0, "MONTH": 2}
    agree(device)


def test_days_of_many_readings_are_closed_one_by_one(device: Device, monkeypatch: Any) -> None:
    monkeypatch.setattr("analytics.building.FEW", 100)
    history(device, hours=10 * 24, a_reading_each=3600)
    assert [closed for closed in build(device, LATER) if closed] == [24, 24, 96, 96]


def test_rollups_of_more_readings_than_are_read_at_once_are_built_and_verified(
    device: Device, monkeypatch: Any
) -> None:
    monkeypatch.setattr("analytics.raw.MAX_RAW", {"postgresql": 100, "sqlite": 100})  # of 360 an hour
    history(device)
    roll_up(device)
    assert ready(device) == {"HOUR": 50, "SIX_HOURS": 9, "DAY": 3, "MONTH": 1}
    agree(device)
    assert [rollup for rollup, agrees in verify(device.pk) if not agrees] == []


def test_an_hour_of_more_readings_than_a_block_may_have_is_not_built(device: Device, monkeypatch: Any) -> None:
    monkeypatch.setattr("analytics.contents.MOST", 1_000)
    stored(device, *((s / 10, s, -s, s % 17) for s in range(2 * 36_000, 2 * 36_000 + 5_000)))
    history(device, hours=2)
    roll_up(device)
    assert ready(device) == {"HOUR": 2, "SIX_HOURS": 0, "DAY": 0, "MONTH": 0}
    agree(device)
    agree(device, at(1800), at(2 * 3600 + 100))


def test_more_raw_readings_than_memory_is_for_are_gone_through_in_parts(device: Device, monkeypatch: Any) -> None:
    history(device, hours=2)
    monkeypatch.setattr("analytics.raw.MAX_RAW", {"postgresql": 100, "sqlite": 100})
    agree(device)
    agree(device, at(10), at(3000))
