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
YEAR_2000 = 946_684_800_000_000  # where PostgreSQL counts its microseconds from
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
        recorded_at = microseconds_of(times)
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


def microseconds_of(times: Sequence[str]) -> Integers:
    """RFC 3339 times, each with an offset and at most six digits of a fraction; NotSimple for anything else."""
    different_lengths = set(map(len, times))
    if len(different_lengths) == 1:
        return _of_one_length(times, different_lengths.pop())
    lengths = np.fromiter(map(len, times), dtype=np.int64, count=len(times))
    microseconds = np.empty(len(times), dtype=np.int64)
    for length in different_lengths:
        chosen = np.flatnonzero(lengths == length)
        microseconds[chosen] = _of_one_length([times[position] for position in chosen.tolist()], length)
    return microseconds


def _of_one_length(times: Sequence[str], length: int) -> Integers:
    if not SECONDS < length <= LONGEST_TIME:
        raise NotSimple
    try:
        text = np.frombuffer("".join(times).encode("ascii"), dtype=np.uint8)
    except UnicodeEncodeError:
        raise NotSimple from None
    characters = np.ascontiguousarray(text.reshape(len(times), length).T)  # all first characters, all second, ...
    in_utc = _all(characters[-1] == ord("Z"))
    offset = 0 if in_utc else _offset(characters[-6:])
    fraction = _fraction(characters[SECONDS : -1 if in_utc else -6])
    return (_date(characters[:11]) + _time_of_day(characters[11:SECONDS])) * 1_000_000 + fraction - offset


def _date(characters: Bytes) -> Integers:
    """Seconds from 1970 to `YYYY-MM-DDT`; of shape (1,) where all are of one day, as they mostly are."""
    if _all(characters == characters[:, :1]):
        characters = characters[:, :1]
    _check_separators(characters, {4: "-", 7: "-", 10: "T"})
    year, month, day = _number(characters[0:4]), _number(characters[5:7]), _number(characters[8:10])
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    first, last = (end.astype("datetime64[D]").astype(np.int64) for end in (months, months + 1))
    if not _all((year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (first + day <= last)):
        raise NotSimple
    seconds: Integers = (first + day - 1) * 86_400
    return seconds


def _time_of_day(characters: Bytes) -> Integers:
    """Seconds from midnight to `HH:MM:SS`."""
    _check_separators(characters, {2: ":", 5: ":"})
    hour, minute, second = _number(characters[0:2]), _number(characters[3:5]), _number(characters[6:8])
    if not _all((hour < 24) & (minute < 60) & (second < 60)):
        raise NotSimple
    return (hour * 60 + minute) * 60 + second


def _fraction(characters: Bytes) -> Integers | int:
    """Microseconds of `.1` to `.123456`; 0 for nothing."""
    digits = len(characters) - 1
    if digits == -1:
        return 0
    _check_separators(characters, {0: "."})
    if not 1 <= digits <= 6:
        raise NotSimple
    microseconds: Integers = _number(characters[1:]) * 10 ** (6 - digits)
    return microseconds


def _offset(characters: Bytes) -> Integers:
    """Microseconds of `+HH:MM` or `-HH:MM`."""
    _check_separators(characters, {3: ":"})
    sign, hour, minute = characters[0], _number(characters[1:3]), _number(characters[4:6])
    if not _all(((sign == ord("+")) | (sign == ord("-"))) & (hour < 24) & (minute < 60)):
        raise NotSimple
    microseconds: Integers = np.where(sign == ord("-"), -1, 1) * (hour * 60 + minute) * 60_000_000
    return microseconds


def _check_separators(characters: Bytes, separators: dict[int, str]) -> None:
    if not all(_all(characters[position] == ord(separator)) for position, separator in separators.items()):
        raise NotSimple


def _number(characters: Bytes) -> Integers:
    """Decimal numbers from their digits, the first digits first: shape (digits, n) to (n,)."""
    digits = characters - np.uint8(ord("0"))  # what is below "0" wraps around, to more than 9
    if not _all(digits <= 9):
        raise NotSimple
    number: Integers = digits[0].astype(np.int64)
    for digit in digits[1:]:
        number = number * 10 + digit
    return number
