"""Readings in: stored once, committed before anybody is told, and each row's fate known.

`store` is the one function that adds readings, whichever door they came by.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, NotFound, PermissionDenied, ValidationError

from devices import rows
from devices.models import Device, Reading
from devices.reading_ids import Content
from devices.rows import Faults, InvalidRow, Row
from devices.transactions import shared_device_locks

FAULTS_LISTED = 100


class DeviceInactive(PermissionDenied):
    default_code = "device_inactive"
    default_detail = "This device is inactive and takes no readings."


class BatchRefused(APIException):
    """Some rows of a batch are bad, so nothing of it was stored. Lists the first of them, and tells how many."""

    status_code = status.HTTP_400_BAD_REQUEST

    def __init__(self, received: int, faults: Mapping[int, Faults]) -> None:
        super().__init__({str(index): faults[index] for index in islice(faults, FAULTS_LISTED)})
        self.summary = f"{len(faults)} of {received} rows are bad; nothing was stored."


@dataclass
class Receipt:
    """What became of the rows of a batch: `received = created + duplicates + rejected_count`."""

    received: int
    created: int
    rejected_count: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        return self.received - self.created - self.rejected_count


def receive_batch(device: Device, batch: Sequence[Any]) -> Receipt:
    """Store the readings of a decoded array, all or none; raises BatchRefused with the bad rows by index."""
    if not batch:
        raise ValidationError(ErrorDetail("An empty batch: there is nothing to store.", "empty"))
    checked, faults = [], {}
    for index, fields in enumerate(batch):
        try:
            checked.append(rows.check(device.pk, fields))
        except InvalidRow as error:
            faults[index] = error.faults
    if faults:
        raise BatchRefused(len(batch), faults)
    return Receipt(received=len(batch), created=store(checked))


def receive_one(device: Device, fields: Any) -> tuple[Reading, bool]:
    """Store one decoded reading; returns it, and whether it is new. Raises ValidationError with its faults.

    Without a time it is a reading of this moment, a new one each time: on a collision the next free microsecond.
    """
    if not isinstance(fields, dict) or "recorded_at" in fields:
        row = checked_row(device, fields)
        return _as_reading(row), store([row]) == 1
    row = checked_row(device, {**fields, "recorded_at": timezone.now().isoformat()})
    while not store([row]):
        row = row._replace(recorded_at=row.recorded_at + timedelta(microseconds=1))
    return _as_reading(row), True


def checked_row(device: Device, fields: Any) -> Row:
    """One decoded reading of a device; raises ValidationError with its faults."""
    try:
        return rows.check(device.pk, fields)
    except InvalidRow as error:
        raise ValidationError(error.faults) from None


def store(readings: Sequence[Row]) -> int:
    """Commit the readings that are not there yet, and return how many those were.

    Raises NotFound when a device is gone and DeviceInactive when one takes no readings; nothing is stored then.
    """
    device_ids = {row.device_id for row in readings}
    with _writing_to(device_ids) as devices_are_active:
        if not all(devices_are_active):
            raise DeviceInactive
        return _insert(readings)


def replace(device: Device, old: Content, new: Row) -> Reading:
    """Put a reading in another's place, or let it meet its equal that is there; NotFound if the old one is gone."""
    with _writing_to([device.pk]):
        # The row count tells the one of two simultaneous replacements that came second.
        if not Reading.objects.filter(pk=(device.pk, *old)).delete()[0]:
            raise NotFound
        _insert([new])
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
def _writing_to(device_ids: Iterable[int]) -> Iterator[list[bool]]:
    """A transaction with the devices held against deletion; yields whether each is active. NotFound if one is gone."""
    device_ids = set(device_ids)
    with shared_device_locks(device_ids):
        active = list(Device.objects.filter(pk__in=device_ids).values_list("is_active", flat=True))
        if len(active) < len(device_ids):
            raise NotFound
        yield active


def _insert(readings: Iterable[Row]) -> int:
    # Sorted: two batches with the same rows in different orders would wait for each other's index entries.
    insert = _insert_postgresql if connection.vendor == "postgresql" else _insert_sqlite
    return insert(sorted(readings))


def _insert_postgresql(readings: Sequence[Row]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH created AS (
                INSERT INTO devices_reading (device_id, recorded_at, x, y, z)
                SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::float8[], %s::float8[])
                ON CONFLICT DO NOTHING RETURNING 1
            )
            SELECT count(*) FROM created
            """,
            [list(column) for column in zip(*readings, strict=True)],
        )
        return int(cursor.fetchone()[0])


def _insert_sqlite(readings: Sequence[Row]) -> int:
    # Not INSERT OR IGNORE, which would swallow a broken NOT NULL as well.
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO devices_reading (device_id, recorded_at, x, y, z) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [(row.device_id, adapt(row.recorded_at), row.x, row.y, row.z) for row in readings],
        )
        return int(cursor.rowcount)


def _as_reading(row: Row) -> Reading:
    return Reading(**row._asdict())
