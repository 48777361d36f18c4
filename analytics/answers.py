"""What a call of analytics answers, as plain values: the same for a request, a background job and the shell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework.exceptions import ErrorDetail, ValidationError

from analytics.buckets import edges
from analytics.reference import AXES, AxisSummary, Percentiles, Summary
from analytics.summaries import summarize, summarize_between, summarize_each
from devices.models import Device
from users.models import User

MOST_BUCKETS = 10_000


@dataclass(frozen=True)
class Question:
    """The checked parameters of a call, by their names in it."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    percentiles: Percentiles | None = None
    interval: str | None = None
    timezone: ZoneInfo | None = None


def of_device(device: Device, question: Question) -> dict[str, Any]:
    """The summary of one device; its buckets are of its own time zone unless another is asked for."""
    summary = summarize([device], question.start_time, question.end_time, question.percentiles or {})
    zone = question.timezone or ZoneInfo(device.timezone or "UTC")
    answer, _ = _with_buckets(summary, [device], question, zone, MOST_BUCKETS)
    return {"device": device.pk, **answer}


def of_user(user: User, question: Question) -> dict[str, Any]:
    """One summary of all readings of all devices of a user."""
    devices = list(Device.objects.filter(owner=user).only("pk"))
    summary = summarize(devices, question.start_time, question.end_time, question.percentiles or {})
    answer, _ = _with_buckets(summary, devices, question, question.timezone or ZoneInfo("UTC"), MOST_BUCKETS)
    return {"user": user.pk, "devices": len(devices), **answer}


def of_each_device(
    user: User, question: Question, report: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """A summary of each device of a user, by id, those without readings too; `report` hears which share is done."""
    devices = list(Device.objects.filter(owner=user).order_by("pk").only("pk"))
    summaries = summarize_each(devices, question.start_time, question.end_time, question.percentiles or {})
    results, left = [], MOST_BUCKETS
    for place, device in enumerate(devices):
        report(place / len(devices))
        summary = summaries.get(device.pk, Summary())
        answer, left = _with_buckets(summary, [device], question, question.timezone or ZoneInfo("UTC"), left)
        results.append({"device": device.pk, **answer})
    return {"user": user.pk, "results": results}


def _with_buckets(
    summary: Summary, devices: Sequence[Device], question: Question, zone: ZoneInfo, most: int
) -> tuple[dict[str, Any], int]:
    """The summary with the buckets that were asked for, and how many more there may be."""
    answer: dict[str, Any] = {"start_time": question.start_time, "end_time": question.end_time, "count": summary.count}
    answer |= {"first_at": summary.first_at, "last_at": summary.last_at, **_axes(summary, question.percentiles or {})}
    if question.interval is None:
        return answer, most
    boundaries = _boundaries(summary, question, zone, most)
    buckets = summarize_between(devices, boundaries, question.percentiles or {})
    answer["buckets"] = [
        {"start_time": start, "end_time": stop, "count": bucket.count, **_axes(bucket, question.percentiles or {})}
        for (start, stop), bucket in zip(pairwise(boundaries), buckets, strict=True)
    ]
    return answer, most - len(buckets)


def _boundaries(summary: Summary, question: Question, zone: ZoneInfo, most: int) -> list[datetime]:
    """Where the buckets begin, and the last one ends: clipped to the window, or by the readings where it is open."""
    start, stop = question.start_time or summary.first_at, question.end_time or summary.last_at
    if start is None or stop is None or question.interval is None or (start >= stop and question.end_time is not None):
        return []
    stop_after = stop if question.end_time else stop + datetime.resolution
    try:
        found = list(islice(edges(start, stop_after, question.interval, zone), most + 2))
    except (OverflowError, ValueError):
        detail = "There are no intervals this near to the ends of the calendar."
        raise ValidationError({"interval": ErrorDetail(detail, "out_of_range")}) from None
    if len(found) > most + 1:
        detail = f"At most {MOST_BUCKETS} buckets in an answer: choose a shorter window or a longer interval."
        raise ValidationError({"interval": ErrorDetail(detail, "too_many_buckets")})
    if question.start_time is not None:
        found[0] = max(found[0], start)
    if question.end_time is not None:
        found[-1] = min(found[-1], stop)
    return found


def _axes(summary: Summary, percentiles: Percentiles) -> Mapping[str, Any]:
    return {axis: _axis(getattr(summary, axis), percentiles) for axis in AXES}


def _axis(axis: AxisSummary, percentiles: Percentiles) -> dict[str, Any]:
    figures = {name: getattr(axis, name) for name in ("min", "max", "sum", "avg", "median")}
    if percentiles:
        figures["percentiles"] = axis.percentiles or dict.fromkeys(percentiles)
    return figures
