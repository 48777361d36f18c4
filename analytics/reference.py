"""Exact summaries of readings: count, first and last time, and per axis min, max, sum, avg and median.

The plain path: the database's aggregates, and the middle rows by rank, over every reading of the window.
It is the reference that any faster path is held against.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Max, Min, Value, Window
from django.db.models.functions import RowNumber

from analytics.aggregates import AccurateSum
from analytics.order_statistics import nearest_rank
from devices.models import Reading
from devices.querysets import ReadingQuerySet
from devices.transactions import snapshot

AXES = ("x", "y", "z")
Percentiles = Mapping[str, Decimal]  # the text that was asked for, and its number
NO_PERCENTILES: Percentiles = {}
ALL = 0  # the group of all readings, where they are pooled


@dataclass(frozen=True)
class AxisSummary:
    """Of the values of one axis; all None where there are none. `avg` is `sum / count`."""

    min: float | None = None
    max: float | None = None
    sum: float | None = None
    avg: float | None = None
    median: float | None = None
    percentiles: dict[str, float] | None = None


@dataclass(frozen=True)
class Summary:
    """Of a set of readings."""

    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    x: AxisSummary = AxisSummary()
    y: AxisSummary = AxisSummary()
    z: AxisSummary = AxisSummary()


def summarize(
    device_ids: Collection[int],
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    percentiles: Percentiles = NO_PERCENTILES,
) -> Summary:
    """The summary of all readings of the devices together, `start_time <= recorded_at < end_time`."""
    readings = Reading.objects.filter(device__in=device_ids).in_window(start_time, end_time)
    with snapshot():
        summary = _summaries(readings.annotate(group=Value(ALL))).get(ALL, Summary())
        if not percentiles or not summary.count:
            return summary
        return replace(
            summary,
            **{
                axis: replace(
                    getattr(summary, axis), percentiles=_percentiles(readings, axis, summary.count, percentiles)
                )
                for axis in AXES
            },
        )


def _percentiles(readings: ReadingQuerySet, axis: str, count: int, percentiles: Percentiles) -> dict[str, float]:
    ordered = readings.order_by(axis).values_list(axis, flat=True)
    return {text: ordered[nearest_rank(number, count)] for text, number in percentiles.items()}


def _summaries(readings: ReadingQuerySet) -> dict[int, Summary]:
    """The summary of each `group` of the readings, in four queries that see the same moment."""
    with snapshot():
        groups = readings.values("group").annotate(**_figures())
        figures = [row for row in groups if row["count"]]  # pooled, SQL has a row for no readings too
        medians = {axis: _medians(readings, axis) for axis in AXES} if figures else {}
    return {row["group"]: _summary(row, medians) for row in figures}


def _figures() -> dict[str, Any]:
    figures = {"count": Count("*"), "first_at": Min("recorded_at"), "last_at": Max("recorded_at")}
    for axis in AXES:
        figures |= {f"{axis}_min": Min(axis), f"{axis}_max": Max(axis), f"{axis}_sum": AccurateSum(axis)}
    return figures


def _medians(readings: ReadingQuerySet, axis: str) -> dict[int, float]:
    """The median of an axis for each group: the middle row by rank, or the mean of the middle two.

    The mean is taken here, as `statistics.median` takes it: databases differ in the last bit.
    """
    ranked = readings.annotate(
        rank=Window(RowNumber(), partition_by=F("group"), order_by=axis),
        size=Window(Count("*"), partition_by=F("group")),
    )
    middle: dict[int, list[float]] = {}
    for group, value in ranked.filter(rank__gte=F("size") / 2.0, rank__lte=F("size") / 2.0 + 1).values_list(
        "group", axis
    ):
        middle.setdefault(group, []).append(value)
    return {group: (values[0] + values[-1]) / 2 for group, values in middle.items()}


def _summary(row: dict[str, Any], medians: dict[str, dict[int, float]]) -> Summary:
    return Summary(
        count=row["count"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        **{axis: _axis_summary(row, axis, medians[axis][row["group"]]) for axis in AXES},
    )


def _axis_summary(row: dict[str, Any], axis: str, median: float) -> AxisSummary:
    total = row[f"{axis}_sum"]
    return AxisSummary(row[f"{axis}_min"], row[f"{axis}_max"], total, total / row["count"], median)
