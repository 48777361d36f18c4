"""Rows into the table of readings, each once: the fastest way that each database has."""

import struct

import numpy as np
import psycopg
from django.db import IntegrityError, OperationalError, connection, transaction

from devices.columns import YEAR_2000, Columns

COLUMNS = "device_id, recorded_at, x, y, z"
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)
FIELDS = {"device": ">i8", "recorded_at": ">i8", "x": ">f8", "y": ">f8", "z": ">f8"}
# A row of PostgreSQL's binary COPY: the number of fields, then each with its length before it.
COPY_ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(item for name, kind in FIELDS.items() for item in ((f"length of {name}", ">i4"), (name, kind))),
    ]
)
STAGE = "devices_reading_stage"


class BeingPartitioned(OperationalError):
    """Readings lie past the boundary of a turning over that has begun, see `turning`: that passes."""


def insert(readings: Columns) -> int:
    """Insert, within the caller's transaction, the readings that are not there yet; returns how many those were.

    In the order of the primary key: two batches with the same rows in different orders would wait for each other.
    """
    readings = readings.sorted_set()
    if not len(readings):
        return 0
    return _insert_postgresql(readings) if connection.vendor == "postgresql" else _insert_sqlite(readings)


def _insert_postgresql(readings: Columns) -> int:
    """Straight into the table, as most batches are new; only if that meets a duplicate, through a stage."""
    packed = packed_for_copy(readings)
    try:
        with transaction.atomic():
            _copy(packed, "devices_reading")
    except IntegrityError as error:
        if isinstance(error.__cause__, psycopg.errors.CheckViolation):
            raise BeingPartitioned from None
        return _insert_through_stage(packed)
    return len(readings)


def _insert_through_stage(packed: bytearray) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {STAGE} ON COMMIT DELETE ROWS AS "
            f"SELECT {COLUMNS} FROM devices_reading WITH NO DATA"
        )
        _copy(packed, STAGE)
        # Counted with RETURNING: where the table is distributed, the number of affected rows is not right.
        cursor.execute(
            f"WITH created AS (INSERT INTO devices_reading ({COLUMNS}) SELECT {COLUMNS} FROM {STAGE} "
            f"ORDER BY {COLUMNS} ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM created"
        )
        created = int(cursor.fetchone()[0])
        cursor.execute(f"TRUNCATE {STAGE}")
    return created


def packed_for_copy(readings: Columns) -> bytearray:
    """The readings as PostgreSQL's binary COPY takes them."""
    size = len(readings) * COPY_ROW.itemsize
    packed = bytearray(len(COPY_HEADER) + size + len(COPY_TRAILER))
    packed[: len(COPY_HEADER)], packed[-len(COPY_TRAILER) :] = COPY_HEADER, COPY_TRAILER
    rows = np.frombuffer(packed, dtype=COPY_ROW, count=len(readings), offset=len(COPY_HEADER))
    rows["fields"] = len(FIELDS)
    for name in FIELDS:
        rows[f"length of {name}"] = 8
        rows[name] = getattr(readings, name)
    rows["recorded_at"] -= YEAR_2000
    return packed


def _copy(packed: bytearray, table: str) -> None:
    statement = f"COPY {table} ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
    # The fault of a COPY shows when it ends, where Django does not look for it by itself.
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        copy.write(packed)


def _insert_sqlite(readings: Columns) -> int:
    # Not INSERT OR IGNORE, which would swallow a broken NOT NULL as well.
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO devices_reading ({COLUMNS}) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(row.device_id, adapt(row.recorded_at), row.x, row.y, row.z) for row in readings.rows()],
        )
        return int(cursor.rowcount)
