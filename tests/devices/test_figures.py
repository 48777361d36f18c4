"""The figures of each minute, against what Python counts itself."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import figures
from devices.models import Device, DeviceActivity, Figure, HourlyCount, Reading, Refusal
from devices.rows import Row
from tests.helpers import NEW_YEAR, store_rows
from users.models import User

pytestmark = pytest.mark.django_db

NOON = NEW_YEAR + timedelta(hours=12)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def reading_at(device: Device, *times: datetime) -> None:
    store_rows([Row(device.pk, time, 1.0, 2.0, 3.0) for time in times])


def status_of(device: Device) -> str:
    return DeviceActivity.objects.get(device=device).status


def totals() -> dict[str, int]:
    return dict(Figure.objects.values_list("name", "value"))


def hours() -> dict[datetime, int]:
    return {hour: count for hour, count in HourlyCount.objects.values_list("hour", "count") if count}


@pytest.fixture
def pump(alice: User) -> Device:
    """It should send a reading each minute, and has been there since the day before."""
    device = Device.objects.create(owner=alice, name="Pump", expected_interval=60)
    Device.objects.update(created_at=NEW_YEAR - timedelta(days=1))
    return device


@pytest.mark.parametrize(("silence", "status"), [(120, "reporting"), (121, "silent")])
def test_a_device_is_silent_after_two_intervals(pump: Device, silence: int, status: str) -> None:
    reading_at(pump, NOON - timedelta(hours=3), NOON - timedelta(seconds=silence))
    figures.refresh(NOON)
    assert status_of(pump) == status


def test_a_device_that_never_sent_anything_is_silent_two_intervals_after_it_was_made(pump: Device) -> None:
    figures.refresh(NEW_YEAR - timedelta(days=1) + 2 * MINUTE)
    assert status_of(pump) == "reporting"
    figures.refresh(NEW_YEAR - timedelta(days=1) + 2 * MINUTE + timedelta(seconds=1))
    assert status_of(pump) == "silent"


def test_of_a_device_without_an_interval_nobody_can_say(device: Device) -> None:
    reading_at(device, NOON)
    figures.refresh(NOON)
    assert status_of(device) == "unknown"


def test_an_inactive_device_is_neither_silent_nor_reporting_until_it_is_active_again(pump: Device) -> None:
    reading_at(pump, NOON)
    Device.objects.update(is_active=False)
    figures.refresh(NOON)
    assert status_of(pump) == "inactive"
    Device.objects.update(is_active=True)
    figures.refresh(NOON)
    assert status_of(pump) == "reporting"


def test_the_last_reading_of_a_device_is_known(pump: Device) -> None:
    reading_at(pump, NOON - HOUR, NOON - MINUTE)
    figures.refresh(NOON)
    assert DeviceActivity.objects.get().last_reading_at == NOON - MINUTE


def test_a_deleted_last_reading_is_forgotten(pump: Device) -> None:
    reading_at(pump, NOON - HOUR, NOON - MINUTE)
    figures.refresh(NOON)
    Reading.objects.filter(recorded_at=NOON - MINUTE).delete()
    figures.refresh(NOON)
    assert DeviceActivity.objects.get().last_reading_at == NOON - HOUR


def test_what_is_as_it_was_is_not_written_again(pump: Device) -> None:
    figures.refresh(NOON)
    with CaptureQueriesContext(connection) as queries:
        figures.refresh(NOON + timedelta(seconds=1))
    assert not [query for query in queries if 'INSERT INTO "devices_deviceactivity"' in query["sql"]]


def test_figures_are_those_of_an_oracle_over_a_made_up_day(alice: User) -> None:
    """Devices of all kinds, readings that come late, and a refresh each few minutes."""
    rng = random.Random(7)
    made = [
        Device(owner=alice, name=str(n), expected_interval=rng.choice([None, 60, 600]), is_active=rng.random() < 0.8)
        for n in range(12)
    ]
    devices = Device.objects.bulk_create(made)
    Device.objects.update(created_at=NEW_YEAR)
    active = [device for device in devices if device.is_active]
    sent: list[tuple[Device, datetime]] = []
    now = NEW_YEAR
    while now < NEW_YEAR + 6 * HOUR:
        now += timedelta(seconds=rng.randrange(30, 600))
        new = [
            (device, now - timedelta(seconds=rng.randrange(0, 480)) + timedelta(microseconds=len(sent) + n))
            for n, device in enumerate(active)
            if rng.random() < 0.5
        ]
        sent += new
        for device, time in new:
            reading_at(device, time)
        figures.refresh(now)
    end = NEW_YEAR + 6 * HOUR
    now = end + figures.LATE  # no more comes in, and six hours are over
    figures.refresh(now)
    counted = {hour: number for hour, number in hours().items() if hour < end}
    assert counted == Counter(time.replace(minute=0, second=0, microsecond=0) for _, time in sent if time < end)
    assert {name: number for name, number in totals().items() if name.startswith("devices ") and number} == Counter(
        f"devices {_status(device, [t for d, t in sent if d == device], now)}" for device in devices
    )


def _status(device: Device, times: list[datetime], now: datetime) -> str:
    if not device.is_active:
        return "inactive"
    if device.expected_interval is None:
        return "unknown"
    silence = (now - max(times, default=NEW_YEAR)).total_seconds()
    return "silent" if silence > 2 * device.expected_interval else "reporting"


def test_an_hour_is_counted_once_more_ten_minutes_after_its_end_with_what_came_late(pump: Device) -> None:
    reading_at(pump, NOON + MINUTE)
    figures.refresh(NOON + 30 * MINUTE)
    reading_at(pump, NOON + 2 * MINUTE)
    figures.refresh(NOON + HOUR + 9 * MINUTE)
    assert hours() == {NOON: 1}
    figures.refresh(NOON + HOUR + 10 * MINUTE)
    assert hours() == {NOON: 2}


def test_only_the_hours_of_the_last_day_are_kept(pump: Device) -> None:
    figures.refresh(NOON)
    figures.refresh(NOON + 5 * HOUR)
    assert list(HourlyCount.objects.order_by("hour").values_list("hour", flat=True)) == figures.hours_shown(
        NOON + 5 * HOUR
    )


def test_two_that_count_the_same_hour_at_once_count_it_once(pump: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    reading_at(pump, NOON + MINUTE)
    between = figures._readings_between
    counted: list[int] = []

    def count_and_let_another_in(start: datetime, stop: datetime) -> int:
        number = between(start, stop)
        if not counted:
            counted.append(number)
            figures._count_hours(NOON + 2 * MINUTE)
        return number

    figures.refresh(NOON)
    monkeypatch.setattr(figures, "_readings_between", count_and_let_another_in)
    figures.refresh(NOON + 2 * MINUTE)
    assert hours() == {NOON: 1}


def test_refusals_expire_after_a_week(pump: Device) -> None:
    for days in (6, 8):
        Refusal.objects.create(
            device=pump, at=NOON - timedelta(days=days), status=400, faults=1, size=1, code="x", detail="x"
        )
    figures.refresh(NOON)
    assert [refusal.at for refusal in Refusal.objects.all()] == [NOON - timedelta(days=6)]
    assert totals()["refusals"] == 1


def test_a_refresh_asks_as_often_for_many_devices_as_for_one(
    alice: User, pump: Device, django_assert_max_num_queries: Any
) -> None:
    figures.refresh(NOON)
    Device.objects.bulk_create(Device(owner=alice, name=str(n), expected_interval=1) for n in range(500))
    figures.refresh(NOON)
    # 2 ids of devices in chunks, 5 the lock with its transaction, the newest readings, the changes, 2 the hours,
    # 4 the hour that runs: devices that report, again in chunks, their readings, its count, 1 the refusals, 4 totals
    with django_assert_max_num_queries(20):
        figures.refresh(NOON + MINUTE)


def test_who_comes_within_the_minute_has_nothing_to_do(pump: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[datetime] = []
    monkeypatch.setattr(figures, "refresh", begun.append)
    figures.refresh_if_due()
    figures.refresh_if_due()
    assert len(begun) == 1


def test_it_is_due_again_after_a_minute(pump: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[datetime] = []
    monkeypatch.setattr(figures, "refresh", begun.append)
    figures.refresh_if_due()
    Figure.objects.update(computed_at=timezone.now() - MINUTE)
    figures.refresh_if_due()
    assert len(begun) == 2


@pytest.mark.django_db(transaction=True)
def test_refreshes_beside_each_other_and_beside_deletions_agree(alice: User) -> None:
    devices = Device.objects.bulk_create(
        Device(owner=alice, name=str(number), expected_interval=60) for number in range(100)
    )
    for device in devices:
        reading_at(device, NOON)

    def in_a_thread(work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            connection.close()

    refresh = partial(figures.refresh, NOON + MINUTE)
    works: list[Callable[[], object]] = [refresh, refresh, *(device.delete for device in devices[:10]), refresh]
    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(in_a_thread, work) for work in works]
    for future in done:
        future.result()
    figures.refresh(NOON + MINUTE)
    assert totals()["devices reporting"] == DeviceActivity.objects.count() == 90
