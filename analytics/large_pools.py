"""One answer of more than memory is for: its spans are gone through in groups, several times, within one snapshot.

First each group tells its figures, and of the grids of its blocks as many knots as there is room for: grids of any
steps bracket the answers, see `order_statistics`. The slices in between, read again group by group, are the blocks of
the next pass, again with as many knots as there is room for; and where that is all of their values, the answers are
known.

Bound. Memory is that of one group, of `ROOM` knots for each axis, and some numbers for each block. A pass leaves less
than 2 * steps - 1 values of each block for a rank: with B blocks and R ranks, V values become some 2 * R * B / ROOM of
that. Where a pass does not halve them, all are read, so that there is an end.

Source. Munro and Paterson, "Selection and sorting with limited storage", Theoretical Computer Science 12, 1980.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from analytics.order_statistics import Floats, Integers, Slices, bracket, grid, select, settle, thinned
from analytics.periods import COARSEST_FIRST, ceiling
from analytics.pools import NO_VALUES, Pool, pools_of, ranks
from analytics.reference import AXES, Percentiles
from analytics.tiling import Span, TooLarge
from devices.lookups import of_each, time_from

ROOM = 1_000_000  # values of an axis
AT_FIRST = 100  # spans in a group


class LargePool:
    """All readings of spans of one place, of which there are some. TooLarge where too many of them have one time."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.groups: list[_Group] = []
        self.count = 0
        self._times: list[int] = []
        self._sums: list[list[float]] = [[] for _ in AXES]
        self._ends: list[list[float]] = [[] for _ in AXES]
        self._blocks = [_Gathered() for _ in AXES]
        for first in range(0, len(spans), AT_FIRST):
            for some, pool in _groups(spans[first : first + AT_FIRST]):
                self._add(some, pool)

    @property
    def first_at(self) -> int:
        return min(self._times)

    @property
    def last_at(self) -> int:
        return max(self._times)

    def sums(self, axis: int) -> list[float]:
        return self._sums[axis]

    def ends(self, axis: int) -> tuple[float, float]:
        return min(self._ends[axis]), max(self._ends[axis])

    def order_statistics(self, percentiles: Percentiles) -> list[Floats]:
        """Per axis the values of the median's ranks, then those of the percentiles."""
        asked = np.array(ranks(self.count, percentiles))
        return self._find([gathered.joined() for gathered in self._blocks], [asked] * len(AXES), math.inf)

    def _add(self, spans: Sequence[Span], pool: Pool) -> None:
        first = self.groups[-1].stop if self.groups else 0
        for axis, gathered in enumerate(self._blocks):
            grids, counts, steps = pool.blocks(axis)
            gathered.add(_Blocks.of_all(first, grids, counts, steps))
            self._sums[axis].append(math.fsum(pool.sums(axis)))
            self._ends[axis] += pool.ends(axis)
        self.groups.append(_Group(spans, first, first + len(counts)))
        self.count += pool.count
        self._times += [pool.first_at, pool.last_at]

    def _find(self, blocks: Sequence["_Blocks"], asked: Sequence[Integers], left: float) -> list[Floats]:
        """Per axis the values of ranks of its blocks, of which there were `left` to be read by the pass before."""
        plans = [bracket(each.grids, each.counts, each.steps, some) for each, some in zip(blocks, asked, strict=True)]
        size = max(plan.size for plan in plans)
        if size == 0:
            return [select(plan, NO_VALUES) for plan in plans]
        room = ROOM if size <= left / 2 else size
        wanted = [each.within(plan.slices) for each, plan in zip(blocks, plans, strict=True)]
        found = self._find(self._read(wanted, -(-size // room)), [plan.index for plan in plans], size)
        return [settle(plan, values) for plan, values in zip(plans, found, strict=True)]

    def _read(self, wanted: Sequence[Slices], step: int) -> list["_Blocks"]:
        """Per axis its slices as blocks, with grids of this step."""
        parts: list[list[_Blocks]] = [[_Blocks.none()] for _ in AXES]
        for group in self.groups:
            theirs = [group.among(slices) for slices in wanted]
            if any(slices.blocks.size for slices in theirs):
                pool = pools_of(group.spans)[group.spans[0].place]
                for axis, slices in enumerate(theirs):
                    for some in _some_at_a_time(slices):
                        parts[axis].append(_Blocks.of_slices(some, pool.read(axis, group.numbered(some)), step))
        return [_Blocks.joined(some) for some in parts]


class _Group(NamedTuple):
    """Spans that memory is for; their blocks have the numbers `first <= number < stop` among those of all groups."""

    spans: Sequence[Span]
    first: int
    stop: int

    def among(self, slices: Slices) -> Slices:
        """Those of the slices, which are in order, that are of blocks of this group."""
        first, stop = np.searchsorted(slices.blocks, [self.first, self.stop])
        return Slices(*(numbers[first:stop] for numbers in slices))

    def numbered(self, slices: Slices) -> Slices:
        """Its slices with the numbers that its blocks have in its pool."""
        return slices._replace(blocks=slices.blocks - self.first)


class _Blocks(NamedTuple):
    """Blocks of `order_statistics`, each a slice of a block of a group: from position `starts[i]` of `numbers[i]`."""

    numbers: Integers
    starts: Integers
    counts: Integers
    steps: Integers
    grids: Floats

    @classmethod
    def none(cls) -> Self:
        return cls.of_all(0, NO_VALUES, [], [])

    @classmethod
    def of_all(cls, first: int, grids: Floats, counts: Sequence[int], steps: Sequence[int]) -> Self:
        """The whole blocks of a group, whose numbers begin with `first`."""
        numbers = np.arange(first, first + len(counts))
        return cls(numbers, np.zeros_like(numbers), np.array(counts, np.int64), np.array(steps, np.int64), grids)

    @classmethod
    def of_slices(cls, slices: Slices, values: Sequence[Floats], step: int) -> Self:
        counts = slices.stops - slices.starts
        grids = np.concatenate([NO_VALUES, *(grid(some, step) for some in values)])
        return cls(slices.blocks, slices.starts, counts, np.full_like(counts, step), grids)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def within(self, slices: Slices) -> Slices:
        """Slices of these blocks as slices of what they are of."""
        starts = self.starts[slices.blocks]
        return Slices(self.numbers[slices.blocks], starts + slices.starts, starts + slices.stops)

    def thinned(self, by: int) -> Self:
        return self._replace(steps=self.steps * by, grids=thinned(self.grids, self.counts, self.steps, by))


class _Gathered:
    """Blocks of an axis as they come, of whose knots as many are kept as there is room for."""

    def __init__(self) -> None:
        self.parts = [_Blocks.none()]

    def add(self, blocks: _Blocks) -> None:
        self.parts.append(blocks)
        if (size := sum(part.grids.size for part in self.parts)) > 2 * ROOM:
            self.parts = [self.joined().thinned(-(-size // ROOM))]

    def joined(self) -> _Blocks:
        return _Blocks.joined(self.parts)


def _some_at_a_time(slices: Slices) -> Iterator[Slices]:
    """The slices, of as many values at a time as there is room for."""
    ends = (slices.stops - slices.starts).cumsum()
    cuts = (np.flatnonzero(np.diff(ends // ROOM)) + 1).tolist()
    for first, stop in pairwise([0, *cuts, ends.size]):
        if first < stop:
            yield Slices(*(numbers[first:stop] for numbers in slices))


def _groups(spans: Sequence[Span]) -> Iterator[tuple[Sequence[Span], Pool]]:
    """The spans in groups that memory is for, with their pools; without those that have no readings."""
    try:
        pool = pools_of(spans).get(spans[0].place)
    except TooLarge:
        for half in _halves(spans):
            yield from _groups(half)
    else:
        if pool is not None:
            yield spans, pool


def _halves(spans: Sequence[Span]) -> Sequence[Sequence[Span]]:
    """Half of the spans, and the others; of one, both halves of the time in which it has readings."""
    if len(spans) > 1:
        return spans[: len(spans) // 2], spans[len(spans) // 2 :]
    (span,) = spans
    cut = _middle(*_ends_of(span))
    return [span._replace(stop=cut)], [span._replace(start=cut)]


def _middle(first: int, last: int) -> int:
    """A time after the first and not after the last: where long periods begin, so that their rollups are of use."""
    if first == last:
        raise TooLarge
    middle = (first + last) // 2 + 1
    cuts = (ceiling(middle, level) for level in COARSEST_FIRST)
    return next((cut for cut in cuts if cut <= last), middle)


def _ends_of(span: Span) -> list[int]:
    """The first and the last time of its readings, of which there are some."""
    found = (
        of_each(f"{end}(recorded_at)", [span.device_id], span.start, span.stop)[span.device_id]
        for end in ("min", "max")
    )
    return [time for time in map(time_from, found) if time is not None]
