"""Order statistics over blocks are those of all values sorted, and no more is read than promised."""

import math
import os
import statistics
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.order_statistics import (
    Floats,
    Plan,
    bracket,
    grid,
    grid_sizes,
    median_of,
    middle_ranks,
    nearest_rank,
    select,
)

Block = tuple[list[float], int]  # values in any order, and a step
Example = tuple[list[Block], list[int]]  # blocks and ranks

# Without HYPOTHESIS_EXAMPLES the same examples in each run; with it, that many new ones.
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 500), derandomize=not examples, database=None, deadline=None)

few_values = st.integers(-2, 2).map(float)  # mostly ties
some_values = st.integers(-60, 60).map(float)
all_values = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)  # no -0.0


def blocks_of(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Block]]:
    return st.lists(st.tuples(st.lists(values, max_size=40), st.integers(1, 12)), max_size=8)


@st.composite
def blocks_and_ranks(draw: st.DrawFn) -> Example:
    blocks = draw(st.one_of(blocks_of(few_values), blocks_of(some_values), blocks_of(all_values)))
    count = sum(len(values) for values, _ in blocks)
    return blocks, draw(st.lists(st.integers(0, count - 1), max_size=6)) if count else []


class Store:
    """Sorted blocks and their steps, read as a database would be: grids first, then slices."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = [np.array(sorted(values), dtype=np.float64) for values, _ in blocks]
        self.steps = [step for _, step in blocks]
        self.sorted = sorted(value for values, _ in blocks for value in values)

    def plan(self, ranks: list[int]) -> Plan:
        grids = [grid(values, step) for values, step in zip(self.blocks, self.steps, strict=True)]
        return bracket(joined(grids), [values.size for values in self.blocks], self.steps, ranks)

    def read(self, plan: Plan) -> Floats:
        slices = zip(plan.blocks, plan.starts, plan.stops, strict=True)
        return joined([self.blocks[block][start:stop] for block, start, stop in slices])

    def values(self, ranks: list[int]) -> list[float]:
        plan = self.plan(ranks)
        answers: list[float] = select(plan, self.read(plan)).tolist()
        return answers

    @property
    def uncertainty(self) -> int:
        return sum(step - 1 for step in self.steps)


def joined(arrays: list[Floats]) -> Floats:
    return np.concatenate([np.empty(0), *arrays])


@thoroughly
@given(blocks_and_ranks())
def test_values_are_those_of_everything_sorted(example: Example) -> None:
    blocks, ranks = example
    store = Store(blocks)
    assert store.values(ranks) == [store.sorted[rank] for rank in ranks]


@thoroughly
@given(blocks_of(some_values))
def test_all_ranks_at_once(blocks: list[Block]) -> None:
    store = Store(blocks)
    assert store.values(list(range(len(store.sorted)))) == store.sorted


@thoroughly
@given(blocks_and_ranks())
def test_slices_are_in_order_in_their_blocks_and_apart(example: Example) -> None:
    blocks, ranks = example
    plan = Store(blocks).plan(ranks)
    slices = list(zip(plan.blocks.tolist(), plan.starts.tolist(), plan.stops.tolist(), strict=True))
    assert all(0 <= start < stop <= len(blocks[block][0]) for block, start, stop in slices)
    for (block, _, stop), (next_block, next_start, _) in pairwise(slices):
        assert (block, stop) < (next_block, next_start)


@thoroughly
@given(blocks_and_ranks())
def test_a_rank_reads_less_than_twice_the_uncertainty(example: Example) -> None:
    blocks, ranks = example
    store = Store(blocks)
    for rank in ranks:
        assert store.plan([rank]).size <= max(2 * store.uncertainty - 1, 0)


@thoroughly
@given(blocks_and_ranks())
def test_several_ranks_read_what_each_of_them_reads_and_once(example: Example) -> None:
    blocks, ranks = example
    store = Store(blocks)
    alone = {place for rank in ranks for place in places(store.plan([rank]))}
    together = places(store.plan(ranks))
    assert len(together) == len(set(together))
    assert set(together) == alone


def places(plan: Plan) -> list[tuple[int, int]]:
    slices = zip(plan.blocks.tolist(), plan.starts.tolist(), plan.stops.tolist(), strict=True)
    return [(block, position) for block, start, stop in slices for position in range(start, stop)]


@thoroughly
@given(blocks_and_ranks(), st.randoms())
def test_values_that_were_read_may_be_in_any_order(example: Example, random: Random) -> None:
    blocks, ranks = example
    store = Store(blocks)
    plan = store.plan(ranks)
    values = store.read(plan).tolist()
    random.shuffle(values)
    assert select(plan, np.array(values)).tolist() == [store.sorted[rank] for rank in ranks]


@thoroughly
@given(st.lists(all_values, max_size=40), st.integers(1, 50))
def test_a_grid_is_every_step_th_value_and_the_last(values: list[float], step: int) -> None:
    positions = sorted({*range(0, len(values), step), *range(len(values))[-1:]})
    assert grid(np.array(sorted(values)), step).tolist() == [sorted(values)[position] for position in positions]
    assert grid_sizes([len(values)], [step]).tolist() == [len(positions)]


@thoroughly
@given(st.lists(all_values, min_size=1), st.integers(1, 12))
def test_the_median_is_that_of_the_standard_library(values: list[float], step: int) -> None:
    middle = Store([(values, step)]).values(list(middle_ranks(len(values))))
    assert median_of(middle) == statistics.median(values)


@thoroughly
@given(st.decimals(0, 100, allow_nan=False), st.integers(1, 10**12))
def test_nearest_rank_is_its_definition(percentile: Decimal, count: int) -> None:
    assert nearest_rank(percentile, count) == max(math.ceil(Fraction(percentile) * count / 100), 1) - 1


@pytest.mark.parametrize(
    ("percentile", "count", "rank"),
    [
        ("0", 7, 0),
        ("100", 7, 6),
        ("50", 7, 3),
        ("50", 8, 3),
        ("99.9", 1000, 998),
        ("29", 100, 28),  # 100 * 0.29 is more than 29 in binary
        ("50." + "0" * 40 + "1", 8, 4),
        ("49." + "9" * 40, 8, 3),
        ("1e-2000000", 8, 0),
    ],
)
def test_nearest_rank(percentile: str, count: int, rank: int) -> None:
    assert nearest_rank(Decimal(percentile), count) == rank


@pytest.mark.parametrize(
    ("percentile", "count"), [("-1", 5), ("100.1", 5), ("nan", 5), ("snan", 5), ("inf", 5), ("50", 0)]
)
def test_there_is_no_such_percentile(percentile: str, count: int) -> None:
    with pytest.raises(ValueError, match="percentile"):
        nearest_rank(Decimal(percentile), count)


def test_without_values_there_is_no_middle() -> None:
    assert [list(middle_ranks(count)) for count in range(5)] == [[], [0], [0, 1], [1], [1, 2]]


def test_the_median_of_one_value_does_not_overflow() -> None:
    assert median_of([1.7e308]) == 1.7e308


def test_millions_of_equal_values_are_not_read() -> None:
    count, step = 1_000_000, 1000
    grids = np.full(grid_sizes(count, step) * 5, 7.0)
    plan = bracket(grids, [count] * 5, [step] * 5, [0, 2_500_000, 4_999_999])
    assert plan.size == 0
    assert select(plan, np.empty(0)).tolist() == [7.0] * 3


@thoroughly
@given(st.lists(st.lists(all_values, max_size=20), max_size=5))
def test_of_arrays_in_memory_nothing_is_read(arrays: list[list[float]]) -> None:
    store = Store([(values, 1) for values in arrays])
    assert store.plan(list(range(len(store.sorted)))).size == 0


def test_a_year_of_drifting_days_reads_little() -> None:
    drift = np.sin(np.arange(365) / 58)[:, np.newaxis]
    days = np.sort(np.random.default_rng(1).normal(drift, 1.0, (365, 8640)), axis=1)
    step = 93
    ranks = [*middle_ranks(days.size), nearest_rank(Decimal("99.9"), days.size)]
    plan = bracket(joined([grid(day, step) for day in days]), [8640] * 365, [step] * 365, ranks)
    slices = zip(plan.blocks, plan.starts, plan.stops, strict=True)
    answers = select(plan, joined([days[day, start:stop] for day, start, stop in slices]))
    assert answers.tolist() == np.sort(days, axis=None)[ranks].tolist()
    assert plan.size <= len(ranks) * (2 * 365 * (step - 1) - 1)


def test_many_small_blocks() -> None:
    blocks = np.sort(np.random.default_rng(1).integers(0, 1000, (20_000, 5)).astype(np.float64), axis=1)
    store = Store([(block.tolist(), 1 + number % 6) for number, block in enumerate(blocks)])
    ranks = list(range(0, 100_000, 2500))
    assert store.values(ranks) == [store.sorted[rank] for rank in ranks]


@pytest.mark.parametrize("rank", [-1, 3])
def test_a_rank_that_does_not_exist(rank: int) -> None:
    with pytest.raises(IndexError):
        Store([([1.0, 2.0, 3.0], 2)]).plan([rank])


def test_no_blocks_have_no_ranks() -> None:
    assert Store([]).values([]) == []
    with pytest.raises(IndexError):
        Store([]).plan([0])


@pytest.mark.parametrize(
    ("counts", "steps"), [([4], [2]), ([6], [5]), ([6, 1], [2, 1]), ([6], [2, 1]), ([-1], [1]), ([6], [0])]
)
def test_grids_that_do_not_fit(counts: list[int], steps: list[int]) -> None:
    with pytest.raises(ValueError, match=r"grids|block"):
        bracket(grid(np.arange(6.0), 2), counts, steps, [])


def test_a_read_that_came_short_is_refused() -> None:
    store = Store([([float(value) for value in range(20)], 5)])
    plan = store.plan([7])
    with pytest.raises(ValueError, match="values"):
        select(plan, store.read(plan)[1:])
