"""Sorted doubles in few bytes, without loss, and still readable by slice: their grid says where each of them is.

A block and its grid are those of `order_statistics`. Values are packed as *codes*, whole numbers that ascend with them.

Codes. Where each value of a block is a whole number over one power of ten, as those of most sensors are, that number is
its code, and the exponent the block's `decimals`. Where not, `decimals` is KEYS, and the code is the bits of the double
as a signed number, with all but the sign's turned over where it is below zero.

Packing. From knot to knot codes ascend from a to b. What lies between, a itself included, is kept as its difference
from a, each in as few bytes as b - a needs: none where all are equal. So position p belongs to interval p // step; the
widths of the intervals follow from the knots, and where an interval begins, from the widths of those before it. What a
reader needs of a block is its grid, which it has read anyway, its count and its decimals.

Exactness. Doubles of one sign are ordered as their bits are, read as a whole number; turned over, those below zero
ascend too, and lie below the others. There is one zero: -0.0 must not occur. Turned over again they are what they were.
A whole number below 2**50 is a double, and so is a power of ten up to 10**15. So their quotient is rounded once,
correctly, on any machine; that it is the value is seen before it is packed so. Differences are modulo 2**64, less than
which is between any two codes.

Bound. A value takes no more than 8 bytes, and as a decimal 7. Its neighbours in rank are its neighbours in value: of n
values from noise an interval spans about a sqrt(n)-th of the range, which saves each of them log2(n) / 2 bits or so.

Sources. Doubles as decimals: Afroozeh, Kuffo and Boncz, "ALP: Adaptive lossless floating-point compression", SIGMOD
2024. Differences from a reference per frame: Goldstein, Ramakrishnan and Shaft, "Compressing relations and indexes",
ICDE 1998.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from analytics.order_statistics import Floats, Integers, grid, grid_sizes, grid_step

Codes = npt.NDArray[np.uint64]

KEYS = -1
POWERS = np.array([float(10**decimals) for decimals in range(16)])
BELOW = 2.0**50
ALL_BUT_THE_SIGN = np.int64(2**63 - 1)
LARGEST = np.array([256**width - 1 for width in range(9)], dtype=np.uint64)  # what fits into so many bytes
AT_A_TIME = 16_384  # values: what is needed beside them stays small, and in the processor's cache


def pack(values: Floats) -> tuple[int, bytes]:
    """The decimals of a sorted block that is not empty, and its bytes."""
    knots = grid(values, grid_step(values.size))
    decimals = _decimals(values, knots)
    packing = Packing.of([knots.tobytes()], [values.size], [decimals])
    pieces = packing.pieces(np.array([0]), np.array([values.size]))
    return decimals, b"".join(_packed(part, _codes(values[part.span], decimals)) for part in pieces)


class Pieces(NamedTuple):
    """Consecutive values of a read with the same decimals: per interval how many, and how they are packed.

    `span` is where they are among all values of the read.
    """

    span: slice
    sizes: Integers
    widths: Integers
    origins: Codes
    decimals: int


class Packing(NamedTuple):
    """How blocks are packed: entries per block, then entries per interval, those of all blocks one after another.

    `origins` are the codes at the first positions of intervals; `offsets` where these begin in the bytes of the block.
    """

    steps: Integers
    decimals: Integers
    firsts: Integers
    origins: Codes
    widths: Integers
    offsets: Integers

    @classmethod
    def of(cls, grids: Iterable[bytes], counts: npt.ArrayLike, decimals: npt.ArrayLike) -> Self:
        """From the grid of each block, as bytes, its count, which is not 0, and its decimals."""
        counts, decimals = np.array(counts), np.array(decimals)
        steps = np.array([grid_step(count) for count in counts])
        sizes = grid_sizes(counts, steps)
        lasts = sizes.cumsum() - 1
        origins = _codes_of_blocks(np.frombuffer(b"".join(grids), dtype="<f8"), sizes, decimals)
        gaps = np.append(np.diff(origins), origins[:1])
        gaps[lasts] = 0  # there is nothing after a last knot
        widths = np.searchsorted(LARGEST, gaps)
        lengths = widths * np.repeat(steps, sizes)
        offsets = lengths.cumsum() - lengths
        firsts = lasts + 1 - sizes
        return cls(steps, decimals, firsts, origins, widths, offsets - np.repeat(offsets[firsts], sizes))

    def ranges(self, starts: Integers, stops: Integers) -> tuple[Integers, Integers]:
        """For positions `starts[i] <= p < stops[i]` of block i, not none: their first byte in it, and how many."""
        firsts = self._byte(starts, 0)
        return firsts, self._byte(stops - 1, 1) - firsts

    def unpack(self, starts: Integers, stops: Integers, contents: Iterable[bytes]) -> list[Floats]:
        """The values at `starts[i] <= p < stops[i]` of each block i, from the bytes of these ranges."""
        ends = (stops - starts).cumsum().tolist()
        values = np.empty(ends[-1])
        content = b"".join([*contents, bytes(8)])
        words = np.ndarray(len(content) - 7, "<u8", content, strides=(1,))  # eight bytes from each byte on
        for part in self.pieces(starts, stops):
            values[part.span], used = _unpacked(part, words)
            words = words[used:]
        return [values[start:stop] for start, stop in pairwise([0, *ends])]

    def pieces(self, starts: Integers, stops: Integers) -> Iterator[Pieces]:
        """The intervals of the positions, or what of them is among these; not too many values at a time."""
        blocks, intervals = _counted(starts // self.steps, (stops - 1) // self.steps + 1)
        steps, indexes = self.steps[blocks], self.firsts[blocks] + intervals
        sizes = np.minimum(stops[blocks], (intervals + 1) * steps) - np.maximum(starts[blocks], intervals * steps)
        ends, decimals = sizes.cumsum(), self.decimals[blocks]
        cuts = np.flatnonzero(np.diff(ends // AT_A_TIME) | np.diff(decimals)) + 1
        for first, stop in pairwise([0, *cuts.tolist(), sizes.size]):
            span = slice(int(ends[first] - sizes[first]), int(ends[stop - 1]))
            at = indexes[first:stop]
            yield Pieces(span, sizes[first:stop], self.widths[at], self.origins[at], int(decimals[first]))

    def _byte(self, positions: Integers, after: int) -> Integers:
        """Where the value at a position of each block begins, or after it, in the bytes of the block."""
        at = self.firsts + positions // self.steps
        byte: Integers = self.offsets[at] + (positions % self.steps + after) * self.widths[at]
        return byte


def _decimals(values: Floats, knots: Floats) -> int:
    """The least number of decimals that all values have; KEYS where there is none. The few knots tell most of it."""
    for decimals in np.flatnonzero(_are_decimals(knots[:, None], POWERS).all(axis=0)).tolist():
        parts = (values[first : first + AT_A_TIME] for first in range(0, values.size, AT_A_TIME))
        if all(_are_decimals(part, POWERS[decimals]).all() for part in parts):
            return int(decimals)
    return KEYS


def _are_decimals(values: Floats, powers: Floats) -> npt.NDArray[np.bool_]:
    """Which values are, to the bit, a whole number below 2**50 over the power of ten.

    Below that, a value times the power is off by less than a half: the nearest whole number is the one.
    """
    with np.errstate(over="ignore"):
        whole = np.rint(values * powers)
    exact: npt.NDArray[np.bool_] = (np.abs(whole) < BELOW) & (whole / powers == values)
    return exact


def _codes(values: Floats, decimals: int) -> Codes:
    turned = decimals == KEYS
    numbers = _turned(values.view(np.int64)) if turned else np.rint(values * POWERS[decimals]).astype(np.int64)
    return numbers.view(np.uint64)


def _codes_of_blocks(values: Floats, sizes: Integers, decimals: Integers) -> Codes:
    """Of blocks one after another, each with its size and decimals."""
    codes = np.empty(values.size, dtype=np.uint64)
    for kind in set(decimals.tolist()):
        alike = np.repeat(decimals == kind, sizes)
        codes[alike] = _codes(values[alike], kind)
    return codes


def _values(codes: Codes, decimals: int) -> Floats:
    numbers = codes.view(np.int64)
    return _turned(numbers).view(np.float64) if decimals == KEYS else numbers / POWERS[decimals]


def _turned(bits: Integers) -> Integers:
    """All bits but the sign's turned over where it is set; done twice, nothing is."""
    turned: Integers = bits ^ (bits >> 63 & ALL_BUT_THE_SIGN)
    return turned


