"""What the admin's start page and lists tell of the devices, computed each minute and not when somebody looks.

Everything here may run at any time, and beside itself: a run that comes second finds nothing left to do.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from devices.models import Device, DeviceActivity, Figure, HourlyCount, Reading, Refusal
from devices.transactions import shared_device_locks

CHUNK = 1000  # devices in one transaction
HOUR = timedelta(hours=1)
HOURS_SHOWN = 24
LATE = timedelta(minutes=10)  # so long after its end an hour is counted once more, with what came late
INTERVALS_UNTIL_SILENT = 2

Status = DeviceActivity.Status


def refresh_figures(now: datetime | None = None) -> None:
    """Bring all figures up to date. The cost is a look-up in the index for each active device."""
    now = now or timezone.now()
    for device_ids in _chunks(Device.objects.filter(is_active=True)):
        _refresh_activity(device_ids, now)
    DeviceActivity.objects.filter(device__is_active=False).exclude(status=Status.INACTIVE).update(
        status=Status.INACTIVE
    )
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


def _refresh_activity(device_ids: list[int], now: datetime) -> None:
    """Write what has changed of some devices. None of them can be deleted meanwhile."""
    newest = Reading.objects.filter(device=OuterRef("pk")).newest_first().values("recorded_at")[:1]
    with shared_device_locks(device_ids):
        rows = (
            Device.objects.filter(pk__in=device_ids, is_active=True)
            .order_by("pk")
            .annotate(newest=Subquery(newest))
            .values_list("pk", "newest", "created_at", "expected_interval", "activity__last_reading_at", "activity__status")
        )
        changed = []
        for device_id, last_reading_at, created_at, interval, *known in rows.iterator():
            status = _status(last_reading_at or created_at, interval, now)
            if known != [last_reading_at, status]:
                changed.append(DeviceActivity(device_id=device_id, last_reading_at=last_reading_at, status=status))
        DeviceActivity.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["device"],
            update_fields=["last_reading_at", "status"],
        )


def _status(last_sign: datetime, interval: float | None, now: datetime) -> str:
    if interval is None:
        return Status.UNKNOWN
    silent = now - last_sign > INTERVALS_UNTIL_SILENT * timedelta(seconds=interval)
    return Status.SILENT if silent else Status.REPORTING


def _count_hours(now: datetime) -> None:
    """Count what has come since the last run; and an hour that is over, once more as a whole."""
    hours = hours_shown(now)
    HourlyCount.objects.filter(hour__lt=hours[0]).delete()
    HourlyCount.objects.bulk_create([HourlyCount(hour=hour, counted_until=hour) for hour in hours], ignore_conflicts=True)
    for one in HourlyCount.objects.filter(hour__lte=now, is_final=False).order_by("hour"):
        end = one.hour + HOUR
        is_final = now >= end + LATE
        start, stop = (one.hour if is_final else one.counted_until), min(end, now)
        if start < stop:
            number = _readings_between(start, stop)
            # Only if nobody else has done it meanwhile.
            HourlyCount.objects.filter(hour=one.hour, counted_until=one.counted_until, is_final=False).update(
                count=number if is_final else F("count") + number, counted_until=stop, is_final=is_final
            )


def _readings_between(start: datetime, stop: datetime) -> int:
    """How many readings the devices that report have in a span: a look-up in the index for each."""
    readings = Reading.objects.filter(device=OuterRef("pk")).in_window(start, stop).order_by()
    number = readings.values("device").annotate(number=Count("*")).values("number")
    reporting = Device.objects.filter(activity__last_reading_at__gte=start)
    return sum(
        Device.objects.filter(pk__in=chunk).annotate(number=Subquery(number)).aggregate(all=Coalesce(Sum("number"), 0))[
            "all"
        ]
        for chunk in _chunks(reporting)
    )


def _refresh_totals(now: datetime) -> None:
    counts = dict(DeviceActivity.objects.values_list("status").annotate(number=Count("*")))
    totals = {f"devices {status}": counts.get(status, 0) for status in Status}
    totals["refusals"] = Refusal.objects.count()
    Figure.objects.bulk_create(
        [Figure(name=name, value=value, computed_at=now) for name, value in totals.items()],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["value", "computed_at"],
    )
