"""What the admin's start page tells at a glance: numbers, each with the way to its list, and the readings by hour.

Reads what was computed within the last minute, and no table of devices or readings.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from analytics.models import Analysis
from devices.figures import hours_shown
from devices.models import Device, DeviceActivity, Figure, HourlyCount, Refusal

MOST_COUNTED = 1000  # of analyses, which are counted now
HEIGHT = 100  # of the picture, in its own units


class Number(NamedTuple):
    """A figure, None where it was never computed, and the address of the list of what it counts."""

    title: str
    value: int | None
    address: str
    or_more: bool = False


class Bar(NamedTuple):
    hour: datetime
    readings: int
    height: float


def with_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the start page; of what the caller may not look at, it says nothing."""
    figures = {figure.name: figure for figure in Figure.objects.all()}
    numbers: list[Number] = []
    if _may_view(request, Device):
        numbers += _of_devices(figures)
        context["bars"] = _bars(timezone.now())
    if _may_view(request, Refusal):
        numbers.append(Number("Refused batches", _value(figures, "refusals"), _list(Refusal)))
    if _may_view(request, Analysis):
        numbers += _of_analyses()
    refusals = figures.get("refusals")
    return context | {"numbers": numbers, "as_of": refusals and refusals.computed_at}


def _may_view(request: HttpRequest, model: type[Model]) -> bool:
    return bool(admin.site.get_model_admin(model).has_view_or_change_permission(request))


def _of_devices(figures: dict[str, Figure]) -> Iterator[Number]:
    for status in DeviceActivity.Status:
        value = _value(figures, f"devices {status}")
        yield Number(f"Devices {status.label}", value, f"{_list(Device)}?status={status}")


def _of_analyses() -> Iterator[Number]:
    for status in (Analysis.Status.PENDING, Analysis.Status.FAILED):
        some: QuerySet[Analysis] = Analysis.objects.filter(status=status)
        number = some.values("pk")[: MOST_COUNTED + 1].count()
        address = f"{_list(Analysis)}?status__exact={status}"
        yield Number(f"Analyses {status}", min(number, MOST_COUNTED), address, number > MOST_COUNTED)


def _value(figures: dict[str, Figure], name: str) -> int | None:
    return figures[name].value if name in figures else None


def _list(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _bars(now: datetime) -> list[Bar]:
    """The hours of the last day, oldest first, the highest as high as the picture."""
    counts = dict(HourlyCount.objects.values_list("hour", "count"))
    hours = [(hour, counts.get(hour, 0)) for hour in hours_shown(now)]
    most = max(count for _, count in hours) or 1
    return [Bar(hour, count, round(HEIGHT * count / most, 2)) for hour, count in hours]
