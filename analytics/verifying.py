"""Rollups are compared, figure by figure, with what the readings of their periods give."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from analytics.contents import Axis, columns_of, of_readings, span_of
from analytics.models import Rollup
from analytics.reference import AXES
from devices.transactions import snapshot


def verify(device_id: int) -> Iterator[tuple[Rollup, bool]]:
    """Each READY rollup of a device, without its values, and whether it agrees with the readings of its period."""
    ready = Rollup.objects.filter(device=device_id, status=Rollup.Status.READY).only("device", "level", "period_start")
    for rollup in ready.order_by("level", "period_start").iterator():
        with snapshot():
            kept = Rollup.objects.filter(pk=rollup.pk, status=Rollup.Status.READY).values().first()
            agrees = kept is None or _agrees(rollup, kept)
        yield rollup, agrees


def repair(rollup: Rollup) -> None:
    """Have a rollup built anew."""
    Rollup.objects.filter(pk=rollup.pk).update(status=Rollup.Status.STALE, token=None)


def _agrees(rollup: Rollup, kept: dict[str, Any]) -> bool:
    """Whether every figure that a rollup keeps is that of the readings of its period, which are read raw."""
    content = of_readings(span_of(rollup.device_id, rollup.level, rollup.period_start))
    return (
        content is not None
        and (kept["count"], kept["first_at"], kept["last_at"]) == (content.size, content.first_at, content.last_at)
        and all(_axis_agrees(kept, name, axis) for name, axis in zip(AXES, content.axes, strict=True))
    )


def _axis_agrees(kept: dict[str, Any], name: str, axis: Axis) -> bool:
    fresh = columns_of(name, axis)
    total = fresh.pop(f"{name}_sum")
    return abs(total - kept[f"{name}_sum"]) <= 1e-12 * float(np.abs(axis.values).sum()) and all(
        value == (bytes(kept[column]) if isinstance(value, bytes) and kept[column] is not None else kept[column])
        for column, value in fresh.items()
    )
