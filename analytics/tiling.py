"""Spans of time covered by as few rollups as there are, and by the raw readings of what is left."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection

from analytics.models import Rollup
from analytics.periods import COARSEST_FIRST, Level, ceiling, floor
from analytics.reference import AXES
from devices.columns import microseconds_of
from devices.reading_ids import from_microseconds, microseconds

ROWS_A_QUERY = 500
# Readings that a request may hold in memory; past that the database has to do the work. SQLite's come as objects.
MAX_RAW = {"postgresql": 2_000_000, "sqlite": 400_000}

Floats = npt.NDArray[np.float64]


class TooManyRaw(Exception):
    """More readings are in no rollup than memory is for."""


class Span(NamedTuple):
    """Time of one device, `start <= t < stop` in microseconds since 1970, that counts for the answer at `place`."""

    place: int
    device_id: int
    start: int
    stop: int


class Tile(NamedTuple):
    """A rollup within a span, without its values."""

    place: int
    device_id: int
    level: int
    period_start: int
    size: int
    first_at: int
    last_at: int
    sums: tuple[float, float, float]
    medians: tuple[float, float, float]
    grids: tuple[bytes, bytes, bytes]


class Slice(NamedTuple):
    """Positions `start <= p < stop` of the sorted values of one axis of a rollup, wanted for `place`."""

    place: int
    device_id: int
    level: int
    period_start: int
    start: int
    stop: int


class Raw(NamedTuple):
    """Readings one by one: axes of shape (3, n), and the first and last of their times."""

    axes: Floats
    first_at: int
    last_at: int


def tile(spans: Sequence[Span], levels: Iterable[Level] = COARSEST_FIRST) -> tuple[list[Tile], list[Span]]:
    """The rollups of these levels, coarsest first, that lie within the spans, and the spans that they leave."""
    tiles: list[Tile] = []
    for level in levels:
        found = _tiles_within(spans, level)
        tiles += found
        spans = list(_left_over(spans, found, level))
    return tiles, list(spans)


def raw_readings(spans: Sequence[Span]) -> dict[int, Raw]:
    """The readings of the spans by place, for places that have any; TooManyRaw past what memory is for."""
    parts: dict[int, list[Raw]] = defaultdict(list)
    left = MAX_RAW[connection.vendor]
    for chunk in _chunks(spans):
        for place, raw in _raw_of_postgresql(chunk) if connection.vendor == "postgresql" else _raw_of_sqlite(chunk):
            parts[place].append(raw)
            left -= raw.axes.shape[1]
        if left < 0:
            raise TooManyRaw
    return {place: _joined(raws) for place, raws in parts.items()}


def read_slices(axis: str, slices: Sequence[Slice]) -> dict[int, list[Floats]]:
    """The values of slices of one axis, by their place, those of a place in any order."""
    values: dict[int, list[Floats]] = defaultdict(list)
    for chunk in _chunks(slices):
        rows = ((s.place, s.device_id, s.level, s.period_start, s.start * 8 + 1, (s.stop - s.start) * 8) for s in chunk)
        sql, parameters = _with_values(_SLICES.replace("{axis}", axis), rows)
        for place, content in _fetch(sql, parameters):
            values[place].append(np.frombuffer(content, dtype="<f8"))
    return values


# One look-up in the index for each row of the table of values, whatever the planner believes: it knows nothing of the
# readings in a span, and would rather read the whole table. A fence on PostgreSQL; SQLite keeps a CROSS JOIN's order.
_LOOK_UP = {
    "postgresql": {"look_up": "CROSS JOIN LATERAL (SELECT * FROM", "as_one": "OFFSET 0) AS"},
    "sqlite": {"look_up": "CROSS JOIN", "as_one": "--"},
}
_TILES = f"""
SELECT wanted.column1, rollup.device_id, rollup.level, rollup.period_start, rollup.count,
       rollup.first_at, rollup.last_at,
       {", ".join(f"rollup.{axis}_{figure}" for figure in ("sum", "median", "grid") for axis in AXES)}
FROM (VALUES {{values}}) AS wanted
{{look_up}} analytics_rollup rollup
WHERE rollup.device_id = wanted.column2 AND rollup.level = %s
AND rollup.period_start >= wanted.column3 AND rollup.period_start < wanted.column4
AND rollup.status = {Rollup.Status.READY} {{as_one}} rollup
ORDER BY wanted.column1, rollup.device_id, rollup.period_start
"""
_RAW = """
SELECT wanted.column1 AS place, {time} AS recorded_at, reading.x, reading.y, reading.z
FROM (VALUES {values}) AS wanted
{look_up} devices_reading reading
WHERE reading.device_id = wanted.column2
AND reading.recorded_at >= wanted.column3 AND reading.recorded_at < wanted.column4 {as_one} reading
"""
_PACKED = """
SELECT place, min(recorded_at), max(recorded_at),
       string_agg(float8send(x), ''), string_agg(float8send(y), ''), string_agg(float8send(z), '')
