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

import math
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import psycopg
from django.db import connection
from django.db.models import Min

from analytics.models import Rollup
from analytics.order_statistics import grid, grid_step, median_of, middle_ranks
from analytics.packing import pack
from analytics.periods import COARSEST_FIRST, MICROSECONDS, Level, ceiling, floor
from analytics.pools import pools_of
from analytics.quarters import HOUR, quarters_of, sort_with_quarters
from analytics.raw import raw_parts
from analytics.reference import AXES
from analytics.tiling import Span, TooLarge
from devices.columns import FIRST_MICROSECOND, Bytes, Floats, Integers
from devices.lookups import chunks, look_up, time_to, within
from devices.models import Device, DeviceState, Reading
from devices.querysets import ReadingQuerySet
from devices.reading_ids import from_microseconds, microseconds
from devices.transactions import exclusive_device_lock, snapshot

FEWEST = 256  # readings: fewer are as quickly read raw
MOST = 4_194_304  # readings: the 32 MiB of an axis are what a block may take of memory
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


def verify(device_ids: Sequence[int]) -> Iterator[tuple[Rollup, bool]]:
    """Each READY rollup of the devices, without its values, and whether it agrees with the readings of its period."""
    ready = Rollup.objects.filter(device__in=device_ids, status=Rollup.Status.READY).only(
        "device", "level", "period_start"
    )
    for rollup in ready.order_by("device", "level", "period_start").iterator():
        with snapshot():
            still_ready = Rollup.objects.filter(pk=rollup.pk, status=Rollup.Status.READY).exists()
            agrees = not still_ready or _agrees(rollup)
        yield rollup, agrees


def repair(rollup: Rollup) -> None:
    """Have a rollup built anew."""
    Rollup.objects.filter(pk=rollup.pk).update(status=Rollup.Status.STALE, token=None)


