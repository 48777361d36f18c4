"""How writers, deletion and readers of one device keep out of each other's way.

PostgreSQL: a writer holds its devices' advisory locks shared, deletion holds one exclusively, to the end of the
transaction. Row locks would do the same, but overlapping shared ones starve an exclusive one for seconds.
SQLite: `BEGIN IMMEDIATE` lets one writer in at a time; there is nothing left to lock.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from devices import replica

LOCK_CLASS = 0x72656164  # "read" in ASCII: keeps clear of the advisory locks of others
# Devices share locks: PostgreSQL has room for some thousands in all, and one batch may be of 100,000 devices.
LOCK_BUCKETS = 128


@contextmanager
def shared_device_locks(device_ids: Iterable[int]) -> Iterator[None]:
    """A transaction in which none of the devices can be deleted, if they are there at all: look *after* this.

    A statement that waited for a lock still sees what was there before it waited. The next one sees the deletion.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # In one order, so that two writers with the same devices can't wait for each other.
            buckets = sorted({device_id % LOCK_BUCKETS for device_id in device_ids})
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_xact_lock_shared(%s, bucket) FROM unnest(%s::int[]) AS bucket",
                    [LOCK_CLASS, buckets],
                )
        yield


@contextmanager
def exclusive_device_lock(device_id: int) -> Iterator[None]:
    """A transaction that has waited for all writers of the device, and that no other can enter."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_CLASS, device_id % LOCK_BUCKETS])
        yield


@contextmanager
def without_waiting() -> Iterator[None]:
    """A transaction that fails where it would have to wait for another's; nor does it wait until it is on disk."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with transaction.atomic():
                cursor.execute("SET LOCAL lock_timeout = '10ms'; SET LOCAL synchronous_commit = off")
                yield
        else:
            (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
            cursor.execute("PRAGMA busy_timeout = 0")
            try:
                with transaction.atomic():
                    yield
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {patience}")


@contextmanager
def snapshot() -> Iterator[None]:
    """Reads that all see the same moment, and that hold no writer up.

    The lock, which readers have in any case, has to be had before the snapshot is: what was moved between partitions,
    or dropped, while this waited for it would be missing at its new place and gone from the old one.
    Inside a transaction, it is that transaction: a snapshot on SQLite, on PostgreSQL what its isolation makes it.
    """
    current = replica.current_connection()
    if current.in_atomic_block or _in_deferred_transaction():
        yield
    elif current.vendor == "postgresql":
        with transaction.atomic(current.alias), current.cursor() as cursor:
            cursor.execute(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                "LOCK TABLE ONLY devices_reading IN ACCESS SHARE MODE"
            )
            yield
    else:
        with _deferred_transaction():
            yield


@contextmanager
def answering() -> Iterator[None]:
    """A snapshot for an answer of analytics: of the replica, where there is one."""
    with replica.preferred(), snapshot():
        yield


def _in_deferred_transaction() -> bool:
    """Whether SQLite is within a transaction that Django, which was not asked for it, does not know of."""
    return connection.vendor == "sqlite" and connection.connection is not None and connection.connection.in_transaction


@contextmanager
def _deferred_transaction() -> Iterator[None]:
    """SQLite's own BEGIN: `atomic()` would be IMMEDIATE, and lock writers out while an analysis reads."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            if _in_deferred_transaction():  # SQLite ends it by itself after some errors
                cursor.execute("ROLLBACK")  # nothing was written
