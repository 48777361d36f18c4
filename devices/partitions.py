"""The readings in monthly partitions, on PostgreSQL, for those who want them: see docs/partitions.md.

    devices_reading_earlier  from the beginning of time; at first the whole of the former table
    devices_reading_2027_01  a month in UTC, and so on
    devices_reading_later    to the end of time; all but empty

Not a DEFAULT partition for what has no other: beside one, PostgreSQL no longer knows that the partitions are in order
of time, and would look into each of them for a device's newest reading.

Whatever moves readings takes the table for itself alone, in one transaction that gives up where it would have to wait
for long. A reader of `snapshot()` holds the table from before its snapshot on: so it sees all of that, or nothing.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, LiteralString, NamedTuple

import psycopg
from django.db import OperationalError, connection, transaction
from psycopg import sql

TABLE, EARLIER, LATER = "devices_reading", "devices_reading_earlier", "devices_reading_later"
AHEAD = 3  # months
LOCK_CLASS = 0x70617274  # "part" in ASCII: keeps clear of the advisory locks of others
# So long writers and readers may queue behind a try. More than PostgreSQL's deadlock_timeout of a second: then an
# autovacuum that is in the way is cancelled.
LOCK_TIMEOUT = "1500ms"
TRIES, PAUSE = 60, 2.0  # seconds
# The devices that a table has readings of: from each to the next by the index, however many readings there are.
DEVICES_OF: LiteralString = (
    "WITH RECURSIVE device AS ((SELECT device_id AS id FROM {} ORDER BY device_id LIMIT 1) UNION ALL "
    "SELECT (SELECT device_id FROM {} WHERE device_id > device.id ORDER BY device_id LIMIT 1) "
    "FROM device WHERE device.id IS NOT NULL) "
)
TIME = re.compile(r"'([^']+)'")


class CannotPartition(Exception):
    """Why the table is left as it is."""


class Partition(NamedTuple):
    """`start <= recorded_at < end`; None is the beginning or the end of time."""

    name: str
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Step:
    """The statements of one transaction, and what for."""

    what: str
    statements: Sequence[str]

    def run(self) -> float:
        """Execute them, with several tries where others are in the way; returns the seconds that it took.

        Raises CannotPartition where they stay in the way.
        """
        begin = monotonic()
        for _ in range(TRIES):
            try:
                self._execute()
                return monotonic() - begin
            except OperationalError as error:
                if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
                    raise
                sleep(PAUSE)
        raise CannotPartition(
            f"{self.what}: other transactions hold the table, such as a long analysis or a backup. Nothing has been "
            "changed by this step: run the command again later."
        )

    def _execute(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            for statement in self.statements:
                cursor.execute(statement)


@contextmanager
def alone() -> Iterator[None]:
    """Raises CannotPartition where another process is at work on the partitions."""
    if not fetch("SELECT pg_try_advisory_lock(%s, 0)", [LOCK_CLASS])[0][0]:
        raise CannotPartition("Another command, or a worker, is at work on the partitions.")
    try:
        yield
    finally:
        fetch("SELECT pg_advisory_unlock(%s, 0)", [LOCK_CLASS])


def partitions() -> list[Partition]:
    """In the order of time; none where the table is a plain one."""
    if connection.vendor != "postgresql":
        return []
    rows = fetch(
        "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits JOIN pg_class "
        "ON pg_class.oid = inhrelid WHERE inhparent = %s::regclass",
        [TABLE],
    )
    found = (Partition(name, *map(_bound, text.split(") TO ("))) for name, text in rows)
    return sorted(found, key=lambda partition: partition.start or datetime.min.replace(tzinfo=UTC))


def month_of(time: datetime, after: int = 0) -> datetime:
    """The first moment of a time's month in UTC, or of a later month."""
    years, month = divmod(time.astimezone(UTC).month - 1 + after, 12)
    return datetime(time.astimezone(UTC).year + years, month + 1, 1, tzinfo=UTC)


def months_between(start: datetime, end: datetime) -> list[str]:
    """A partition for each month from one to another."""
    statements = []
    while start < end:
        create = "CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})"
        statements.append(statement(create, f"{TABLE}_{start:%Y_%m}", TABLE, start, month_of(start, 1)))
        start = month_of(start, 1)
    return statements


def count_to(limit: int, name: str, end: datetime | None = None) -> int:
    """How many readings of a partition lie before a time, or in all, counted no further than the limit."""
    end = end or datetime.max.replace(tzinfo=UTC)
    count = statement(
        "SELECT count(*) FROM (SELECT FROM {} WHERE recorded_at < {} LIMIT {}) AS counted", name, end, limit
    )
    return int(fetch(count)[0][0])


def statement(text: LiteralString, *parts: object) -> str:
    """A statement with its parts in it: as identifiers where they are texts, else as values."""
    quoted = (sql.Identifier(part) if isinstance(part, str) else sql.Literal(part) for part in parts)
    return sql.SQL(text).format(*quoted).as_string(None)


def fetch(query: str, parameters: Sequence[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        found: list[Any] = cursor.fetchall()
    return found


def time_in(expression: str) -> datetime:
    """The time that an expression of the catalog has in it."""
    found = TIME.search(expression)
    assert found is not None, expression  # noqa: S101  # PostgreSQL wrote it
    return datetime.fromisoformat(found[1]).astimezone(UTC)


def _bound(text: str) -> datetime | None:
    return None if "VALUE" in text.rpartition("(")[2] else time_in(text)
