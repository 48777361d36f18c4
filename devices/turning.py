"""How the plain table of readings becomes the first partition of a new one, while the service writes and reads.

In three steps, each of which may be the last for a while: which have been made is read from the catalog. A constraint
keeps readings out that would belong to another partition; PostgreSQL finds that there are none; and because it knows,
the table is renamed and attached without being looked at again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple

from django.db import IntegrityError

from devices.partitions import (
    AHEAD,
    DEVICES_OF,
    EARLIER,
    LATER,
    TABLE,
    CannotPartition,
    Step,
    fetch,
    month_of,
    months_between,
    statement,
    time_in,
)

CHECK = "devices_reading_is_turned_over"
MOST_MONTHS_LATER = 6  # that the first partition may be longer for readings whose time is ahead


class Ahead(NamedTuple):
    """How many readings of a device lie past a time, and the last of their times."""

    device_id: int
    number: int
    last: datetime


class Check(NamedTuple):
    """The constraint that nothing lies past the boundary, and whether PostgreSQL has found it so."""

    boundary: datetime
    is_valid: bool


def turn_over(now: datetime, ahead: int = AHEAD, hold_writers: bool = False) -> Iterator[tuple[Step, float]]:
    """Turn the table over, step by step; yields each with its seconds. Safe to stop and to begin again.

    Raises CannotPartition, and has the table as it was, where readings came meanwhile that lie too far ahead.
    """
    for step in steps_to_turn_over(now, ahead, hold_writers):
        try:
            yield step, step.run()
        except IntegrityError:
            step_back().run()
            raise CannotPartition(
                "Readings came in that lie further ahead than the first partition was to reach. Run the command again."
            ) from None


def steps_to_turn_over(now: datetime, ahead: int = AHEAD, hold_writers: bool = False) -> list[Step]:
    """From a plain table, or where such a turning over has stopped, to a partitioned one.

    Raises CannotPartition where readings lie too far ahead, unless writers may be held while these are moved.
    """
    check = standing_check()
    boundary = check.boundary if check and check.boundary > month_of(now, 1) else month_of(now, 2)
    far = readings_from(boundary)
    if far and not hold_writers:
        boundary, far = _later_boundary(far, now), []
    steps = []
    if check and check.boundary != boundary:
        steps.append(step_back())
    if not check or check.boundary != boundary:
        steps.append(_add_check(boundary))
    if not far and not (check and check.is_valid and check.boundary == boundary):
        steps.append(_validate())
    return [*steps, _switch(boundary, max(boundary, month_of(now, ahead + 1)), far)]


def step_back() -> Step:
    """Takes a turning over back that has begun."""
    return Step("Forget the constraint", [statement("ALTER TABLE {} DROP CONSTRAINT {}", TABLE, CHECK)])


def readings_from(boundary: datetime) -> list[Ahead]:
    """Of each device that has readings at or after a time: a look-up in the index for each device."""
    query = statement(
        DEVICES_OF + "SELECT id, count, last FROM device CROSS JOIN LATERAL (SELECT count(*), max(recorded_at) AS last "
        "FROM {} WHERE device_id = device.id AND recorded_at >= {}) AS ahead WHERE count > 0 ORDER BY last DESC",
        TABLE, TABLE, TABLE, boundary,
    )  # fmt: skip
    return [Ahead(*row) for row in fetch(query)]


def standing_check() -> Check | None:
    """The constraint of a turning over that has begun."""
    rows = fetch(
        "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND conname = %s",
        [TABLE, CHECK],
    )
    return Check(time_in(rows[0][0]), rows[0][1]) if rows else None


def seconds_to_read() -> float:
    """About how long it takes to read the whole table, by a hundredth of it."""
    begin = monotonic()
    fetch("SELECT count(*) FROM devices_reading TABLESAMPLE SYSTEM (1)", [])
    return (monotonic() - begin) * 100


def _later_boundary(far: Sequence[Ahead], now: datetime) -> datetime:
    """One past readings whose time is ahead, if it is not far."""
    last = max(device.last for device in far)
    if last < month_of(now, MOST_MONTHS_LATER):
        return month_of(last, 1)
    named = ", ".join(f"{device.device_id} ({device.number:,}, until {device.last.isoformat()})" for device in far[:10])
    more = f", and of {len(far) - 10} more devices" if len(far) > 10 else ""
    raise CannotPartition(
        f"Readings have times far ahead, of devices {named}{more}. Set these clocks right and delete what is wrong; or "
        f"run it with --hold-writers: they are kept, and writers wait or are answered 503 while the table is read "
        f"once, which takes about {seconds_to_read():.0f} seconds."
    )


def _add_check(boundary: datetime) -> Step:
    add = "ALTER TABLE {} ADD CONSTRAINT {} CHECK (recorded_at < {}) NOT VALID"
    return Step(f"Take no readings from {boundary:%Y-%m-%d} on for now", [statement(add, TABLE, CHECK, boundary)])


def _validate() -> Step:
    validate = statement("ALTER TABLE {} VALIDATE CONSTRAINT {}", TABLE, CHECK)
    return Step("Read the table once, to know that it has none; writers go on", [validate])


def _switch(boundary: datetime, end: datetime, far: Sequence[Ahead]) -> Step:
    """The plain table becomes the first partition of a new one, by its name alone."""
    statements = [
        *(_moved_away(boundary, far) if far else []),
        statement("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", TABLE),
        statement("ALTER TABLE {} RENAME TO {}", TABLE, EARLIER),
        statement("ALTER INDEX {} RENAME TO {}", f"{TABLE}_pkey", f"{EARLIER}_pkey"),
        statement("CREATE TABLE {} (LIKE {} INCLUDING ALL) PARTITION BY RANGE (recorded_at)", TABLE, EARLIER),
        *_rights(),
        statement("ALTER TABLE {} DROP CONSTRAINT {}", TABLE, CHECK),
        # What the constraint says spares PostgreSQL to read the table.
        statement("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM (MINVALUE) TO ({})", TABLE, EARLIER, boundary),
        statement("ALTER TABLE {} DROP CONSTRAINT {}", EARLIER, CHECK),
        *months_between(boundary, end),
        statement("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO (MAXVALUE)", LATER, TABLE, end),
        *([statement("INSERT INTO {} SELECT * FROM moved", TABLE)] if far else []),
    ]
    return Step("Make the table the first partition", statements)


def _moved_away(boundary: datetime, far: Sequence[Ahead]) -> list[str]:
    """Readers go on until the switch; writers wait from here on."""
    ids = [device.device_id for device in far]
    which = "FROM {} WHERE device_id = ANY({}) AND recorded_at >= {}"
    return [
        statement("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", TABLE),
        statement("CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT * " + which, TABLE, ids, boundary),
        statement("DELETE " + which, TABLE, ids, boundary),
        *_validate().statements,
    ]


def _rights() -> list[str]:
    """What others may do with the table: a new one would be its maker's alone."""
    owner = fetch("SELECT relowner::regrole::text FROM pg_class WHERE oid = %s::regclass", [TABLE])[0][0]
    grants = fetch(
        "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, is_grantable "
        "FROM pg_class, aclexplode(relacl) WHERE oid = %s::regclass AND grantee <> relowner",
        [TABLE],
    )
    return [f"ALTER TABLE {TABLE} OWNER TO {owner}"] + [
        f"GRANT {right} ON {TABLE} TO {grantee}{' WITH GRANT OPTION' if may_grant else ''}"
        for right, grantee, may_grant in grants
    ]
