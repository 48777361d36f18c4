"""Many readings at once, column by column, as NumPy arrays: sorted, compared and packed without a loop in Python."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from devices.reading_ids import EPOCH, MICROSECOND
from devices.rows import Row
from devices.values import END_OF_TIME, FIRST_TIME, MAX_SIZE

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

FIRST_MICROSECOND = (FIRST_TIME - EPOCH) // MICROSECOND
END_MICROSECOND = (END_OF_TIME - EPOCH) // MICROSECOND
LONGEST_TIME = len("2026-01-01T00:00:00.123456+00:00")
SECONDS = len("2026-01-01T00:00:00")


class NotSimple(Exception):
    """A column holds what may be wrong or only unusual: the strict check of each row has to say."""


@dataclass(frozen=True)
class Columns:
    """n readings: arrays of shape (n,). Times are microseconds since 1970, numbers finite and without -0.0."""

    device: Integers
    recorded_at: Integers
    x: Floats
    y: Floats
    z: Floats

    def __len__(self) -> int:
        return len(self.device)

    @classmethod
    def of_rows(cls, rows: Sequence[Row]) -> Self:
        """The columns of checked rows."""
        device, recorded_at, x, y, z = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        microseconds = [(time - EPOCH) // MICROSECOND for time in recorded_at]
        return cls(_integers(device), _integers(microseconds), _floats(x), _floats(y), _floats(z))

    @classmethod
    def of_values(cls, device: Any, times: Sequence[str], *axes: Sequence[float]) -> Self:
        """The columns of decoded values, as good as checked row by row; NotSimple where that has to be done.

        `device` is one id for all rows, or one for each.
        """
        recorded_at = _microseconds(times)
        if not _all(recorded_at >= FIRST_MICROSECOND) or not _all(recorded_at < END_MICROSECOND):
            raise NotSimple
        devices = np.broadcast_to(_integers(device), recorded_at.shape)
        return cls(devices, recorded_at, *map(_checked, axes))

    def take(self, chosen: Any) -> Self:
        """The rows of a mask or of positions."""
        return type(self)(*(column[chosen] for column in self._all_columns()))

    def sorted_set(self) -> Self:
        """Each reading once, in the order of the primary key."""
        ordered = self if self._is_ascending() else self.take(np.lexsort(self._all_columns()[::-1]))
        columns = ordered._all_columns()
        differs = np.zeros(max(len(ordered) - 1, 0), dtype=bool)
        for column in columns:
            differs |= column[1:] != column[:-1]
        return ordered if differs.all() else ordered.take(np.concatenate(([True], differs)))

    def rows(self) -> Iterator[Row]:
        """The readings one by one."""
        columns = (self.device.tolist(), self.datetimes(), self.x.tolist(), self.y.tolist(), self.z.tolist())
        return map(Row, *columns)

    def datetimes(self) -> list[datetime]:
        return [EPOCH + timedelta(microseconds=value) for value in self.recorded_at.tolist()]

    def _all_columns(self) -> tuple[Any, ...]:
        return self.device, self.recorded_at, self.x, self.y, self.z

    def _is_ascending(self) -> bool:
        """Whether the rows of one device came in order of time, as they mostly do."""
        return _all(self.device[1:] == self.device[:-1]) and _all(self.recorded_at[1:] > self.recorded_at[:-1])


def _integers(values: Any) -> Integers:
    try:
        return np.asarray(values, dtype=np.int64)
    except OverflowError:
        raise NotSimple from None


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _checked(values: Any) -> Floats:
    column = _floats(values) + 0.0  # -0.0 becomes 0.0
    if not _all(np.abs(column) <= MAX_SIZE):  # false for what is not finite, too
        raise NotSimple
    return column


def _all(condition: Any) -> bool:
    return bool(np.all(condition))


def _microseconds(times: Sequence[str]) -> Integers:
    """RFC 3339 times, each with an offset and at most six digits of a fraction; NotSimple for anything else."""
    lengths = np.fromiter(map(len, times), dtype=np.int64, count=len(times))
    if not _all((lengths > SECONDS) & (lengths <= LONGEST_TIME)):
        raise NotSimple
    try:
        text = np.array(times, dtype=f"S{LONGEST_TIME}").view(np.uint8).reshape(len(times), LONGEST_TIME)
    except UnicodeEncodeError:
        raise NotSimple from None
    fraction_end, offset = _offsets(text, lengths)
    return _whole_seconds(text) * 1_000_000 + _fractions(text, fraction_end) - offset


def _whole_seconds(text: Bytes) -> Integers:
    """Seconds since 1970 of `YYYY-MM-DDTHH:MM:SS`, read as UTC."""
    for position, separator in ((4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":")):
        if not _all(text[:, position] == ord(separator)):
            raise NotSimple
    year, month, day = _number(text, 0, 4), _number(text, 5, 7), _number(text, 8, 10)
    hour, minute, second = _number(text, 11, 13), _number(text, 14, 16), _number(text, 17, 19)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    first, last = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    days = first.astype(np.int64) + day - 1
    if not _all((month >= 1) & (month <= 12) & (day >= 1) & (days < last.astype(np.int64))):
        raise NotSimple
    if not _all((year >= 1) & (hour < 24) & (minute < 60) & (second < 60)):
        raise NotSimple
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _offsets(text: Bytes, lengths: Integers) -> tuple[Integers, Integers]:
    """Where the fraction of each time ends, and its offset from UTC in microseconds."""
    row = np.arange(len(text))
    in_utc = text[row, lengths - 1] == ord("Z")
    if _all(in_utc):
        return lengths - 1, np.zeros(len(text), dtype=np.int64)
    if np.any(in_utc) or not _all(lengths > SECONDS + 5):
        raise NotSimple
    end = np.stack([text[row, lengths - 6 + position] for position in range(6)], axis=1)
    hour, minute, sign = _number(end, 1, 3), _number(end, 4, 6), end[:, 0]
    if not _all((end[:, 3] == ord(":")) & ((sign == ord("+")) | (sign == ord("-"))) & (hour < 24) & (minute < 60)):
        raise NotSimple
    return lengths - 6, np.where(sign == ord("-"), -1, 1) * (hour * 60 + minute) * 60_000_000


def _fractions(text: Bytes, end: Integers) -> Integers:
    """Microseconds of the fractions that begin after the seconds and end before `end`."""
    digits = end - SECONDS - 1  # -1 where there is no fraction
    if not _all((digits == -1) | ((digits >= 1) & (digits <= 6) & (text[:, SECONDS] == ord(".")))):
        raise NotSimple
    microseconds = np.zeros(len(text), dtype=np.int64)
    for place in range(6):
        present = digits > place
        digit = text[:, SECONDS + 1 + place] - np.uint8(ord("0"))
        if not _all((digit <= 9) | ~present):
            raise NotSimple
        microseconds = microseconds * 10 + np.where(present, digit, 0)
    return microseconds


def _number(text: Bytes, start: int, stop: int) -> Integers:
    digits = text[:, start:stop] - np.uint8(ord("0"))  # what is below "0" wraps around, to more than 9
    if not _all(digits <= 9):
        raise NotSimple
    return digits @ 10 ** np.arange(stop - start - 1, -1, -1, dtype=np.int64)
