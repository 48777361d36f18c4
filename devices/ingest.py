"""Readings in: stored once, committed before anybody is told, and each row's fate known.

`store` is the one function that adds readings, whichever door they came by.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, NotFound, PermissionDenied, ValidationError

from devices import metrics, rows, values
from devices.columns import FIRST_MICROSECOND, Columns
from devices.formats import Batch
from devices.insertion import insert
from devices.models import Device, Reading
from devices.querysets import DeviceQuerySet
from devices.reading_ids import Content, microseconds
from devices.rows import FAULTS_LISTED, WHOLE_ROW, InvalidRow, Row, fault, sendable
from devices.signals import readings_changed
from devices.transactions import shared_device_locks

NONE = np.empty(0, dtype=np.int64)


class DeviceInactive(PermissionDenied):
    default_code = "device_inactive"
    default_detail = "This device is inactive and takes no readings."


class BeforeRetention(ValidationError):
    """Readings of a time that is not kept any more; nothing was stored. `positions` are theirs among those to store."""

    default_code = "before_retention"
    faults = fault("recorded_at", default_code, "Readings of this time are not kept any more by this device.")

    def __init__(self, positions: list[int]) -> None:
        super().__init__(self.faults)
        self.positions = positions


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
    with _writing_to(np.unique(batch.columns.device).tolist()) as states:
        _check_active(states)
        batch, created = _take(batch, states, partial)
    return _receipt(batch, created)


def receive_of_many(batch: Batch, writable: DeviceQuerySet, partial: bool) -> Receipt:
    """Store the readings of a batch of several devices. Rows of a device that is not writable are bad ones, too."""
    device_ids = np.unique(batch.columns.device).tolist()
    with shared_device_locks(device_ids):
        batch, created = _take(batch, _states(writable, device_ids), partial)
    return _receipt(batch, created)


def receive_one(device: Device, fields: Any) -> tuple[Reading, bool]:
    """Store one decoded reading; returns it, and whether it is new. Raises ValidationError with its faults.

    Without a time it is a reading of this moment, a new one each time: on a collision the next free microsecond.
    """
    if not isinstance(fields, dict) or "recorded_at" in fields:
        row = _counted_row(device, fields)
        created = _counted_store(row)
        metrics.count_stored(1, created)
        return _as_reading(row), created == 1
    row = _counted_row(device, {**fields, "recorded_at": timezone.now().isoformat()})
    while not store(Columns.of_rows([row])):
        row = row._replace(recorded_at=row.recorded_at + timedelta(microseconds=1))
    metrics.count_stored(1, 1)
    return _as_reading(row), True


def _counted_row(device: Device, fields: Any) -> Row:
    """A checked row; a bad one counts as rejected."""
    try:
        return rows.check(fields, device.pk)
    except InvalidRow as error:
        metrics.count_faults([error.faults])
        raise ValidationError(error.faults) from None


def _counted_store(row: Row) -> int:
    """Store a row; one of a time that is not kept any more counts as rejected."""
    try:
        return store(Columns.of_rows([row]))
    except BeforeRetention as error:
        metrics.count_faults([error.faults])
        raise


def checked_row(device: Device, fields: Any) -> Row:
    """One decoded reading of a device; raises ValidationError with its faults."""
    try:
        return rows.check(fields, device.pk)
    except InvalidRow as error:
        raise ValidationError(error.faults) from None


def store(readings: Columns) -> int:
    """Commit the readings that are not there yet, and return how many those were.

    Raises NotFound when a device is gone, DeviceInactive when one takes no readings, and BeforeRetention when it keeps
    none of such a time; nothing is stored then.
    """
    with _writing_to(np.unique(readings.device).tolist()) as states:
        _check_active(states)
        _check_times(readings, states)
        return _add(readings, states)


def replace(device: Device, old: Content, new: Row) -> Reading:
    """Put a reading in another's place, or let it meet its equal that is there.

    Raises NotFound if the old one is gone, and BeforeRetention if the new one is of a time that is not kept.
    """
    with _writing_to([device.pk]) as states:
        _check_times(Columns.of_rows([new]), states)
        # The row count tells the one of two simultaneous replacements that came second.
        if not Reading.objects.filter(pk=(device.pk, *old)).delete()[0]:
            raise NotFound
        _tell_of_removed(states[device.pk], old.recorded_at, old.recorded_at)
        _add(Columns.of_rows([new]), states)
    return _as_reading(new)


def delete_one(device: Device, content: Content) -> None:
    """Delete a reading; NotFound if it is not there."""
    with _writing_to([device.pk]) as states:
        if not Reading.objects.filter(pk=(device.pk, *content)).delete()[0]:
            raise NotFound
        _tell_of_removed(states[device.pk], content.recorded_at, content.recorded_at)


def delete_window(device: Device, start_time: datetime, end_time: datetime) -> int:
    """Delete the readings of a window, and return how many they were."""
    with _writing_to([device.pk]) as states:
        deleted = Reading.objects.filter(device=device).in_window(start_time, end_time).delete()[0]
        if deleted:
            _tell_of_removed(states[device.pk], start_time, end_time)
    return deleted


class _State(NamedTuple):
    """What a writer has to know of a device, as it is under the lock."""

    device_id: int
    is_active: bool
    closed_until: datetime | None
    pruned_before: datetime | None


@contextmanager
def _writing_to(device_ids: Collection[int]) -> Iterator[dict[int, _State]]:
    """A transaction with devices held against deletion and closing; yields their states. NotFound if one is gone."""
    with shared_device_locks(device_ids):
        states = _states(Device.objects.all(), device_ids)
        if len(states) < len(device_ids):
            raise NotFound
        yield states


def _states(devices: DeviceQuerySet, device_ids: Collection[int]) -> dict[int, _State]:
    """The states of those of the devices that are there."""
    names = ("pk", "is_active", "state__closed_until", "state__pruned_before")
    return {row[0]: _State(*row) for row in devices.filter(pk__in=device_ids).values_list(*names)}


def _check_active(states: Mapping[int, _State]) -> None:
    if not all(state.is_active for state in states.values()):
        raise DeviceInactive


def _check_times(readings: Columns, states: Mapping[int, _State]) -> None:
    positions = np.flatnonzero(_before_retention(readings, states)).tolist()
    if positions:
        raise BeforeRetention(positions)


def _before_retention(readings: Columns, states: Mapping[int, _State]) -> Any:
    """Which of the readings are of a time that their device does not keep any more, as a mask."""
    pruned = {id: microseconds(state.pruned_before) for id, state in states.items() if state.pruned_before is not None}
    if not pruned:
        return np.zeros(len(readings), dtype=bool)
    device_ids, places = np.unique(readings.device, return_inverse=True)
    bounds = np.array([pruned.get(device_id, FIRST_MICROSECOND) for device_id in device_ids.tolist()])
    return readings.recorded_at < bounds[places]


def _take(batch: Batch, states: Mapping[int, _State], partial: bool) -> tuple[Batch, int]:
    """Insert what the devices take of a batch: the batch with the other rows among its faults, and how many are new."""
    batch = _without_refused_rows(batch, states)
    _refuse_faults(batch, partial)
    return batch, _add(batch.columns, states)


def _add(readings: Columns, states: Mapping[int, _State]) -> int:
    """Insert the readings that are not there yet, and tell of those that came late, into a closed time."""
    created = insert(readings)
    for state in states.values():
        if created and state.closed_until is not None:
            theirs = readings.recorded_at[readings.device == state.device_id]
            late = np.unique(theirs[theirs < microseconds(state.closed_until)])
            if len(late):
                readings_changed.send(Reading, device_id=state.device_id, added=late, removed=None)
    return created


def _tell_of_removed(state: _State, first: datetime, last: datetime) -> None:
    if state.closed_until is not None and first < state.closed_until:
        removed = (microseconds(first), microseconds(last))
        readings_changed.send(Reading, device_id=state.device_id, added=NONE, removed=removed)


def _without_refused_rows(batch: Batch, states: Mapping[int, _State]) -> Batch:
    """The batch with those rows among its faults whose device is unknown, inactive, or keeps none of their time."""
    active = [state.device_id for state in states.values() if state.is_active]
    good = np.isin(batch.columns.device, active) & ~_before_retention(batch.columns, states)
    if good.all():
        return batch
    error = values.unknown_device()
    unknown = fault("device", error.code, error.detail)
    inactive = fault("device", DeviceInactive.default_code, DeviceInactive.default_detail)
    faults = dict(batch.faults)
    for position in np.flatnonzero(~good).tolist():
        state = states.get(int(batch.columns.device[position]))
        refused = unknown if state is None else BeforeRetention.faults if state.is_active else inactive
        faults[batch.places[position]] = refused
    places = [batch.places[position] for position in np.flatnonzero(good).tolist()]
    return Batch(batch.columns.take(good), places, faults)


def _refuse_faults(batch: Batch, partial: bool) -> None:
    if batch.faults and not partial:
        metrics.count_faults(batch.faults.values())
        metrics.count_rejected(metrics.WITH_BATCH, len(batch.places))
        raise BatchRefused(batch)


def _receipt(batch: Batch, created: int) -> Receipt:
    """Of what is committed; counted, too."""
    metrics.count_stored(len(batch.places), created)
    metrics.count_faults(batch.faults.values())
    rejected = [
        {
            "index": place,
            "field": "" if name == WHOLE_ROW else sendable(name),
            "code": detail.code,
            "detail": sendable(detail),
        }
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
