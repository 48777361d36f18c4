"""The periods that readings are rolled up in: a level tiles all time, and each period lies in one of the next level."""

from enum import IntEnum

MICROSECONDS = 1_000_000


class Level(IntEnum):
    """A length of period, in seconds."""

    HOUR = 3_600
    SIX_HOURS = 6 * 3_600
    DAY = 86_400
    MONTH = 30 * 86_400  # thirty days: a calendar's months do not tile by themselves


COARSEST_FIRST = sorted(Level, reverse=True)


def floor(microseconds: int, level: Level) -> int:
    """The start of the period that a time is in."""
    length = level * MICROSECONDS
    return microseconds // length * length


def ceiling(microseconds: int, level: Level) -> int:
    """The first start of a period that is not before a time."""
    return -floor(-microseconds, level)
