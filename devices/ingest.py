"""Readings in: stored once, committed before anybody is told, and each row's fate known.

`store` is the one function that adds readings, whichever door they came by.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, NotFound, PermissionDenied, ValidationError

from devices import rows, values
from devices.columns import Columns
from devices.formats import Batch
from devices.insertion import insert
from devices.models import Device, Reading
from devices.querysets import DeviceQuerySet
from devices.reading_ids import Content
from devices.rows import FAULTS_LISTED, WHOLE_ROW, InvalidRow, Row, fault
from devices.transactions import shared_device_locks


class DeviceInactive(PermissionDenied):
    default_code = "device_inactive"
    default_detail = "This device is inactive and takes no readings."


class BatchRefused(APIException):
    """Some rows of a batch are bad, so nothing of it was stored. Lists the first of them, and tells how many."""

    status_code = status.HTTP_400_BAD_REQUEST

    def __init__(self, batch: Batch) -> None:
        detail: dict[str, dict[str, ErrorDetail]] = {}
        for place, name, reason in _first_faults(batch):
            detail.setdefault(str(place), {})[name] = reason
        super().__init__(detail)
        self.summary = f"{len(batch.faults)} of {batch.received} rows are bad; nothing was stored."


@dataclass
class Receipt:
    """What became of the rows of a batch: `received = created + duplicates + rejected_count`."""

    received: int
    created: int
    rejected_count: int
    rejected: list[dict[str, Any]]

    @property
    def duplicates(self) -> int:
        return self.received - self.created - self.rejected_count


def receive(batch: Batch, partial: bool) -> Receipt:
    """Store the readings of a batch of one device: all or none, or with `partial` the good ones.

    Raises BatchRefused with the bad rows, NotFound, DeviceInactive; nothing is stored then.
    """
    _refuse_faults(batch, partial)
    return _receipt(batch, store(batch.columns))


def receive_of_many(batch: Batch, writable: DeviceQuerySet, partial: bool) -> Receipt:
    """Store the readings of a batch of several devices. Rows of a device that is not writable are bad ones, too."""
    device_ids = np.unique(batch.columns.device).tolist()
    with shared_device_locks(device_ids):
        batch = _without_refused_devices(batch, _activity(writable, device_ids))
        _refuse_faults(batch, partial)
        created = insert(batch.columns)
    return _receipt(batch, created)


def receive_one(device: Device, fields: Any) -> tuple[Reading, bool]:
    """Store one decoded reading; returns it, and whether it is new. Raises ValidationError with its faults.

    Without a time it is a reading of this moment, a new one each time: on a collision the next free microsecond.
    """
    if not isinstance(fields, dict) or "recorded_at" in fields:
        row = checked_row(device, fields)
        return _as_reading(row), store(Columns.of_rows([row])) == 1
    row = checked_row(device, {**fields, "recorded_at": timezone.now().isoformat()})
    while not store(Columns.of_rows([row])):
        row = row._replace(recorded_at=row.recorded_at + timedelta(microseconds=1))
    return _as_reading(row), True


def checked_row(device: Device, fields: Any) -> Row:
    """One decoded reading of a device; raises ValidationError with its faults."""
    try:
        return rows.check(fields, device.pk)
    except InvalidRow as error:
        raise ValidationError(error.faults) from None


def store(readings: Columns) -> int:
    """Commit the readings that are not there yet, and return how many those were.

    Raises NotFound when a device is gone and DeviceInactive when one takes no readings; nothing is stored then.
    """
    with _writing_to(np.unique(readings.device).tolist()) as devices_are_active:
        if not all(devices_are_active):
            raise DeviceInactive
        return insert(readings)


def replace(device: Device, old: Content, new: Row) -> Reading:
    """Put a reading in another's place, or let it meet its equal that is there; NotFound if the old one is gone."""
    with _writing_to([device.pk]):
        # The row count tells the one of two simultaneous replacements that came second.
        if not Reading.objects.filter(pk=(device.pk, *old)).delete()[0]:
            raise NotFound
        insert(Columns.of_rows([new]))
    return _as_reading(new)


def delete_one(device: Device, content: Content) -> None:
    """Delete a reading; NotFound if it is not there."""
    with _writing_to([device.pk]):
        if not Reading.objects.filter(pk=(device.pk, *content)).delete()[0]:
            raise NotFound


def delete_window(device: Device, start_time: datetime, end_time: datetime) -> int:
    """Delete the readings of a window, and return how many they were."""
    with _writing_to([device.pk]):
        return Reading.objects.filter(device=device).in_window(start_time, end_time).delete()[0]


@contextmanager
def _writing_to(device_ids: Collection[int]) -> Iterator[Collection[bool]]:
    """A transaction with the devices held against deletion; yields whether each is active. NotFound if one is gone."""
    with shared_device_locks(device_ids):
        activity = _activity(Device.objects.all(), device_ids)
        if len(activity) < len(device_ids):
            raise NotFound
        yield activity.values()


def _activity(devices: DeviceQuerySet, device_ids: Collection[int]) -> dict[int, bool]:
    """Those of the devices that are there, and whether each is active."""
    return dict(devices.filter(pk__in=device_ids).values_list("pk", "is_active"))


def _without_refused_devices(batch: Batch, activity: Mapping[int, bool]) -> Batch:
    """The batch with the rows of devices that are unknown or inactive among its faults."""
    active = [device_id for device_id, is_active in activity.items() if is_active]
    good = np.isin(batch.columns.device, active)
    if good.all():
        return batch
    error = values.unknown_device()
    unknown = fault("device", error.code, error.detail)
    inactive = fault("device", DeviceInactive.default_code, DeviceInactive.default_detail)
    faults = dict(batch.faults)
    for position in np.flatnonzero(~good).tolist():
        known = int(batch.columns.device[position]) in activity
        faults[batch.places[position]] = inactive if known else unknown
    places = [batch.places[position] for position in np.flatnonzero(good).tolist()]
    return Batch(batch.columns.take(good), places, faults)


def _refuse_faults(batch: Batch, partial: bool) -> None:
    if batch.faults and not partial:
        raise BatchRefused(batch)


def _receipt(batch: Batch, created: int) -> Receipt:
    rejected = [
        {"index": place, "field": "" if name == WHOLE_ROW else name, "code": detail.code, "detail": str(detail)}
        for place, name, detail in _first_faults(batch)
    ]
    return Receipt(batch.received, created, len(batch.faults), rejected)


def _first_faults(batch: Batch) -> Iterator[tuple[int, str, ErrorDetail]]:
    """The faults by row and field, in the order of the rows, as many as an answer lists."""
    every = (
        (place, name, detail)
        for place, faults in sorted(batch.faults.items())
        for name, details in faults.items()
        for detail in details
    )
    return islice(every, FAULTS_LISTED)


def _as_reading(row: Row) -> Reading:
    return Reading(**row._asdict())
