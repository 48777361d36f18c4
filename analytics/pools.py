"""What an answer is made of: rollups, and the raw readings that no rollup covers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from analytics.order_statistics import Plan, Slices, bracket, grid, grid_step, median_of, middle_ranks, nearest_rank
from analytics.periods import COARSEST_FIRST, Level
from analytics.quarters import read_parts
from analytics.raw import Raw, raw_readings
from analytics.reference import Percentiles
from analytics.tiling import Slice, Span, Tile, read_slices, tile
from devices.columns import Floats
from devices.lookups import emptied_before

NO_VALUES = np.empty(0)


def pools_of(spans: Sequence[Span], levels: Iterable[Level] = COARSEST_FIRST) -> dict[int, "Pool"]:
    """What the readings of the spans are in, by place, for places that have any. TooLarge."""
    tiles, gaps = tile(spans, levels)
    parts, gaps = read_parts(list(_not_emptied(gaps)))
    readings = raw_readings(gaps, sum(raw.axes.shape[1] for _, raw in parts))
    pools: dict[int, Pool] = defaultdict(Pool)
    for found in tiles:
        pools[found.place].tiles.append(found)
    raws: dict[int, list[Raw]] = defaultdict(list)
    for place, raw in [*parts, *((place, Raw.of(some)) for place, some in readings.items())]:
        raws[place].append(raw)
    for place, parts_and_readings in raws.items():
        pools[place].raw = Raw.joined(parts_and_readings)
    return dict(pools)


def _not_emptied(spans: Sequence[Span]) -> Iterator[Span]:
    """What may have readings of spans that no rollup covers."""
    starts = emptied_before({span.device_id for span in spans})
    for span in spans:
        start = max(span.start, starts.get(span.device_id, span.start))
        if start < span.stop:
            yield span._replace(start=start)


def ranks(count: int, percentiles: Percentiles) -> list[int]:
    """Those of the median, then those of the percentiles."""
    return [*middle_ranks(count), *(nearest_rank(number, count) for number in percentiles.values())]


@dataclass
class Pool:
    """What one answer is made of: rollups, and raw readings."""

    tiles: list[Tile] = field(default_factory=list)
    raw: Raw | None = None
    sorted_axes: dict[int, Floats] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(found.size for found in self.tiles) + (self.raw.axes.shape[1] if self.raw else 0)

    def known_median(self, axis: int) -> float | None:
        """The median that needs no search: of raw readings alone, or what a rollup keeps that is all there is."""
        if not self.tiles:
            middle = middle_ranks(self.count)
            return median_of(self.sorted_raw(axis)[middle.start : middle.stop])
        return self.tiles[0].medians[axis] if len(self.tiles) == 1 and self.raw is None else None

    def sorted_raw(self, axis: int) -> Floats:
        """The values of an axis of the raw readings, in order: one more block."""
        if self.raw is None:
            return NO_VALUES
        if axis not in self.sorted_axes:
            self.sorted_axes[axis] = np.sort(self.raw.axes[axis])
        return self.sorted_axes[axis]

    def blocks(self, axis: int) -> tuple[Floats, list[int], list[int]]:
        """Of the rollups, and the raw readings after them: the grids, the counts and the steps."""
        grids = [np.frombuffer(found.grids[axis], dtype="<f8") for found in self.tiles]
        counts = [found.size for found in self.tiles]
        steps = [grid_step(found.size) for found in self.tiles]
        if self.raw:
            raw = self.sorted_raw(axis)
            steps.append(grid_step(len(raw)))
            counts.append(len(raw))
            grids.append(grid(raw, steps[-1]))
        return np.concatenate(grids), counts, steps

    def plan(self, axis: int, percentiles: Percentiles) -> Plan:
        """What to read for the median and the percentiles of an axis."""
        return bracket(*self.blocks(axis), ranks(self.count, percentiles))

    def read(self, axis: int, slices: Slices) -> list[Floats]:
        """The values of each of the slices, which are in order."""
        by_place = read_slices(axis, list(self.of_rollups(slices)))
        return [*chain(*by_place.values()), *self.in_memory(axis, slices)]

    def of_rollups(self, slices: Slices) -> Iterator[Slice]:
        """Those of the slices that are of rollups."""
        for block, start, stop in _each(slices):
            if block < len(self.tiles):
                yield Slice(self.tiles[block], start, stop)

    def in_memory(self, axis: int, slices: Slices) -> list[Floats]:
        """The values of those of the slices that are of the raw readings."""
        parts = _each(slices)
        return [self.sorted_raw(axis)[start:stop] for block, start, stop in parts if block == len(self.tiles)]

    @property
    def first_at(self) -> int:
        return min([found.first_at for found in self.tiles] + ([self.raw.first_at] if self.raw else []))

    @property
    def last_at(self) -> int:
        return max([found.last_at for found in self.tiles] + ([self.raw.last_at] if self.raw else []))

    def sums(self, axis: int) -> list[float]:
        """Of the rollups and the raw readings; NumPy adds pairwise, exactly enough for any number that memory holds."""
        return [found.sums[axis] for found in self.tiles] + ([float(self.raw.axes[axis].sum())] if self.raw else [])

    def ends(self, axis: int) -> tuple[float, float]:
        """The least and the greatest value of an axis."""
        ends = [end for found in self.tiles for end in found.ends(axis)]
        if self.raw:
            ends += [float(self.raw.axes[axis].min()), float(self.raw.axes[axis].max())]
        return min(ends), max(ends)

    def all_values(self, axis: int) -> Floats:
        """Every value of an axis, in no order."""
        parts = read_slices(axis, [Slice(found, 0, found.size) for found in self.tiles]).values()
        return np.concatenate([NO_VALUES, *chain(*parts), self.raw.axes[axis] if self.raw else NO_VALUES])


def _each(slices: Slices) -> Iterator[tuple[int, int, int]]:
    return zip(*(numbers.tolist() for numbers in slices), strict=True)
