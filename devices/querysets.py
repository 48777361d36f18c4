"""The look-ups of devices and readings. Every one that a caller can cause starts at `visible_to`."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

from django.db import connection, models

from devices.principals import DevicePrincipal
from users.models import Caller

REFUSALS_KEPT_FOR = timedelta(days=7)


class DeviceQuerySet(models.QuerySet[Any]):
    def visible_to(self, caller: Caller) -> Self:
        """Staff see every device, a user their own, a device key its one, anybody else none."""
        if isinstance(caller, DevicePrincipal):
            return self.filter(pk=caller.device.pk)
        if not caller.is_authenticated:
            return self.none()
        return self if caller.is_staff else self.filter(owner=caller.pk)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete each device with its readings, as `Device.delete` does."""
        devices = list(self)
        for device in devices:
            device.delete()
        return len(devices), {self.model._meta.label: len(devices)}


class ReadingQuerySet(models.QuerySet[Any]):
    def in_window(self, start_time: datetime | None, end_time: datetime | None) -> Self:
        """The readings with `start_time <= recorded_at < end_time`; None leaves that end open."""
        bounds: dict[str, Any] = {}
        if start_time is not None:
            bounds["recorded_at__gte"] = start_time
        if end_time is not None:
            bounds["recorded_at__lt"] = end_time
        return self.filter(**bounds)

    def oldest_first(self) -> Self:
        """In the order of the primary key, so that its index serves the order; the columns after it break ties."""
        return self.order_by("recorded_at", "x", "y", "z")

    def newest_first(self) -> Self:
        return self.order_by("-recorded_at", "-x", "-y", "-z")

    def after(self, key: tuple[Any, ...]) -> Self:
        """Those that follow a primary key in its order. Its time alone says which partitions there are to look into."""
        return self.filter(pk__gt=key, recorded_at__gte=key[1])

    def before(self, key: tuple[Any, ...]) -> Self:
        return self.filter(pk__lt=key, recorded_at__lte=key[1])

    def purge(self, device_ids: Iterable[int], step: int = 20_000) -> int:
        """Delete all readings of devices that are gone, `step` rows a transaction; returns how many."""
        return sum(sum(iter(partial(_delete_some, device_id, step), 0)) for device_id in device_ids)


class RefusalQuerySet(models.QuerySet[Any]):
    def expired(self, now: datetime) -> Self:
        return self.filter(at__lt=now - REFUSALS_KEPT_FOR)


def _delete_some(device_id: int, limit: int) -> int:
    """Delete the oldest readings, about so many; returns how many.

    By a bound of time, which an index serves whatever the planner knows: given the keys of the rows, and a table that
    was not looked at since it was filled, PostgreSQL compared each row with each key for a quarter of an hour.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM devices_reading WHERE device_id = %s AND recorded_at <= (SELECT max(recorded_at) FROM "
            "(SELECT recorded_at FROM devices_reading WHERE device_id = %s ORDER BY recorded_at LIMIT %s) AS oldest)",
            [device_id, device_id, limit],
        )
        return int(cursor.rowcount)
