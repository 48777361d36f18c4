"""Spans of time covered by as few rollups as there are, and slices of what these keep."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from analytics.models import Rollup
from analytics.packing import Packing
from analytics.periods import COARSEST_FIRST, MICROSECONDS, Level, ceiling, floor
from analytics.reference import AXES
from devices.columns import Floats
from devices.lookups import chunks, look_up

DOUBLE = Struct("<d")
MAX_KNOTS = 3_000_000  # of all axes that a request may hold in memory


class TooLarge(Exception):
    """What is asked for is more than memory is for."""


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
    decimals: tuple[int, int, int]

    def ends(self, axis: int) -> tuple[float, float]:
        """The least and the greatest value of an axis."""
        knots = self.grids[axis]
        return *DOUBLE.unpack_from(knots), *DOUBLE.unpack_from(knots, len(knots) - DOUBLE.size)


class Slice(NamedTuple):
    """Positions `start <= p < stop` of the sorted values of one axis of a rollup, wanted for its place."""

    tile: Tile
    start: int
    stop: int


def tile(spans: Sequence[Span], levels: Iterable[Level] = COARSEST_FIRST) -> tuple[list[Tile], list[Span]]:
    """The rollups of these levels, coarsest first, that lie within the spans, and the spans that they leave.

    TooLarge where their grids are more than memory is for.
    """
    tiles: list[Tile] = []
    knots = 0
    for level in levels:
        found = []
        for chunk in chunks(_aligned(spans, level)):
            some = _tiles_within(chunk, level)
            found += some
            knots += sum(len(grid) for each in some for grid in each.grids) // DOUBLE.size
            if knots > MAX_KNOTS:
                raise TooLarge
        tiles += found
        spans = list(_left_over(spans, found, level))
    return tiles, list(spans)


def read_slices(axis: int, slices: Sequence[Slice]) -> dict[int, list[Floats]]:
    """The values of slices of one axis, by their place."""
    values: dict[int, list[Floats]] = defaultdict(list)
    for chunk in chunks(slices):
        for part, content in zip(chunk, _read(axis, chunk), strict=True):
            values[part.tile.place].append(content)
    return values


_TILES = f"""
SELECT wanted.column1, rollup.device_id, rollup.level, rollup.period_start, rollup.count,
       rollup.first_at, rollup.last_at,
       {", ".join(f"rollup.{axis}_{figure}" for figure in ("sum", "median", "grid", "decimals") for axis in AXES)}
FROM (VALUES {{values}}) AS wanted
{{look_up}} analytics_rollup rollup
WHERE rollup.device_id = {{device}} AND rollup.level = {{level}}
AND rollup.period_start >= wanted.column3 AND rollup.period_start < wanted.column4
AND rollup.status = {Rollup.Status.READY} {{as_one}} rollup
ORDER BY wanted.column1, rollup.device_id, rollup.period_start
"""
_SLICES = """
SELECT wanted.column1, substr(rollup.{axis}_packed, wanted.column5, wanted.column6)
FROM (VALUES {values}) AS wanted
{look_up} analytics_rollup rollup
WHERE rollup.device_id = {device} AND rollup.level = wanted.column3
AND rollup.period_start = wanted.column4 {as_one} rollup
"""


def _aligned(spans: Iterable[Span], level: Level) -> Iterator[Span]:
    """The whole periods of a level within the spans."""
    aligned = (Span(place, id, ceiling(start, level), floor(stop, level)) for place, id, start, stop in spans)
    return (span for span in aligned if span.start < span.stop)


def _tiles_within(spans: Sequence[Span], level: Level) -> list[Tile]:
    return [_tile(*row) for row in look_up(_TILES, spans, level=int(level))]


def _tile(*row: Any) -> Tile:
    identity, figures = row[:7], row[7:]
    sums, medians, grids, decimals = figures[0:3], figures[3:6], tuple(map(bytes, figures[6:9])), figures[9:12]
    return Tile._make((*identity, sums, medians, grids, decimals))


def _read(axis: int, slices: Sequence[Slice]) -> list[Floats]:
    """The values of each slice."""
    starts, stops = np.array([(part.start, part.stop) for part in slices]).T
    tiles = [part.tile for part in slices]
    packing = Packing.of(*zip(*((tile.grids[axis], tile.size, tile.decimals[axis]) for tile in tiles), strict=True))
    firsts, lengths = (bounds.tolist() for bounds in packing.ranges(starts, stops))
    wanted = enumerate(zip(tiles, firsts, lengths, strict=True))
    rows = ((i, *tile[1:4], first + 1, length) for i, (tile, first, length) in wanted)
    contents = dict(look_up(_SLICES, rows, axis=AXES[axis]))
    # Values that are all equal take no bytes, and no bytes are NULL on SQLite.
    return packing.unpack(starts, stops, (contents[i] or b"" for i in range(len(slices))))


def _left_over(spans: Iterable[Span], tiles: Iterable[Tile], level: Level) -> Iterator[Span]:
    """What the tiles, which are in order of time, leave of the spans."""
    starts: dict[tuple[int, int], list[int]] = defaultdict(list)
    for found in tiles:
        starts[found.place, found.device_id].append(found.period_start)
    length = level * MICROSECONDS
    for span in spans:
        position = span.start
        for start in starts.get((span.place, span.device_id), ()):
            if span.start <= start < span.stop:
                if position < start:
                    yield span._replace(start=position, stop=start)
                position = start + length
        if position < span.stop:
            yield span._replace(start=position)
