"""Summaries that a rollup keeps as they are: of a span that is its period, and that alone counts for its place."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from analytics.models import Rollup
from analytics.periods import MICROSECONDS, Level
from analytics.reference import AXES, AxisSummary, Summary
from analytics.tiling import DOUBLE, Span
from devices.lookups import chunks, look_up
from devices.reading_ids import from_microseconds

# The least and the greatest value are the ends of the grid, of which nothing else is fetched.
_FIGURES = ", ".join(
    f"substr(rollup.{axis}_grid, 1, {DOUBLE.size}), "
    f"substr(rollup.{axis}_grid, length(rollup.{axis}_grid) - {DOUBLE.size - 1}), "
    f"rollup.{axis}_sum, rollup.{axis}_median"
    for axis in AXES
)
_WHOLE_PERIODS = f"""
SELECT wanted.column1, rollup.count, rollup.first_at, rollup.last_at, {_FIGURES}
FROM (VALUES {{values}}) AS wanted
{{look_up}} analytics_rollup rollup
WHERE rollup.device_id = {{device}} AND rollup.level = wanted.column3
AND rollup.period_start = wanted.column4 AND rollup.status = {Rollup.Status.READY} {{as_one}} rollup
"""


def of_whole_periods(spans: Sequence[Span]) -> dict[int, Summary]:
    """The summary, without percentiles, of each place that is one period with a rollup."""
    return {row[0]: _summary(*row[1:]) for chunk in chunks(_whole(spans)) for row in look_up(_WHOLE_PERIODS, chunk)}


def _whole(spans: Sequence[Span]) -> Iterator[tuple[int, int, int, int]]:
    """Place, device, level and start of the spans that are a period, and the only one of their place."""
    sizes = Counter(span.place for span in spans)
    levels = {level * MICROSECONDS: level for level in Level}
    for place, device_id, start, stop in spans:
        level = levels.get(stop - start)
        if level is not None and start % (stop - start) == 0 and sizes[place] == 1:
            yield place, device_id, int(level), start


def _summary(count: int, first_at: int, last_at: int, *figures: Any) -> Summary:
    axes = (_axis_summary(count, *figures[first : first + 4]) for first in range(0, len(figures), 4))
    return Summary(count, from_microseconds(first_at), from_microseconds(last_at), *axes)


def _axis_summary(count: int, first_knot: bytes, last_knot: bytes, total: float, median: float) -> AxisSummary:
    (lowest,), (highest,) = DOUBLE.unpack(first_knot), DOUBLE.unpack(last_knot)
    return AxisSummary(lowest, highest, total, total / count, median)
