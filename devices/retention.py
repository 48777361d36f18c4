"""How long readings are kept, and how they go after that: in small steps, beside writers, builders and readers.

First `pruned_before` rises, under the device's lock: whoever writes has committed before, or sees that what is earlier
is not taken any more. Then the readings from before it go, oldest first, and in each step's own transaction what is
made of them, and `emptied_before` rises. So every answer agrees at any moment with the readings that are there, and
whoever is stopped, at whatever point, has only left some to delete for the next run.
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event
from time import monotonic, sleep
from typing import NamedTuple

from django.conf import settings
from django.db import OperationalError
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from devices.lookups import readings_in_window
from devices.models import Device, DeviceState, Reading
from devices.querysets import DeviceQuerySet
from devices.reading_ids import microseconds
from devices.signals import readings_pruned
from devices.transactions import exclusive_device_lock, shared_device_locks
from devices.values import FIRST_TIME

STEP = 2_000  # readings: larger steps are faster, and hold others up. Equal times go together, so it may be more
REST = 2  # times as long as a step took, until the next
CHUNK = 1_000  # devices looked at by one query


class Due(NamedTuple):
    """A device that is to keep nothing from before a time, and does, or has not said so yet."""

    device_id: int
    before: datetime


def bound(days: int, now: datetime) -> datetime:
    """The time from which on a device keeps its readings: a midnight, so that no hour or day is left in part."""
    return (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)


def days_kept() -> Coalesce:
    """For how many days a device keeps its readings, in a query of devices; 0: for good."""
    return Coalesce("retention_days", Value(settings.READING_RETENTION_DAYS))


def due(devices: DeviceQuerySet, now: datetime) -> Iterator[Due]:
    """Those of the devices that have something to prune: a thousand looked at by a query."""
    kept = devices.annotate(days=days_kept()).filter(days__gt=0).order_by("pk")
    rows = kept.values_list("pk", "days", "state__emptied_before")
    last = 0
    while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
        for device_id, days, emptied_before in chunk:
            before = bound(days, now)
            if emptied_before is None or emptied_before < before:
                yield Due(device_id, before)
        last = chunk[-1][0]


def prune(device_id: int, before: datetime, step: int = STEP) -> Iterator[int]:
    """Have a device keep nothing from before a time; yields after each step how many readings it has deleted.

    Safe to stop at any point, and beside another one. Between steps it leaves the database to others for a while.
    """
    emptied = FIRST_TIME if refuse_before(device_id, before) else before
    while emptied < before:
        began = monotonic()
        emptied, deleted = _delete_some(device_id, before, step)
        pause = REST * (monotonic() - began)
        yield deleted
        if emptied < before:
            sleep(pause)


def prune_for(seconds: float, stopping: Event) -> None:
    """Prune what is due, for so long at most, or until it is to stop. Drawn by lot, each device has its turn."""
    deadline = monotonic() + seconds
    waiting = list(due(Device.objects.all(), timezone.now()))
    random.shuffle(waiting)
    for device_id, before in waiting:
        with suppress(OperationalError):  # the next round goes on here
            for _ in prune(device_id, before):
                if monotonic() > deadline or stopping.is_set():
                    return


def refuse_before(device_id: int, before: datetime) -> bool:
    """Have writers refuse what is from before a time, once this is committed; False where the device is gone."""
    with exclusive_device_lock(device_id):
        if not Device.objects.filter(pk=device_id).exists():
            return False
        state = DeviceState.objects.filter(device=device_id).first() or DeviceState(device_id=device_id)
        state.pruned_before = max(state.pruned_before or before, before)
        state.closed_until = max(state.closed_until or before, before)
        state.save()
    return True


def _delete_some(device_id: int, before: datetime, limit: int) -> tuple[datetime, int]:
    """Delete the oldest readings, about so many; returns the time before which there is none left, and how many."""
    with shared_device_locks([device_id]):  # as a writer: nothing begins to be built meanwhile
        readings = readings_in_window(device_id, None, before)
        last = readings.order_by("recorded_at").values_list("recorded_at", flat=True)[limit - 1 : limit].first()
        stop = before if last is None else last + datetime.resolution
        deleted = readings.in_window(None, stop).delete()[0]
        readings_pruned.send(Reading, device_id=device_id, before=microseconds(stop))
        lower = Q(emptied_before=None) | Q(emptied_before__lt=stop)  # another pruner may be further
        DeviceState.objects.filter(lower, device=device_id).update(emptied_before=stop)
    return stop, deleted