FROM ({limited}) AS raw GROUP BY place
"""
_SLICES = """
SELECT wanted.column1, substr(rollup.{axis}_values, wanted.column5, wanted.column6)
FROM (VALUES {values}) AS wanted
{look_up} analytics_rollup rollup
WHERE rollup.device_id = wanted.column2 AND rollup.level = wanted.column3
AND rollup.period_start = wanted.column4 {as_one} rollup
"""


def _tiles_within(spans: Sequence[Span], level: Level) -> list[Tile]:
    aligned = (Span(place, id, ceiling(start, level), floor(stop, level)) for place, id, start, stop in spans)
    found = []
    for chunk in _chunks([span for span in aligned if span.start < span.stop]):
        sql, parameters = _with_values(_TILES, chunk)
        rows = _fetch(sql, [*parameters, int(level)])
        found += [_tile(*row) for row in rows]
    return found


def _tile(*row: Any) -> Tile:
    identity, figures = row[:7], row[7:]
    sums, medians, grids = figures[0:3], figures[3:6], tuple(map(bytes, figures[6:9]))
    return Tile._make((*identity, sums, medians, grids))


def _left_over(spans: Iterable[Span], tiles: Iterable[Tile], level: Level) -> Iterator[Span]:
    """What the tiles, which are in order of time, leave of the spans."""
    starts: dict[tuple[int, int], list[int]] = defaultdict(list)
    for found in tiles:
        starts[found.place, found.device_id].append(found.period_start)
    length = level * 1_000_000
    for span in spans:
        position = span.start
        for start in starts.get((span.place, span.device_id), ()):
            if span.start <= start < span.stop:
                if position < start:
                    yield span._replace(start=position, stop=start)
                position = start + length
        if position < span.stop:
            yield span._replace(start=position)


def _joined(raws: Sequence[Raw]) -> Raw:
    axes = np.concatenate([raw.axes for raw in raws], axis=1)
    return Raw(axes, min(raw.first_at for raw in raws), max(raw.last_at for raw in raws))


def _raw_of_postgresql(spans: Sequence[Span]) -> Iterator[tuple[int, Raw]]:
    """Packed by the server, a row for each place: a row for each reading costs the client four times as much."""
    rows = ((place, id, from_microseconds(start), from_microseconds(stop)) for place, id, start, stop in spans)
    sql, parameters = _with_values(_RAW.replace("{time}", "reading.recorded_at"), rows)
    for place, first, last, *axes in _fetch(
        _PACKED.format(limited=f"{sql} LIMIT {MAX_RAW['postgresql'] + 1}"), parameters
    ):
        yield (
            place,
            Raw(np.array([np.frombuffer(axis, ">f8") for axis in axes]), microseconds(first), microseconds(last)),
        )


def _raw_of_sqlite(spans: Sequence[Span]) -> Iterator[tuple[int, Raw]]:
    adapt = connection.ops.adapt_datetimefield_value
    rows = (
        (place, id, adapt(from_microseconds(start)), adapt(from_microseconds(stop))) for place, id, start, stop in spans
    )
    sql, parameters = _with_values(_RAW.replace("{time}", "reading.recorded_at || ''"), rows)  # as text
    by_place: dict[int, list[Any]] = defaultdict(list)
    for place, *reading in _fetch(f"{sql} LIMIT {MAX_RAW['sqlite'] + 1}", parameters):
        by_place[place].append(reading)
    for place, readings in by_place.items():
        texts, *axes = zip(*readings, strict=True)
        first, last = microseconds_of([f"{text[:10]}T{text[11:]}Z" for text in (min(texts), max(texts))]).tolist()
        yield place, Raw(np.array(axes), first, last)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_A_QUERY)):
        yield chunk


def _with_values(sql: str, rows: Iterable[Sequence[Any]]) -> tuple[str, list[Any]]:
    """A statement with `{values}` made a table of these rows, and its parameters.

    Integers go into the text: of the thousands that there may be, each parameter would cost more than what it finds.
    """
    parameters: list[Any] = []
    texts = []
    for row in rows:
        cells = [str(int(value)) if isinstance(value, int) else "%s" for value in row]
        parameters += [value for value in row if not isinstance(value, int)]
        texts.append(f"({', '.join(cells)})")
    return sql.format(values=", ".join(texts), **_LOOK_UP[connection.vendor]), parameters


def _fetch(sql: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
    return rows
