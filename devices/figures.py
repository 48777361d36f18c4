"""What the admin's start page and lists tell of the devices, computed each minute and not when somebody looks.

Everything here may run at any time, and beside itself: a run that comes second finds nothing left to do.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, F, QuerySet
from django.utils import timezone

from devices.lookups import newest_times, of_each
from devices.models import Device, DeviceActivity, Figure, HourlyCount, Refusal
from devices.reading_ids import microseconds
from devices.transactions import shared_device_locks

CHUNK = 1000  # devices in one transaction
DUE = timedelta(seconds=55)  # asked each minute, or more often
BEGUN = "begun"  # the figure that says since when, and tells of two who want to begin the one that may
HOUR = timedelta(hours=1)
HOURS_SHOWN = 24
LATE = timedelta(minutes=10)  # so long after its end an hour is counted once more, with what came late
INTERVALS_UNTIL_SILENT = 2

Status = DeviceActivity.Status


def refresh_if_due() -> None:
    """Bring all figures up to date, unless somebody has begun that within the minute: to be asked at any time."""
    now = timezone.now()
    begun, _ = Figure.objects.get_or_create(name=BEGUN, defaults={"value": 0, "computed_at": now - DUE})
    if begun.computed_at <= now - DUE and Figure.objects.filter(name=BEGUN, computed_at=begun.computed_at).update(
        computed_at=now
    ):  # by nobody else meanwhile
        refresh(now)


def refresh(now: datetime) -> None:
    """Bring all figures up to date. The cost is a look-up in the index of readings for each device."""
    for device_ids in _chunks(Device.objects.all()):
        _refresh_activity(device_ids, now)
    _count_hours(now)
    Refusal.objects.expired(now).delete()
    _refresh_totals(now)


def hours_shown(now: datetime) -> list[datetime]:
    """The beginnings of the hours of the last day, oldest first; the last one has not ended."""
    current = now.replace(minute=0, second=0, microsecond=0)
    return [current - HOUR * back for back in reversed(range(HOURS_SHOWN))]


def _chunks(devices: QuerySet[Device]) -> Iterator[list[int]]:
    last = 0
    while chunk := list(devices.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        yield chunk
        last = chunk[-1]


class _Seen(NamedTuple):
    """A device, its newest reading, and what was written of it last."""

    pk: int
    is_active: bool
    expected_interval: float | None
    created_at: datetime
    last_reading_at: datetime | None
    status: str | None
    newest: datetime | None

    def status_at(self, now: datetime) -> Status:
        if not self.is_active:
            return Status.INACTIVE
        if self.expected_interval is None:
            return Status.UNKNOWN
        silence = now - (self.newest or self.created_at)
        silent = silence > INTERVALS_UNTIL_SILENT * timedelta(seconds=self.expected_interval)
        return Status.SILENT if silent else Status.REPORTING


def _refresh_activity(device_ids: list[int], now: datetime) -> None:
    """Write what has changed of some devices. None of them can be deleted meanwhile."""
    with shared_device_locks(device_ids):
        activities = [
            DeviceActivity(device_id=seen.pk, last_reading_at=seen.newest, status=status)
            for seen in _look_at(device_ids)
            if (seen.newest, status := seen.status_at(now)) != (seen.last_reading_at, seen.status)
        ]
        DeviceActivity.objects.bulk_create(
            activities,
            update_conflicts=True,
            unique_fields=["device"],
            update_fields=["last_reading_at", "status"],
        )


def _look_at(device_ids: list[int]) -> Iterator[_Seen]:
    newest = newest_times(device_ids)
    devices = Device.objects.filter(pk__in=device_ids).order_by("pk")
    own = ("pk", "is_active", "expected_interval", "created_at")
    for pk, *seen in devices.values_list(*own, "activity__last_reading_at", "activity__status"):
        yield _Seen._make((pk, *seen, newest.get(pk)))


def _count_hours(now: datetime) -> None:
    """Count what has come since the last run; and an hour that is over, once more as a whole."""
    hours = hours_shown(now)
    HourlyCount.objects.filter(hour__lt=hours[0]).delete()
    HourlyCount.objects.bulk_create(
        [HourlyCount(hour=hour, counted_until=hour) for hour in hours], ignore_conflicts=True
    )
    for hourly in HourlyCount.objects.filter(hour__lte=now, is_final=False).order_by("hour"):
        _count_hour(hourly, now)


def _count_hour(hourly: HourlyCount, now: datetime) -> None:
    end = hourly.hour + HOUR
    is_final = now >= end + LATE
    start, stop = (hourly.hour if is_final else hourly.counted_until), min(end, now)
    if start >= stop:
        return
    number = _readings_between(start, stop)
    # Only if nobody else has done it meanwhile.
    HourlyCount.objects.filter(hour=hourly.hour, counted_until=hourly.counted_until, is_final=False).update(
        count=number if is_final else F("count") + number, counted_until=stop, is_final=is_final
    )


def _readings_between(start: datetime, stop: datetime) -> int:
    """How many readings there are in a span: a look-up in the index for each device that has reported since."""
    span = microseconds(start), microseconds(stop)
    reporting = Device.objects.filter(activity__last_reading_at__gte=start)
    return sum(sum(of_each("count(*)", chunk, *span).values()) for chunk in _chunks(reporting))


def _refresh_totals(now: datetime) -> None:
    counts = dict(DeviceActivity.objects.values_list("status").annotate(number=Count("*")))
    totals = {f"devices {status}": counts.get(status, 0) for status in Status}
    totals["refusals"] = Refusal.objects.count()  # they are few, and expire
    Figure.objects.bulk_create(
        [Figure(name=name, value=value, computed_at=now) for name, value in totals.items()],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["value", "computed_at"],
    )
