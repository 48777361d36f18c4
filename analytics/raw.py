"""The readings that no rollup covers, one by one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from django.db import connection

from analytics.tiling import Span, TooLarge
from devices.columns import YEAR_2000, Floats, Integers, microseconds_of
from devices.lookups import chunks, look_up, time_to, within

# Readings that a request may hold in memory; more are gone through in parts. SQLite's come as objects.
MAX_RAW = {"postgresql": 2_000_000, "sqlite": 400_000}


class Readings(NamedTuple):
    """n readings: times of shape (n,) in microseconds since 1970, and axes of shape (3, n)."""

    times: Integers
    axes: Floats


class Raw(NamedTuple):
    """Values in memory: axes of shape (3, n), each in an order of its own, and the first and last of their times."""

    axes: Floats
    first_at: int
    last_at: int

    @classmethod
    def of(cls, readings: Readings) -> Self:
        return cls(readings.axes, int(readings.times.min()), int(readings.times.max()))

    @classmethod
    def joined(cls, raws: Sequence[Self]) -> Self:
        axes = np.concatenate([raw.axes for raw in raws], axis=1)
        return cls(axes, min(raw.first_at for raw in raws), max(raw.last_at for raw in raws))


def raw_readings(spans: Sequence[Span], in_memory: int = 0) -> dict[int, Readings]:
    """The readings of the spans by place, for places that have any; TooLarge past what memory is for.

    `in_memory` is how many of those there are already.
    """
    parts: dict[int, list[Readings]] = defaultdict(list)
    left = MAX_RAW[connection.vendor] - in_memory
    for chunk in chunks(spans):
        for place, readings in _of_postgresql(chunk) if connection.vendor == "postgresql" else _of_sqlite(chunk):
            parts[place].append(readings)
            left -= readings.times.size
        if left < 0:
            raise TooLarge
    return {place: _joined(readings) for place, readings in parts.items()}


def raw_parts(span: Span) -> Iterator[Readings]:
    """The readings of a span, in order of its parts, each of which is no more than memory is for."""
    try:
        yield from raw_readings([span]).values()
    except TooLarge:
        middle = (span.start + span.stop) // 2
        if middle == span.start:
            raise  # all at one time
        yield from raw_parts(span._replace(stop=middle))
        yield from raw_parts(span._replace(start=middle))


_READINGS = """
SELECT wanted.column1 AS place, {time} AS recorded_at, reading.x, reading.y, reading.z
FROM (VALUES {values}) AS wanted
{look_up} devices_reading reading
WHERE reading.device_id = {device}
AND reading.recorded_at >= wanted.column3 AND reading.recorded_at < wanted.column4 AND {within} {as_one} reading
LIMIT {limit}
"""
# Packed by the server, a row for each place: a row for each reading costs the client four times as much.
_PACKED = f"""
SELECT place, string_agg(timestamptz_send(recorded_at), ''),
       string_agg(float8send(x), ''), string_agg(float8send(y), ''), string_agg(float8send(z), '')
FROM ({_READINGS}) AS raw GROUP BY place
"""


def _of_postgresql(spans: Sequence[Span]) -> Iterator[tuple[int, Readings]]:
    rows = ((place, id, time_to(start), time_to(stop)) for place, id, start, stop in spans)
    limit = MAX_RAW["postgresql"] + 1
    for place, times, *axes in look_up(_PACKED, rows, time="reading.recorded_at", limit=limit, within=_within(spans)):
        values = np.array([np.frombuffer(axis, ">f8") for axis in axes], dtype=np.float64)
        yield place, Readings(np.frombuffer(times, ">i8") + YEAR_2000, values)


def _of_sqlite(spans: Sequence[Span]) -> Iterator[tuple[int, Readings]]:
    rows = ((place, id, time_to(start), time_to(stop)) for place, id, start, stop in spans)
    by_place: dict[int, list[Any]] = defaultdict(list)
    as_text = "reading.recorded_at || ''"
    for place, *reading in look_up(_READINGS, rows, time=as_text, limit=MAX_RAW["sqlite"] + 1, within=_within(spans)):
        by_place[place].append(reading)
    for place, readings in by_place.items():
        texts, *axes = zip(*readings, strict=True)
        yield place, Readings(microseconds_of([f"{text[:10]}T{text[11:]}Z" for text in texts]), np.array(axes))


def _within(spans: Sequence[Span]) -> str:
    return within("reading.recorded_at", ((span.start, span.stop) for span in spans))


def _joined(parts: Sequence[Readings]) -> Readings:
    return Readings(
        np.concatenate([part.times for part in parts]), np.concatenate([part.axes for part in parts], axis=1)
    )