def _packed(part: Pieces, codes: Codes) -> bytes:
    differences = codes - np.repeat(part.origins, part.sizes)
    in_bytes = differences.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
    changes = np.flatnonzero(np.diff(part.widths)) + 1  # few, as the values are sorted
    ends = part.sizes.cumsum()[np.append(changes, 0) - 1].tolist()
    widths = part.widths[np.append(0, changes)].tolist()
    runs = zip([0, *ends[:-1]], ends, widths, strict=True)
    return b"".join(in_bytes[start:stop, :width].tobytes() for start, stop, width in runs)


def _unpacked(part: Pieces, words: Codes) -> tuple[Floats, int]:
    """The values, and how many bytes they took."""
    widths = np.repeat(part.widths, part.sizes)
    ends = widths.cumsum()
    differences = words[ends - widths] & np.repeat(LARGEST[part.widths], part.sizes)
    codes = np.repeat(part.origins, part.sizes) + differences
    return _values(codes, part.decimals), int(ends[-1])


def _counted(starts: Integers, stops: Integers) -> tuple[Integers, Integers]:
    """The numbers from each start to its stop, one after another: the index of the pair, and the number."""
    sizes = stops - starts
    pairs = np.repeat(np.arange(sizes.size), sizes)
    return pairs, np.arange(pairs.size) + (starts - sizes.cumsum() + sizes)[pairs]
