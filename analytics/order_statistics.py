"""Exact order statistics over many sorted blocks, reading only their grids and then narrow slices.

A *block* holds finite doubles in ascending order, in some store that can be read by slice. Its *grid*, which is small,
holds the values at positions 0, step, 2 * step, ... and at the last one: so min and max are in it, and a block that is
wholly below or above a value is known to be. One such value is a *knot*. An array in memory is a block with step 1: its
grid is all of it, and nothing more of it is ever asked for. There is one zero: -0.0 must not occur. Positions, counts
and ranks start at 0 and stay below 2**53.

Use: `plan = bracket(grids, counts, steps, ranks)`; fetch its slices, all in one query; `select(plan, values)`.

Algorithm. Walk all knots in ascending order, v[0] <= v[1] <= ... Between two neighbouring knots of a block, at
positions p < q, that block has from p + 1 to q values below whatever comes next. Summed over the blocks that makes
    certain[i]   the least count of values <= v[i],
    possible[i]  the greatest count of values < v[i + 1],
and with them the answer A, the value of rank r, lies between
    low  = v[first i with possible[i] > r]  as at most r values are below it,
    high = v[first i with certain[i] > r]   as at least r + 1 values are no greater.
If they are equal, that is the answer. If not, the slice of a block goes from after its last knot <= low to before its
first knot >= high: what is before it is <= low, what is after it is >= high.

Exactness. Clamp every value to [low, high]. That keeps their order, so the value of rank r is now A clamped, which is
A; and a value that was not read is now low or high, by its side of the slice. So A is the value of rank
`r - (how many before the slices)` among those read, clamped. That rank exists, as at the slices' starts `certain <= r`
and at their stops `possible > r`. Reading more than the slices changes nothing, as long as it is counted as read: hence
several ranks share one pool of values, in any order.

Bound. For one rank at most `2 * U - 1` values are read, where U is the sum of `step - 1` over the blocks, whatever the
values are and however many are equal. Proof: past a whole run of equal knots `possible - certain <= U`, as one block
adds at most step - 1. The stops add up to `possible` just below high, where `certain <= r`: at most r + U. The starts
add up to `certain` at low, where `possible >= r + 1`: at least r + 1 - U. With all steps 1 that leaves nothing to read.

Sources. Rank bounds from a sorted subset: Greenwald and Khanna, "Space-efficient online computation of quantile
summaries", SIGMOD 2001. First a bracket, then the values inside it: Munro and Paterson, "Selection and sorting with
limited storage", Theoretical Computer Science 12, 1980.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Slices(NamedTuple):
    """Positions `starts[i] <= position < stops[i]` of block `blocks[i]`."""

    blocks: Integers
    starts: Integers
    stops: Integers


@dataclass(frozen=True)
class Plan:
    """What to read, and how to find the answers in it.

    Slice i is positions `starts[i] <= position < stops[i]` of block `blocks[i]`. They are in order of block and
    position, none is empty, and no two touch. The rest is for `select`: per distinct rank, ascending, its bracket from
    `low` to `high`; where these differ, `index`, its rank among all values read; and `places`, per rank as it was
    asked, its place among the distinct.
    """

    blocks: Integers
    starts: Integers
    stops: Integers
    low: Floats
    high: Floats
    index: Integers
    places: Integers

    @property
    def slices(self) -> Slices:
        return Slices(self.blocks, self.starts, self.stops)

    @property
    def size(self) -> int:
        """How many values there are to read."""
        return int((self.stops - self.starts).sum())


@dataclass(frozen=True)
class _Knots:
    """The knots of all blocks in ascending order, each with its block, and by how much it raises the two counts."""

    values: Floats
    blocks: Integers
    certain: Integers
    possible: Integers


def grid_step(count: int) -> int:
    """How far the values of a grid lie apart: the square root of the count reads least, grid and slices together."""
    return max(1, round(math.sqrt(count)))


def grid(values: Floats, step: int) -> Floats:
    """The grid of a sorted block: every `step`-th value from the first, and the last."""
    return np.append(values[:-1:step], values[-1:])


def thinned(grids: Floats, counts: npt.ArrayLike, steps: npt.ArrayLike, by: int) -> Floats:
    """The grids of the same blocks, one after another, with steps that are `by` times as long."""
    sizes = grid_sizes(counts, steps)
    ends = sizes.cumsum()
    places = np.arange(grids.size) - np.repeat(ends - sizes, sizes)
    kept = places % by == 0
    kept[ends[sizes > 0] - 1] = True
    thinner: Floats = grids[kept]
    return thinner


def grid_sizes(counts: npt.ArrayLike, steps: npt.ArrayLike) -> Integers:
    """The length of the grid of each block, from its count of values and its step."""
    counts, steps = _integers(counts), _integers(steps)
    return np.where(counts > 0, -((1 - counts) // steps) + 1, 0)


def bracket(grids: Floats, counts: npt.ArrayLike, steps: npt.ArrayLike, ranks: npt.ArrayLike) -> Plan:
    """What to read for the values of these ranks over all blocks together.

    `grids` is the grids of the blocks one after another; `counts` and `steps` have an entry per block, empty ones too.
    `ranks` may repeat and need no order. Raises ValueError where the grids do not fit the counts and steps, and
    IndexError for a rank that does not exist. With K knots, B blocks and R ranks: time O(K log K + R * B), memory
    O(K + R * B), all in NumPy.
    """
    counts, steps = _integers(counts), _integers(steps)
    distinct, places = np.unique(_integers(ranks), return_inverse=True)
    _check(grids, counts, steps, distinct)
    knots = _merged(grids, counts, steps)
    low = knots.values[np.searchsorted(knots.possible.cumsum(), distinct, side="right")]
    high = knots.values[np.searchsorted(knots.certain.cumsum(), distinct, side="right")]
    unknown = low < high
    starts, stops = _slices(knots, counts.size, low[unknown], high[unknown])
    index = distinct[unknown] - _unread_before(starts, stops)
    return Plan(*_joined(starts, stops), low, high, index, places)


def select(plan: Plan, values: Floats) -> Floats:
    """The values of the ranks that the plan was made for, in the order they were asked.

    `values` is the content of all slices one after another; their order does not matter. Raises ValueError where
    their number is not the plan's.
    """
    if values.size != plan.size:
        raise ValueError(f"The plan reads {plan.size} values, and {values.size} came.")
    return settle(plan, np.partition(values, plan.index)[plan.index])


def settle(plan: Plan, found: Floats) -> Floats:
    """The same from the values of the ranks `plan.index` among all that the plan reads, however they were found."""
    answers = plan.low.copy()
    unknown = plan.low < plan.high
    answers[unknown] = np.clip(found, plan.low[unknown], plan.high[unknown])
    return answers[plan.places]


def middle_ranks(count: int) -> range:
    """The one rank or two in the middle, of which the median is made; none where there are no values."""
    return range((count - 1) // 2, count // 2 + 1) if count else range(0)


def median_of(middle: Sequence[float] | Floats) -> float:
    """The median from the values of the middle ranks: the one, or `(a + b) / 2` as in `statistics.median`."""
    if len(middle) == 1:
        return float(middle[0])
    a, b = middle
    return (float(a) + float(b)) / 2


def nearest_rank(percentile: Decimal, count: int) -> int:
    """The rank of a percentile by the nearest-rank method: `ceil(percentile * count / 100) - 1`, and 0 for the 0th.

    Raises ValueError unless the percentile is from 0 to 100 and there are values. Exact for any number of digits:
    what is rounded upwards passes no whole number, so its ceiling stays.
    """
    if not percentile.is_finite() or not 0 <= percentile <= 100 or count < 1:
        raise ValueError("A percentile is from 0 to 100, of at least one value.")
    upwards = Context(prec=28, rounding=ROUND_CEILING)
    return max(math.ceil(upwards.divide(upwards.multiply(percentile, count), 100)) - 1, 0)


def _integers(numbers: npt.ArrayLike) -> Integers:
    return np.asarray(numbers, dtype=np.int64)


def _check(grids: Floats, counts: Integers, steps: Integers, ranks: Integers) -> None:
    if counts.shape != steps.shape or (counts < 0).any() or (steps < 1).any():
        raise ValueError("Each block has a count from 0 and a step from 1.")
    if grids.size != grid_sizes(counts, steps).sum():
        raise ValueError("The grids do not fit the counts and steps.")
    if ranks.size and not 0 <= ranks[0] <= ranks[-1] < counts.sum():
        raise IndexError("There is no value of that rank.")


def _merged(grids: Floats, counts: Integers, steps: Integers) -> _Knots:
    """The knots of all blocks. Equal ones may be in any order: the counts do not fall along them."""
    sizes = grid_sizes(counts, steps)
    certain = _gaps(counts, steps, sizes)
    possible = np.roll(certain, -1)  # the gap after a knot; after a block's last one comes 1, a first one's gap
    blocks = np.repeat(np.arange(counts.size), sizes)
    order = np.argsort(grids)
    return _Knots(grids[order], blocks[order], certain[order], possible[order])


def _gaps(counts: Integers, steps: Integers, sizes: Integers) -> Integers:
    """How far each knot's position is from that of the knot before it; 1 for the first of a block."""
    gaps = np.repeat(steps, sizes)
    filled = counts > 0
    ends = sizes.cumsum()[filled]
    gaps[ends - 1] = (counts - 1 - (sizes - 2) * steps)[filled]
    gaps[ends - sizes[filled]] = 1
    return gaps


