"""What may be a number and a time of a reading. One set of rules for bodies, files, queries and ids."""

import math
import re
from datetime import UTC, datetime
from typing import Any

MAX_SIZE = 1e15
FIRST_TIME = datetime(1900, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(2200, 1, 1, tzinfo=UTC)  # the first moment that is too late
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?P<fraction>\.[0-9]+)?(?P<offset>Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?",
    re.IGNORECASE | re.ASCII,
)
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)


class InvalidValue(Exception):
    """A value that is refused: a code for programs and a sentence for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


def number(value: Any) -> float:
    """A JSON number as the double that is stored; raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue("not_a_number", "This must be a JSON number.")
    try:
        return checked_number(float(value))
    except OverflowError:
        raise _too_large() from None


def number_from_text(text: str) -> float:
    """A number of a CSV file, with a decimal point; raises InvalidValue."""
    text = text.strip()
    if not DECIMAL.fullmatch(text) and not NOT_FINITE.fullmatch(text):
        raise InvalidValue("not_a_number", "This must be a number with a decimal point.")
    return checked_number(float(text))


def identifier(value: Any) -> int:
    """A device's id; raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue("not_an_id", "This must be the numeric id of a device.")
    if not 0 < value < 2**63:
        raise unknown_device()
    return value


def identifier_from_text(text: str) -> int:
    """A device's id of a CSV file; raises InvalidValue."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidValue("not_an_id", "This must be the numeric id of a device.")
    return identifier(int(text))


def unknown_device() -> InvalidValue:
    return InvalidValue("unknown_device", "There is no such device, or it is not yours.")


def time_from_text(text: str) -> datetime:
    """A time of a CSV file; raises InvalidValue."""
    return time(text.strip())


def checked_number(value: float) -> float:
    """A double within range, with one zero only; raises InvalidValue."""
    if not math.isfinite(value):
        raise InvalidValue("not_finite", "This must be a finite number.")
    if abs(value) > MAX_SIZE:
        raise _too_large()
    return value + 0.0  # -0.0 becomes 0.0


def time(value: Any) -> datetime:
    """An RFC 3339 time within the years that readings may have, in UTC; raises InvalidValue."""
    return checked_time(moment(value))


def moment(value: Any) -> datetime:
    """An RFC 3339 time of any year, in UTC; raises InvalidValue."""
    if not isinstance(value, str) or not (match := RFC_3339.fullmatch(value)):
        raise InvalidValue("invalid_time", "This must be a time such as 2026-01-31T12:00:00Z.")
    if match["offset"] is None:
        raise InvalidValue("no_offset", "This time needs an offset from UTC, such as Z or +01:00.")
    if match["fraction"] and len(match["fraction"]) > len(".123456"):
        raise InvalidValue("too_precise", "This time is finer than a microsecond.")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue("invalid_time", "There is no such time.") from None


def text_of_time(value: datetime) -> str:
    """A time of a reading as it is sent: what `time` takes, in UTC."""
    return value.isoformat().replace("+00:00", "Z")


def checked_time(value: datetime) -> datetime:
    """A time within the years that readings may have; raises InvalidValue."""
    if not FIRST_TIME <= value < END_OF_TIME:
        raise InvalidValue("time_out_of_range", "This time must be in the years 1900 to 2199.")
    return value


def _too_large() -> InvalidValue:
    return InvalidValue("too_large", "This number must be at most 1e15 in size.")
