"""The look-ups of devices and readings. Every one that a caller can cause starts at `visible_to`."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from django.db import models

from devices.principals import DevicePrincipal
from users.models import Caller


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

    def purge(self, device_ids: Iterable[int], step: int = 20_000) -> int:
        """Delete all readings of devices that are gone, `step` rows a transaction; returns how many."""
        deleted = 0
        for device_id in device_ids:
            rows = self.filter(device=device_id)
            while batch := rows.filter(pk__in=rows.values("pk")[:step]).delete()[0]:
                deleted += batch
        return deleted
