"""Many look-ups in one statement: a table of what is wanted, and for each of its rows one look-up in an index."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import psycopg
from django.conf import settings
from psycopg.pq import Format

from devices.columns import END_MICROSECOND, FIRST_MICROSECOND
from devices.models import Reading
from devices.querysets import ReadingQuerySet
from devices.reading_ids import from_microseconds, microseconds
from devices.replica import current_connection

ROWS_A_QUERY = 500

# One look-up in the index for each row of the table of values, whatever the planner believes: it knows nothing of the
# readings in a span, and would rather read the whole table. A fence on PostgreSQL; SQLite keeps a CROSS JOIN's order.
LOOK_UP = {
    "postgresql": {"look_up": "CROSS JOIN LATERAL (SELECT * FROM", "as_one": "OFFSET 0) AS"},
    "sqlite": {"look_up": "CROSS JOIN", "as_one": "--"},
}


def look_up(sql: str, wanted: Iterable[Sequence[Any]], **words: object) -> list[Any]:
    """The rows that a statement finds: its `{values}` are those wanted, its `{look_up}` and `{as_one}` the fence.

    A row's second value is a device, and `{device}` what its readings or rollups are compared with: where all rows are
    of one, its id itself. Where Citus has distributed them it is always that, so that each statement goes to one shard.

    Integers go into the text: of the thousands that there may be, each parameter would cost more than what it finds.
    """
    rows = list(wanted)
    devices = {int(row[1]) for row in rows}
    if settings.CITUS and len(devices) > 1:
        parts = ([row for row in rows if row[1] == device] for device in devices)
        return [found for part in parts for found in look_up(sql, part, **words)]
    texts = [", ".join(str(int(value)) if isinstance(value, int) else "%s" for value in row) for row in rows]
    parameters = [value for row in rows for value in row if not isinstance(value, int)]
    device = devices.pop() if len(devices) == 1 else "wanted.column2"
    fence = LOOK_UP[current_connection().vendor]
    values = ", ".join(f"({cells})" for cells in texts)
    return _fetch(sql.format(values=values, device=device, **fence, **words), parameters)


_OF_EACH = """
SELECT wanted.column2, (SELECT {figure} FROM devices_reading WHERE device_id = {device} AND {within})
FROM (VALUES {values}) AS wanted
"""


def of_each(
    figure: str, device_ids: Iterable[int], start: int = FIRST_MICROSECOND, stop: int = END_MICROSECOND
) -> dict[int, Any]:
    """A figure, such as `count(*)`, of the readings of each device with `start <= time < stop` in microseconds."""
    times = within("recorded_at", [(start, stop)])
    wanted = chunks((0, device_id) for device_id in device_ids)
    return {id: found for chunk in wanted for id, found in look_up(_OF_EACH, chunk, figure=figure, within=times)}


def newest_times(device_ids: Iterable[int]) -> dict[int, datetime]:
    """The time of the newest reading of each device that has any."""
    times = ((device_id, time_from(time)) for device_id, time in of_each("max(recorded_at)", device_ids).items())
    return {device_id: from_microseconds(time) for device_id, time in times if time is not None}


# The greatest of one: Python's SQLite makes a column as such a time without a zone, and a figure the text that it is.
_EMPTIED = """
SELECT wanted.column2, (SELECT max(emptied_before) FROM devices_devicestate WHERE device_id = {device})
FROM (VALUES {values}) AS wanted
"""


def emptied_before(device_ids: Iterable[int]) -> dict[int, int]:
    """Before when a device that was pruned has no reading, nor will have one, in microseconds since 1970, by id.

    To begin there gives the same, and does not pass over what went: PostgreSQL's index keeps that until it is vacuumed.
    """
    wanted = chunks((0, device_id) for device_id in device_ids)
    found = ((device_id, time_from(time)) for chunk in wanted for device_id, time in look_up(_EMPTIED, chunk))
    return {device_id: moment for device_id, moment in found if moment is not None}


def readings_in_window(device_id: int, start_time: datetime | None, end_time: datetime | None) -> ReadingQuerySet:
    """The readings of a device with `start_time <= recorded_at < end_time`; None leaves that end open."""
    first = from_microseconds(emptied_before([device_id]).get(device_id, FIRST_MICROSECOND))
    readings: ReadingQuerySet = Reading.objects.filter(device=device_id)
    return readings.in_window(max(start_time or first, first), end_time)


def chunks(rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """The rows by as many as one statement looks up."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_A_QUERY)):
        yield chunk


def time_to(value: int) -> Any:
    """Microseconds since 1970 as the parameter that a time in the database is compared with."""
    return current_connection().ops.adapt_datetimefield_value(from_microseconds(value))


def within(column: str, spans: Iterable[tuple[int, int]]) -> str:
    """A condition that no reading of the spans (microseconds since 1970) fails, and that names times.

    It says nothing new to the look-ups; but from it PostgreSQL knows which partitions to plan them for.
    """
    starts, stops = zip(*spans, strict=True)
    return f"{column} >= '{time_to(min(starts))}' AND {column} < '{time_to(max(stops))}'"


def time_from(value: Any) -> int | None:
    """A time that the database answered, as microseconds since 1970: on SQLite, which has no times, its text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value).replace(tzinfo=UTC)
    return None if value is None else microseconds(value)


def _fetch(sql: str, parameters: Sequence[Any]) -> list[Any]:
    connection = current_connection()
    with _binary_cursor(connection) if connection.vendor == "postgresql" else connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
    return rows


def _binary_cursor(connection: Any) -> Any:
    """A cursor of Django's whose answers come in binary: as text, a bytea is twice as long, and takes as long again."""
    connection.ensure_connection()
    cursor: Any = psycopg.Cursor(connection.connection)
    cursor.format = Format.BINARY
    return connection.make_debug_cursor(cursor) if connection.queries_logged else connection.make_cursor(cursor)