def _slices(knots: _Knots, blocks: int, low: Floats, high: Floats) -> tuple[Integers, Integers]:
    """Starts and stops per bracket (row, ascending) and block (column), each without what earlier brackets read."""
    starts = _passed(knots, knots.certain, np.searchsorted(knots.values, low, side="right"), blocks)
    stops = _passed(knots, knots.possible, np.searchsorted(knots.values, high, side="left"), blocks)
    starts[1:] = np.maximum(starts[1:], stops[:-1])
    return starts, stops


def _passed(knots: _Knots, rises: Integers, cuts: Integers, blocks: int) -> Integers:
    """Per cut (row, ascending) and block (column), the sum of the rises of the block's knots among the first `cut`."""
    rows = np.repeat(np.arange(cuts.size), np.diff(cuts, prepend=0))
    cells = rows * blocks + knots.blocks[: rows.size]
    sums = np.bincount(cells, weights=rises[: rows.size], minlength=cuts.size * blocks)
    return sums.reshape(cuts.size, blocks).cumsum(axis=0).astype(np.int64)


def _unread_before(starts: Integers, stops: Integers) -> Integers:
    """Per bracket, how many values before its slices are in no slice."""
    lengths: Integers = (stops - starts).sum(axis=1)
    before: Integers = starts.sum(axis=1) - (lengths.cumsum() - lengths)
    return before


def _joined(starts: Integers, stops: Integers) -> tuple[Integers, Integers, Integers]:
    """Blocks, starts and stops of the slices that are not empty, those that touch made one."""
    blocks, rows = np.nonzero((starts < stops).T)
    starts, stops = starts[rows, blocks], stops[rows, blocks]
    apart = (blocks[1:] != blocks[:-1]) | (starts[1:] != stops[:-1])
    first = np.append(True, apart)[: blocks.size]
    return blocks[first], starts[first], stops[np.roll(first, -1)]  # where the next one begins anew, a slice ends
