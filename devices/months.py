"""Months of readings: made ahead of time, and dropped when no device keeps them any longer."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile

import psycopg
from django.db import OperationalError

from devices.models import Device, Reading
from devices.partitions import (
    AHEAD,
    DEVICES_OF,
    EARLIER,
    LATER,
    TABLE,
    CannotPartition,
    Partition,
    Step,
    alone,
    count_to,
    fetch,
    month_of,
    months_between,
    partitions,
    statement,
)
from devices.reading_ids import microseconds
from devices.retention import bound, days_kept, refuse_before
from devices.signals import readings_pruned
from devices.transactions import exclusive_device_lock

MOST_MOVED = 100_000  # readings that a lock is held for


def keep_ahead(now: datetime) -> None:
    """Make the months ahead that are missing, if the table is partitioned: to be asked at any time."""
    if partitions():
        with alone():
            for step in steps_ahead(now):
                step.run()


def steps_ahead(now: datetime, ahead: int = AHEAD, hold_writers: bool = False) -> list[Step]:
    """To partitions for `ahead` whole months after this one; none where they are there.

    Raises CannotPartition where many readings would have to be moved into them, unless writers may be held for it.
    """
    start, end = partitions()[-1].start, month_of(now, ahead + 1)
    if start is None or start >= end:
        return []
    moved = count_to(MOST_MOVED + 1, LATER, end)
    if moved > MOST_MOVED and not hold_writers:
        raise CannotPartition(
            f"More than {MOST_MOVED:,} readings are in {LATER} and would have to be moved: the months ahead were not "
            "made in time. With --hold-writers they are moved while readers and writers wait or are answered 503."
        )
    return [
        Step(
            f"Months until {end:%Y-%m-%d}",
            [
                statement("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", TABLE),
                statement("ALTER TABLE {} DETACH PARTITION {}", TABLE, LATER),
                *months_between(start, end),
                statement(
                    "WITH moved AS (DELETE FROM {} WHERE recorded_at < {} RETURNING *) INSERT INTO {} "
                    "SELECT * FROM moved",
                    LATER, end, TABLE,
                ),
                statement("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO (MAXVALUE)", TABLE, LATER, end),
            ],
        )
    ]  # fmt: skip


def drop_old(now: datetime) -> Iterator[tuple[Step, float]]:
    """Drop the months that no device keeps, one after the other; yields each step with its seconds."""
    while months := months_to_drop(now):
        give_up(months[0])
        step = step_to_drop(months[0])
        try:
            seconds = step.run()
        except OperationalError as error:
            if not isinstance(error.__cause__, psycopg.errors.ObjectInUse):
                raise
            continue  # a device that is new there has to give it up too, or keeps it
        yield step, seconds


def months_to_drop(now: datetime) -> list[Partition]:
    """The oldest partitions, as far as no device keeps readings of their time. What is in the first goes on being kept.

    One that has none goes where no device at all keeps that time.
    """
    first, *months = partitions()[:-1]
    found = [first] if _ids_in(first.name) and _is_over(first, now) else []
    if not found and count_to(MOST_MOVED + 1, EARLIER) > MOST_MOVED:
        return []  # it would have to be read under a lock
    return found + list(takewhile(lambda month: _is_over(month, now), months))


def step_to_drop(partition: Partition) -> Step:
    """The partition goes, with its readings; the first one reaches to its end then.

    Each device with readings there has to refuse what is from before that end, see `give_up`; else it fails.
    """
    reach = statement("FOR VALUES FROM (MINVALUE) TO ({})", partition.end)
    if partition.start is None:
        change = [
            statement("DROP TABLE {}", EARLIER),
            statement("CREATE TABLE {} PARTITION OF {} ", EARLIER, TABLE) + reach,
        ]
    else:
        change = [
            statement("ALTER TABLE {} DETACH PARTITION {}", TABLE, EARLIER),
            statement("DROP TABLE {}", partition.name),
            statement("ALTER TABLE {} ATTACH PARTITION {} ", TABLE, EARLIER) + reach,
        ]
    return Step(
        f"Drop {partition.name}",
        [statement("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", TABLE), _refuse_strangers(partition), *change],
    )


def give_up(partition: Partition) -> None:
    """Have each device with readings there refuse more of that time, and keep nothing that was made of it.

    Its answers are right all the while: what no rollup covers is read from the readings, until these go.
    """
    for device_id in _ids_in(partition.name):
        with exclusive_device_lock(device_id):
            if partition.end is not None and refuse_before(device_id, partition.end):
                readings_pruned.send(Reading, device_id=device_id, before=microseconds(partition.end))


def _is_over(partition: Partition, now: datetime) -> bool:
    """Whether no device that has readings there keeps them; where there are none, no device at all."""
    ids = _ids_in(partition.name)
    devices = Device.objects.filter(pk__in=ids) if ids else Device.objects.all()
    kept = devices.order_by().values_list(days_kept(), flat=True).distinct()
    latest = min((bound(days, now) if days else datetime.min.replace(tzinfo=UTC) for days in kept), default=now)
    return partition.end is not None and partition.end <= min(latest, month_of(now))


def _refuse_strangers(partition: Partition) -> str:
    """Fails where a device has written there that may do so again, as one may that is new."""
    return statement(
        "DO $$ BEGIN IF EXISTS (" + DEVICES_OF + "SELECT FROM device JOIN devices_device AS known "
        "ON known.id = device.id WHERE NOT EXISTS (SELECT FROM devices_devicestate AS state "
        "WHERE state.device_id = device.id AND state.pruned_before >= {})) "
        "THEN RAISE EXCEPTION 'a device has written there meanwhile' USING ERRCODE = 'object_in_use'; END IF; END $$",
        partition.name, partition.name, partition.end,
    )  # fmt: skip


def _ids_in(name: str) -> list[int]:
    """The devices that have readings there, whether they are there themselves or not."""
    return [row[0] for row in fetch(statement(DEVICES_OF + "SELECT id FROM device WHERE id IS NOT NULL", name, name))]
