"""Rollups are built beside the writers, and no interleaving leaves one that disagrees with the readings.

Closing. A writer holds its device's lock shared, and reads `closed_until` after it has got it. The builder raises
`closed_until` under the same lock, exclusively: so it has waited for all who took the time for open, and all who come
later know that it is closed, and make the rollups of what they change STALE in their own transaction.

Building. The builder marks a period BUILDING with a token of its own, under the same lock: who came before has
committed, and who comes later finds a row to mark. It takes a snapshot after that; sorts the readings that the snapshot
shows; and makes the rollup READY where it is still BUILDING with that token. A writer whose readings the snapshot does
not show commits after it was taken. Its mark, in the same commit, comes before the rollup becomes READY, which then
fails, or after, and makes it STALE.

Pruning. Each step holds the device's lock shared, as a writer does, so that no period becomes BUILDING during it; and
takes the rollups of the readings that it deletes along, whatever their status, in its own transaction.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import psycopg
from django.db import connection
from django.db.models import Min

from analytics import contents
from analytics.contents import columns_of, content_of, span_of
from analytics.models import Rollup
from analytics.periods import MICROSECONDS, Level, ceiling, floor
from analytics.reference import AXES
from devices.columns import FIRST_MICROSECOND, Integers
from devices.lookups import chunks, look_up, time_to, within
from devices.models import Device, DeviceState, Reading
from devices.querysets import ReadingQuerySet
from devices.reading_ids import from_microseconds, microseconds
from devices.transactions import exclusive_device_lock, snapshot

FEW = 10_000  # readings of thirty days: they are closed in one step, for each costs some milliseconds by itself
MOST_AT_ONCE = 500_000  # readings whose axes are written by one statement
GRACE = 10 * 60 * MICROSECONDS  # how long a period stays open for readings that come a little late

Period = tuple[Level, int]


def mark_stale(sender: object, device_id: int, added: Any, removed: tuple[int, int] | None, **kwargs: object) -> None:
    """Receiver of `readings_changed`, within its transaction: no rollup of what has changed is READY after it.

    Where readings came, a period that had too few for a rollup may have enough now: it is marked too, to be seen to.
    """
    for level in Level:
        if removed is not None:
            first, last = floor(removed[0], level), floor(removed[1], level)
            touched = Rollup.objects.filter(device=device_id, level=level, period_start__range=(first, last))
            touched.update(status=Rollup.Status.STALE, token=None)
        _mark(device_id, [(level, start) for start in _starts(added, level)], Rollup.Status.STALE, None)


def discard(sender: object, device_id: int, before: int, **kwargs: object) -> None:
    """Receiver of `readings_pruned`, within its transaction: the rollups of what is gone are gone with it.

    A longer period that is left in part is not marked: shorter ones answer for the rest of it, and its bound rises
    each day. Where it was built since, of what is left, it stays.
    """
    for level in Level:
        begun = Rollup.objects.filter(device=device_id, level=level, period_start__lt=before)
        begun.exclude(status=Rollup.Status.READY, first_at__gte=before).delete()


def forget(sender: object, instance: Device, **kwargs: object) -> None:
    """Receiver of the deletion of a device: its rollups go with it."""
    Rollup.objects.filter(device=instance.pk).delete()


def build(device: Device, now: datetime) -> Iterator[int]:
    """Build what a device lacks, step by step; yields after each step how many readings were seen to.

    Safe to stop at any point, and beside another builder: what is not READY is built when it is next called.
    """
    yield from _close(device.pk, floor(microseconds(now) - GRACE, Level.HOUR))
    yield from _mend(device.pk)


def _close(device_id: int, until: int) -> Iterator[int]:
    """Close the time until `until`, step by step, and build the rollups of what is closed."""
    closed = _closed_until(device_id)
    if closed == FIRST_MICROSECOND and _first_reading(device_id, closed, until) is None:
        return  # nothing has come yet
    while _closed_until(device_id) < until:
        token = secrets.randbits(63)
        step = _close_step(device_id, until, token)
        if step is None:
            return
        for period in step.periods:
            _build(device_id, period, token)
        yield _readings(device_id, step.start, step.stop).count()


class _Step(NamedTuple):
    """What was closed: all before `stop`, where nothing was between what was closed before and `start`."""

    start: int
    stop: int
    periods: list[Period]


def _close_step(device_id: int, until: int, token: int) -> _Step | None:
    """Raise `closed_until` past the next reading, and mark what is to be built then.

    Under the lock from the first look on: what comes in between would be closed and not built. A period with too few
    readings costs a look-up here, and no build. None where nothing is left to do: the device has gone, or another
    builder has been faster.
    """
    with exclusive_device_lock(device_id):
        closed = _closed_until(device_id)
        if closed >= until or not Device.objects.filter(pk=device_id).exists():
            return None
        first = _first_reading(device_id, closed, until)
        start = until if first is None else floor(first, Level.HOUR)
        stop = until if first is None else _end_of_step(device_id, first, until)
        ended = [(level, period_start) for level in Level for period_start in _ended(level, closed, start, stop)]
        periods = list(_filled(device_id, ended))
        DeviceState.objects.update_or_create(device_id=device_id, defaults={"closed_until": from_microseconds(stop)})
        _mark(device_id, periods, Rollup.Status.BUILDING, token)
    return _Step(start, stop, periods)


def _end_of_step(device_id: int, first: int, until: int) -> int:
    """The end of the day of a reading, or of its thirty days where few readings follow in them; `until` at most."""
    day, month = ceiling(first + 1, Level.DAY), ceiling(first + 1, Level.MONTH)
    is_day = day >= until or _readings(device_id, first, month)[FEW : FEW + 1].exists()
    return min(day if is_day else month, until)


def _closed_until(device_id: int) -> int:
    closed = DeviceState.objects.filter(device=device_id).values_list("closed_until", flat=True).first()
    return FIRST_MICROSECOND if closed is None else microseconds(closed)


def _mend(device_id: int) -> Iterator[int]:
    """Build what is over and not READY, finest first: a coarser one is made from finer ones.

    A late reading marks the day and the month too that it is in. These wait until they are over: readings that come in
    time tell nobody, and would be missing.
    """
    closed = _closed_until(device_id)
    for level in Level:
        over = closed - level * MICROSECONDS
        unready = Rollup.objects.filter(device=device_id, level=level, status__lt=Rollup.Status.READY)
        for start in list(unready.filter(period_start__lte=over).values_list("period_start", flat=True)):
            token = secrets.randbits(63)
            if _claim(device_id, (level, start), token):
                yield _build(device_id, (level, start), token)


def _claim(device_id: int, period: Period, token: int) -> int:
    """Mark what is not READY as BUILDING; 0 where it is READY by now, or gone with its device.

    Under the lock: a writer who removed readings before there was a row to be marked must have committed.
    """
    with exclusive_device_lock(device_id):
        unready = Rollup.objects.filter(pk=(device_id, *period), status__lt=Rollup.Status.READY)
        return int(unready.update(status=Rollup.Status.BUILDING, token=token))


def _build(device_id: int, period: Period, token: int) -> int:
    """Make a period that is marked BUILDING with the token READY, or take the mark away; returns its readings."""
    key = (device_id, *period)
    mine = Rollup.objects.filter(pk=key, token=token, status=Rollup.Status.BUILDING)
    with snapshot():
        content = None if _is_given_up(device_id, *period) else content_of(device_id, *period)
    if content is None:
        mine.delete()
        return 0
    columns: dict[str, Any] = {"count": content.size, "first_at": content.first_at, "last_at": content.last_at}
    for name, axis in zip(AXES, content.axes, strict=True):
        columns |= columns_of(name, axis)
        if content.size > MOST_AT_ONCE:
            _update(key, token, columns)
            columns = {}
    _update(key, token, columns | {"status": int(Rollup.Status.READY), "token": None})
    return content.size


def _is_given_up(device_id: int, level: Level, start: int) -> bool:
    """Whether a period begins before what a device keeps: of that the readings may be there yet, and go at any moment.

    Only of the longest periods can the rest be kept.
    """
    begun = DeviceState.objects.filter(device=device_id, pruned_before__gt=from_microseconds(start))
    return level == Level.MONTH and begun.exists()


def _update(key: tuple[int, Level, int], token: int, columns: Mapping[str, Any]) -> None:
    """Change a rollup, while it is still ours.

    On PostgreSQL in binary: Django would make a literal of bytes, twice as long, and copy that.
    """
    values = ", ".join(f"{name} = {'%b' if isinstance(value, bytes) else '%s'}" for name, value in columns.items())
    statement = (
        f"UPDATE analytics_rollup SET {values} WHERE device_id = %s AND level = %s AND period_start = %s "
        f"AND token = %s AND status = {Rollup.Status.BUILDING}"
    )
    parameters = [*columns.values(), key[0], int(key[1]), key[2], token]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with connection.wrap_database_errors:
                psycopg.Cursor(connection.connection).execute(statement, parameters)
        else:
            cursor.execute(statement.replace("%b", "%s"), parameters)


def _mark(device_id: int, periods: Iterable[Period], status: Rollup.Status, token: int | None) -> None:
    marks = [
        Rollup(device_id=device_id, level=level, period_start=start, status=status, token=token)
        for level, start in sorted(periods)  # in one order, so that two writers can't wait for each other
    ]
    Rollup.objects.bulk_create(
        marks,
        batch_size=500,
        update_conflicts=True,
        update_fields=["status", "token"],
        unique_fields=["device", "level", "period_start"],
    )


def _starts(times: Integers, level: Level) -> list[int]:
    length = level * MICROSECONDS
    starts: list[int] = (np.unique(times // length) * length).tolist()
    return starts


def _ended(level: Level, closed: int, start: int, stop: int) -> list[int]:
    """The periods that end after `closed` and not after `stop`, but for those from `closed` to `start`."""
    length = level * MICROSECONDS
    starts = {floor(closed - 1, level), *range(floor(start, level), stop, length)}
    return sorted(first for first in starts if closed < first + length <= stop)


def _first_reading(device_id: int, start: int, stop: int) -> int | None:
    if start >= stop:
        return None
    first = _readings(device_id, start, stop).aggregate(first=Min("recorded_at"))["first"]
    return None if first is None else microseconds(first)


_ENOUGH = """
SELECT wanted.column1, (
    SELECT 1 FROM devices_reading WHERE device_id = {device}
    AND recorded_at >= wanted.column3 AND recorded_at < wanted.column4 AND {within} LIMIT 1 OFFSET {others}
) FROM (VALUES {values}) AS wanted
"""


def _filled(device_id: int, periods: Sequence[Period]) -> Iterator[Period]:
    """Those of the periods that have enough readings for a rollup."""
    spans = [span_of(device_id, *period) for period in periods]
    for chunk in chunks(enumerate(spans)):
        rows = ((place, device_id, time_to(span.start), time_to(span.stop)) for place, span in chunk)
        times = within("recorded_at", ((span.start, span.stop) for _, span in chunk))
        for place, enough in look_up(_ENOUGH, rows, within=times, others=contents.FEWEST - 1):
            if enough:
                yield periods[place]


def _readings(device_id: int, start: int, stop: int) -> ReadingQuerySet:
    window = from_microseconds(start), from_microseconds(stop)
    readings: ReadingQuerySet = Reading.objects.filter(device=device_id).in_window(*window)
    return readings
