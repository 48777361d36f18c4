"""Packed values are those that were packed, to the bit, whole or by slice, and take few bytes."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.order_statistics import Floats, grid, grid_step
from analytics.packing import AT_A_TIME, KEYS, Packing, pack

# Without HYPOTHESIS_EXAMPLES the same examples in each run; with it, that many new ones.
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 500), derandomize=not examples, database=None, deadline=None)

all_values = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)  # no -0.0
near_zero = st.integers(-300, 300).map(lambda number: number * 5e-324)  # subnormals
decimals = st.integers(0, 17).flatmap(lambda digits: st.integers(-(10**6), 10**6).map(lambda n: n / 10**digits + 0.0))
whole_numbers = st.integers(-(2**50) - 3, 2**50 + 3)
long_decimals = st.tuples(whole_numbers, st.integers(0, 16)).map(lambda pair: pair[0] / 10 ** pair[1] + 0.0)
few_values = st.sampled_from([-1e15, -0.1, 0.0, 0.1, 0.3, 1e15, 1.7e308, -1.7e308])
contents = st.one_of(
    *(st.lists(values, min_size=1, max_size=120) for values in (all_values, near_zero, decimals, long_decimals)),
    st.lists(few_values, min_size=1, max_size=120),
    st.tuples(all_values, st.integers(1, 300)).map(lambda pair: [pair[0]] * pair[1]),
)
NOISE = np.random.default_rng(1)


def block(values: list[float] | Floats) -> Floats:
    return np.sort(np.array(values, dtype=np.float64))


def read(blocks: list[Floats], starts: list[int], stops: list[int]) -> Floats:
    """What is read of packed blocks: of each one the bytes of its slice, and of all together the values."""
    packed = [pack(values) for values in blocks]
    counts = [values.size for values in blocks]
    grids = [grid(values, grid_step(values.size)).tobytes() for values in blocks]
    packing = Packing.of(grids, counts, [decimals for decimals, _ in packed])
    ranges = zip(packed, *packing.ranges(np.array(starts), np.array(stops)), strict=True)
    slices = [content[first : first + length] for (_, content), first, length in ranges]
    return np.concatenate(packing.unpack(np.array(starts), np.array(stops), slices))


def assert_read_back(values: Floats) -> None:
    assert read([values], [0], [values.size]).tobytes() == values.tobytes()


def decimals_and_width(values: Floats) -> tuple[int, float]:
    """The decimals of a block, and how many bytes a value takes."""
    decimals, content = pack(values)
    return decimals, len(content) / values.size


@thoroughly
@given(contents)
def test_a_block_is_what_was_packed(values: list[float]) -> None:
    assert_read_back(block(values))


@thoroughly
@given(st.lists(contents, min_size=1, max_size=6), st.data())
def test_slices_of_many_blocks_are_theirs(lists: list[list[float]], data: st.DataObject) -> None:
    blocks = [block(values) for values in lists]
    starts = [data.draw(st.integers(0, values.size - 1)) for values in blocks]
    stops = [data.draw(st.integers(start + 1, values.size)) for start, values in zip(starts, blocks, strict=True)]
    slices = zip(blocks, starts, stops, strict=True)
    wanted = np.concatenate([values[start:stop] for values, start, stop in slices])
    assert read(blocks, starts, stops).tobytes() == wanted.tobytes()


@thoroughly
@given(contents)
def test_no_value_takes_more_than_a_double(values: list[float]) -> None:
    assert decimals_and_width(block(values))[1] <= 8


@thoroughly
@given(contents)
def test_decimals_are_the_least_that_all_values_have(values: list[float]) -> None:
    decimals, _ = pack(block(values))
    fit = [digits for digits in range(16) if all(is_decimal(value, digits) for value in values)]
    assert decimals == (fit[0] if fit else KEYS)


def is_decimal(value: float, digits: int) -> bool:
    """Whether a number below 2**50 over the power of ten is this value: in whole numbers, which do not round."""
    numerator, denominator = value.as_integer_ratio()
    nearest = (2 * numerator * 10**digits + denominator) // (2 * denominator)
    return any(abs(whole) < 2**50 and whole / 10**digits == value for whole in range(nearest - 1, nearest + 2))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 255, 256, 257, AT_A_TIME - 1, AT_A_TIME, AT_A_TIME + 1, 100_003])
@pytest.mark.parametrize("digits", [6, 16])
def test_blocks_of_any_size_are_what_was_packed(count: int, digits: int) -> None:
    assert_read_back(block(NOISE.normal(0, 1, count).round(digits) + 0.0))


def test_decimals_in_all_but_one_value_are_none() -> None:
    values = block([*range(10_000), 5000 + 2.0**-30])
    assert pack(values)[0] == KEYS
    assert_read_back(values)


def test_the_widest_range_is_read_back() -> None:
    assert_read_back(block([-1.7976931348623157e308, -5e-324, 0.0, 5e-324, 1.7976931348623157e308] * 100))


def test_equal_values_take_no_bytes() -> None:
    assert decimals_and_width(np.full(5000, 21.5)) == (1, 0)
    assert decimals_and_width(np.full(5000, 1 / 3)) == (KEYS, 0)


def test_an_hour_of_noise_with_six_decimals_takes_less_than_three_bytes_a_value() -> None:
    decimals, width = decimals_and_width(block(NOISE.normal(0, 1, 3600).round(6) + 0.0))
    assert decimals == 6
    assert width < 2.5


def test_a_day_of_noise_in_full_takes_less_than_seven_bytes_a_value() -> None:
    decimals, width = decimals_and_width(block(NOISE.normal(0, 1, 86_400)))
    assert decimals == KEYS
    assert width < 6.5
