"""A series as paths and labels of an SVG: 1000 wide and 100 high, stretched by the page, with labels that are not."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from analytics.reference import AXES, AxisSummary
from analytics.series import DAY, HOUR, MINUTE, Point, Series

WIDTH, HEIGHT = 1000, 100
MOST_TICKS = 6  # of time; a phone has room for no more
A_MONDAY = datetime(1900, 1, 1)  # noqa: DTZ001  # on a clock, in whichever zone
TICK_SECONDS = [
    *(1, 2, 5, 10, 15, 30),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14)),
]
TICK_MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600]
LONGEST_MONTH = 31 * DAY


@dataclass(frozen=True)
class Tick:
    """A label, and where it is: a share of the width, or of the height from above, in percent."""

    place: str
    label: str


@dataclass(frozen=True)
class AxisChart:
    """Of x, y or z: two paths, and what stands beside them."""

    name: str
    summary: AxisSummary
    band: str
    median: str
    ticks: list[Tick]


@dataclass(frozen=True)
class Chart:
    axes: list[AxisChart]
    ticks: list[Tick]


def chart(series: Series, zone: ZoneInfo) -> Chart | None:
    """What is drawn of a series, with its times in a zone; None where there is nothing to draw."""
    if not series.points or series.start_time is None or series.end_time is None:
        return None
    start, length = series.start_time, series.end_time - series.start_time
    places = [tuple(WIDTH * ((edge - start) / length) for edge in (p.start_time, p.end_time)) for p in series.points]
    times = [
        Tick(_percent((moment - start) / length), label) for moment, label in time_ticks(start, series.end_time, zone)
    ]
    return Chart([_axis(name, series, places) for name in AXES], times)


def time_ticks(start: datetime, stop: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, str]]:
    """Round times of a zone's clocks within `start <= t < stop`, about six at most, each with how it is written."""
    length = (stop - start).total_seconds()
    step = next((step for step in TICK_SECONDS if length <= MOST_TICKS * step), None)
    first = start.astimezone(zone).replace(tzinfo=None)
    for local in _months(first, length) if step is None else _multiples(first, timedelta(seconds=step)):
        moment = local.replace(tzinfo=zone)
        if moment >= stop:
            return
        if moment >= start:
            yield moment, _written(local, step)


def value_ticks(lowest: float, highest: float) -> list[float]:
    """Three to six round numbers between two."""
    exponent = math.floor(math.log10((highest - lowest) / 2))
    unit = 10.0**exponent
    # The last for a logarithm that was rounded up to a whole number.
    step = next(n * unit for n in (5, 2, 1, 0.5) if n * unit <= (highest - lowest) / 2)
    return [n * step for n in range(math.ceil(lowest / step), math.floor(highest / step) + 1)]


def _multiples(first: datetime, step: timedelta) -> Iterator[datetime]:
    number = -((A_MONDAY - first) // step)
    while True:
        yield A_MONDAY + number * step
        number += 1


def _months(first: datetime, length: float) -> Iterator[datetime]:
    step = next(n for n in TICK_MONTHS if length <= MOST_TICKS * n * LONGEST_MONTH)
    month = -(-(first.year * 12 + first.month - 1) // step) * step
    while True:
        yield first.min.replace(year=month // 12, month=month % 12 + 1)
        month += step


def _written(local: datetime, step: int | None) -> str:
    if step is None:
        return f"{local:%b %Y}" if local.month > 1 else str(local.year)
    if step < DAY and local.time() != local.min.time():
        return f"{local:%H:%M}" if step % MINUTE == 0 else f"{local:%H:%M:%S}"
    return f"{local.day} {local:%b}"


def _axis(name: str, series: Series, places: Sequence[tuple[float, ...]]) -> AxisChart:
    summary: AxisSummary = getattr(series.summary, name)
    values = [getattr(point.summary, name) for point in series.points]
    lowest, highest = _scale(summary)
    heights = [
        tuple(HEIGHT * (highest - value) / (highest - lowest) for value in (axis.max, axis.min, axis.median))
        for axis in values
    ]
    ticks = [
        Tick(_percent((highest - value) / (highest - lowest)), f"{value:.6g}") for value in value_ticks(lowest, highest)
    ]
    band = _band(places, heights) if series.step else ""
    return AxisChart(name, summary, band, _line(series, places, heights), ticks)


def _scale(axis: AxisSummary) -> tuple[float, float]:
    """The least and the greatest value with some room about them, never equal."""
    lowest, highest = axis.min or 0.0, axis.max or 0.0
    room = max((highest - lowest) / 20, abs(highest) * 1e-9, abs(lowest) * 1e-9, 1e-200)
    return lowest - room, highest + room


def _band(places: Iterable[tuple[float, ...]], heights: Iterable[tuple[float, ...]]) -> str:
    """A box for each point, from its least to its greatest value."""
    return "".join(
        f"M{left:.1f} {top:.2f}H{right:.1f}V{bottom:.2f}H{left:.1f}Z"
        for (left, right), (top, bottom, _) in zip(places, heights, strict=True)
    )


def _line(series: Series, places: Sequence[tuple[float, ...]], heights: Sequence[tuple[float, ...]]) -> str:
    """Through the medians, with a gap where a step has no readings; `h0` makes a dot of what stands alone."""
    parts = []
    previous: Point | None = None
    for point, (left, right), (_, _, middle) in zip(series.points, places, heights, strict=True):
        is_joined = previous is not None and (series.step is None or previous.end_time == point.start_time)
        parts.append(f"{'L' if is_joined else 'M'}{(left + right) / 2:.1f} {middle:.2f}{'' if is_joined else 'h0'}")
        previous = point
    return "".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
