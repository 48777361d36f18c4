"""Where the hours, days, weeks and months of a time zone begin: calendar-true through every change of its clocks.

Days, weeks (from Monday) and months begin at the local midnight that comes first, or, where the clock skips midnight,
when it does. Hours are counted in real time: an hour that the clock shows twice is two, one that it skips is none, and
where a clock moves by less than an hour, the hour that it moves in is that much shorter or longer.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

INTERVALS = ("hour", "day", "week", "month")
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def edges(start_time: datetime, end_time: datetime, interval: str, zone: ZoneInfo) -> Iterator[datetime]:
    """The starts, in UTC, of the buckets from that of `start_time` to the first that is not before `end_time`."""
    earlier = start_time - DAY  # where a clock was put back, a bucket may begin before the hour or date that it shows
    starts = _hours(earlier, zone) if interval == "hour" else _dates(earlier, interval, zone)
    for start, following in pairwise(starts):
        if following > start_time:
            yield start
        if start >= end_time:
            return


def _hours(moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    start = moment - _past_the_hour(moment, zone)
    while True:
        yield start
        start = _next_hour(start, zone)


def _next_hour(start: datetime, zone: ZoneInfo) -> datetime:
    later = start + HOUR - _past_the_hour(start, zone)
    past = _past_the_hour(later, zone)
    hour = start.astimezone(zone).hour
    if hour != later.astimezone(zone).hour:
        if not past:
            return later
        seconds = range((later - start) // SECOND)  # the clock was put forward by a part of an hour
        return start + SECOND * bisect_left(
            seconds, True, key=lambda second: (start + second * SECOND).astimezone(zone).hour != hour
        )
    # the clock was put back by a part of an hour, or by one
    return later + (HOUR - past if past else timedelta())


def _past_the_hour(moment: datetime, zone: ZoneInfo) -> timedelta:
    local = moment.astimezone(zone)
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _dates(moment: datetime, interval: str, zone: ZoneInfo) -> Iterator[datetime]:
    day = _first_day(moment.astimezone(zone).date(), interval)
    previous = None
    while True:
        start = _midnight(day, zone)
        if start != previous:  # equal where a zone has skipped a whole day
            yield start
        previous, day = start, _next_first_day(day, interval)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first midnight of a day, or where the clock skips it, when it does."""
    start = datetime.combine(day, time(), zone).astimezone(UTC)
    if start.astimezone(zone).time() == time():
        return start
    earliest = datetime.combine(day, time(fold=1), zone).astimezone(UTC)
    seconds = range((start - earliest) // SECOND)
    return earliest + SECOND * bisect_left(
        seconds, day, key=lambda second: (earliest + second * SECOND).astimezone(zone).date()
    )


def _first_day(day: date, interval: str) -> date:
    if interval == "week":
        return day - day.weekday() * DAY
    return day.replace(day=1) if interval == "month" else day


def _next_first_day(day: date, interval: str) -> date:
    if interval == "month":
        return (day + 31 * DAY).replace(day=1)
    return day + (7 * DAY if interval == "week" else DAY)