def _close(device_id: int, until: int) -> Iterator[int]:
    """Close the time until `until`, a day at a time, and build the rollups of what is closed."""
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
    """Raise `closed_until` past the next reading, to the end of its day at most, and mark what is to be built then.

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
        stop = until if first is None else min(ceiling(first + 1, Level.DAY), until)
        ended = [(level, period_start) for level in Level for period_start in _ended(level, closed, start, stop)]
        periods = list(_filled(device_id, ended))
        DeviceState.objects.update_or_create(device_id=device_id, defaults={"closed_until": from_microseconds(stop)})
        _mark(device_id, periods, Rollup.Status.BUILDING, token)
    return _Step(start, stop, periods)


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


class _Axis(NamedTuple):
    """What a rollup keeps of an axis: its values in ascending order, their sum, and of an hour their quarters."""

    values: Floats
    sum: float
    quarters: bytes | None


class _Content(NamedTuple):
    """What a rollup keeps; its axes can be gone through once."""

    size: int
    first_at: int
    last_at: int
    axes: Iterable[_Axis]


def _build(device_id: int, period: Period, token: int) -> int:
    """Make a period that is marked BUILDING with the token READY, or take the mark away; returns its readings."""
    key = (device_id, *period)
    mine = Rollup.objects.filter(pk=key, token=token, status=Rollup.Status.BUILDING)
    with snapshot():
        content = None if _is_given_up(device_id, *period) else _content(device_id, *period)
    if content is None:
        mine.delete()
        return 0
    columns: dict[str, Any] = {"count": content.size, "first_at": content.first_at, "last_at": content.last_at}
    for name, axis in zip(AXES, content.axes, strict=True):
        columns |= _figures(name, axis) | _values(name, axis)
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


def _content(device_id: int, level: Level, start: int) -> _Content | None:
    """What a period has, from finer rollups and readings. None where a rollup is not worth it, or too large."""
    span = _span(device_id, level, start)
    try:
        content = _of_readings(span) if level == Level.HOUR else _of_finer(span, level)
    except TooLarge:
        return None
    return content if content is not None and content.size >= FEWEST else None


def _span(device_id: int, level: int, start: int) -> Span:
    return Span(0, device_id, start, start + level * MICROSECONDS)


def _of_readings(span: Span) -> _Content | None:
    """What the readings of a period give; None where there are none, or too many. Of an hour, quarters too."""
    ends: list[int] = []
    quarters: list[Bytes] = []
    columns: list[Floats] = []
    for times, axes in raw_parts(span):
        ends += [int(times.min()), int(times.max())]
        quarters.append(quarters_of(times, span.start))
        columns.append(axes)
        if sum(map(len, quarters)) > MOST:
            return None
    if not ends:
        return None
    of_each = np.concatenate(quarters) if span.stop - span.start == HOUR else None
    # One after the other, as they are asked for: each may be tens of megabytes.
    sorted_axes = (_sorted(np.concatenate([part[axis] for part in columns]), of_each) for axis in range(len(AXES)))
    return _Content(sum(map(len, quarters)), min(ends), max(ends), sorted_axes)


def _sorted(values: Floats, quarters: Bytes | None) -> _Axis:
    ordered, packed = (np.sort(values), None) if quarters is None else sort_with_quarters(values, quarters)
    return _Axis(ordered, float(ordered.sum()), packed)


def _of_finer(span: Span, level: Level) -> _Content | None:
    pool = pools_of([span], [other for other in COARSEST_FIRST if other < level]).get(0)
    if pool is None or pool.count > MOST:
        return None
    axes = [_Axis(np.sort(pool.all_values(axis)), math.fsum(pool.sums(axis)), None) for axis in range(len(AXES))]
    return _Content(pool.count, pool.first_at, pool.last_at, axes)


def _figures(name: str, axis: _Axis) -> dict[str, Any]:
    """What a rollup keeps of an axis beside its values, by column."""
    median = median_of(axis.values[list(middle_ranks(len(axis.values)))])
    knots = grid(axis.values, grid_step(len(axis.values)))
    return {f"{name}_sum": axis.sum, f"{name}_median": median, f"{name}_grid": knots.tobytes()}


def _values(name: str, axis: _Axis) -> dict[str, Any]:
    decimals, packed = pack(axis.values)
    return {
        f"{name}_decimals": decimals,
        f"{name}_packed": packed,
        f"{name}_quarters": axis.quarters,
        f"{name}_values": b"",  # of an earlier release
    }


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


def _agrees(rollup: Rollup) -> bool:
    """Whether every figure of a rollup is that of the readings of its period, which are read raw."""
    content = _of_readings(_span(rollup.device_id, rollup.level, rollup.period_start))
    kept = Rollup.objects.values().get(pk=rollup.pk)
    return (
        content is not None
        and (kept["count"], kept["first_at"], kept["last_at"]) == (content.size, content.first_at, content.last_at)
        and all(_axis_agrees(kept, name, axis) for name, axis in zip(AXES, content.axes, strict=True))
    )


def _axis_agrees(kept: dict[str, Any], name: str, axis: _Axis) -> bool:
    fresh = _figures(name, axis) | _values(name, axis)
    total = fresh.pop(f"{name}_sum")
    return abs(total - kept[f"{name}_sum"]) <= 1e-12 * float(np.abs(axis.values).sum()) and all(
        value == (bytes(kept[column]) if isinstance(value, bytes) and kept[column] is not None else kept[column])
        for column, value in fresh.items()
    )


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
    spans = [_span(device_id, *period) for period in periods]
    for chunk in chunks(enumerate(spans)):
        rows = ((place, device_id, time_to(span.start), time_to(span.stop)) for place, span in chunk)
        times = within("recorded_at", ((span.start, span.stop) for _, span in chunk))
        for place, enough in look_up(_ENOUGH, rows, within=times, others=FEWEST - 1):
            if enough:
                yield periods[place]


def _readings(device_id: int, start: int, stop: int) -> ReadingQuerySet:
    window = from_microseconds(start), from_microseconds(stop)
    readings: ReadingQuerySet = Reading.objects.filter(device=device_id).in_window(*window)
    return readings
