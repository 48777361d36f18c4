"""What a summary must be, in plain Python: every path and both databases are held against it."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from analytics.reference import AXES, Summary

Sample = tuple[datetime, float, float, float]  # recorded_at, x, y, z
TOLERANCE = 1e-12  # of sums, as a part of the sum of magnitudes


@dataclass(frozen=True)
class AxisOracle:
    min: float
    max: float
    sum: float
    avg: float
    median: float
    magnitudes: float  # the sum of the absolute values


@dataclass(frozen=True)
class Oracle:
    """Without readings, `axes` is empty."""

    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    axes: Mapping[str, AxisOracle] = field(default_factory=dict)


def oracle(samples: Iterable[Sample], start_time: datetime | None = None, end_time: datetime | None = None) -> Oracle:
    """The summary of the samples with `start_time <= recorded_at < end_time`."""
    window = within(samples, start_time, end_time)
    if not window:
        return Oracle()
    times, *columns = zip(*window, strict=True)
    axes = {axis: _axis(column) for axis, column in zip(AXES, columns, strict=True)}
    return Oracle(len(window), min(times), max(times), axes)


def within(samples: Iterable[Sample], start_time: datetime | None, end_time: datetime | None) -> list[Sample]:
    return [
        sample
        for sample in samples
        if (start_time is None or start_time <= sample[0]) and (end_time is None or sample[0] < end_time)
    ]


def _axis(values: tuple[float, ...]) -> AxisOracle:
    return AxisOracle(
        min=min(values),
        max=max(values),
        sum=math.fsum(values),
        avg=math.fsum(values) / len(values),
        median=statistics.median(values),
        magnitudes=math.fsum(map(abs, values)),
    )


def assert_agrees(summary: Summary | Mapping[str, Any], expected: Oracle) -> None:
    """Sum and avg within the tolerance, all else to the bit. The summary may be JSON."""
    actual = asdict(summary) if isinstance(summary, Summary) else summary
    _assert_same("count", actual["count"], expected.count)
    for name in ("first_at", "last_at"):
        time = actual[name]
        _assert_same(name, datetime.fromisoformat(time) if isinstance(time, str) else time, getattr(expected, name))
    for axis in AXES:
        if expected.count:
            _assert_axis_agrees(axis, actual[axis], expected.axes[axis], expected.count)
        else:
            _assert_same(axis, actual[axis], dict.fromkeys(("min", "max", "sum", "avg", "median")))


def _assert_axis_agrees(axis: str, actual: Mapping[str, float], expected: AxisOracle, count: int) -> None:
    for name in ("min", "max", "median"):
        _assert_same(f"{axis}.{name}", float.hex(actual[name]), float.hex(getattr(expected, name)))
    for name, bound in (
        ("sum", TOLERANCE * expected.magnitudes),
        ("avg", TOLERANCE * expected.magnitudes / count),
    ):
        difference = abs(actual[name] - getattr(expected, name))
        assert difference <= bound, f"{axis}.{name} is {actual[name]!r}, not {getattr(expected, name)!r}"


def _assert_same(name: str, actual: object, expected: object) -> None:
    if isinstance(actual, dict):
        actual = {key: value for key, value in actual.items() if key != "percentiles"}  # none were asked for
    assert actual == expected, f"{name} is {actual!r}, not {expected!r}"
