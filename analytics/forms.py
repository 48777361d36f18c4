"""Which window of time a page shows: a span until now, or two local times, in a zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from devices.models import Device, timezones
from devices.values import InvalidValue, checked_time

SPANS = {
    "hour": ("1 hour", timedelta(hours=1)),
    "day": ("1 day", timedelta(days=1)),
    "week": ("7 days", timedelta(days=7)),
    "month": ("30 days", timedelta(days=30)),
    "year": ("1 year", timedelta(days=365)),
    "all": ("All", None),
}
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Window:
    """`start_time <= t < end_time`, None for an open end; `span` is a key of SPANS where it moves along with time."""

    start_time: datetime | None
    end_time: datetime | None
    zone: ZoneInfo
    span: str
    query: str

    @property
    def is_live(self) -> bool:
        """Whether new readings may come into it."""
        return bool(self.span) or self.end_time is None or self.end_time > timezone.now()

    @property
    def local_start(self) -> str:
        return _local(self.start_time, self.zone)

    @property
    def local_end(self) -> str:
        return _local(self.end_time, self.zone)


class TimeField(forms.CharField):
    """An ISO 8601 time, without an offset that of the form's zone."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            raise forms.ValidationError("This is no time such as 2026-01-31T12:00.", "invalid") from None


class WindowForm(forms.Form):
    """From the query of a page; without a window in it, the last day."""

    span = forms.ChoiceField(choices=[(name, label) for name, (label, _) in SPANS.items()], required=False)
    start_time = TimeField(label="From", required=False)
    end_time = TimeField(label="Until", required=False)
    timezone = forms.ChoiceField(label="Time zone", choices=lambda: [(name, name) for name in sorted(timezones())])

    def __init__(self, device: Device, query: Mapping[str, str]) -> None:
        default = {} if {"start_time", "end_time"} & query.keys() else {"span": "day"}
        super().__init__({"timezone": device.timezone or "UTC", **default, **query})

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name in ("start_time", "end_time"):
            self._place(name)
        start, end = values.get("start_time"), values.get("end_time")
        if not self.errors and start and end and end < start:
            self.add_error("end_time", forms.ValidationError("This is before the beginning.", "end_before_start"))
        return values

    def _place(self, name: str) -> None:
        """Give a local time its zone; a clock that shows it twice means the first."""
        moment, zone = self.cleaned_data.get(name), self.cleaned_data.get("timezone")
        if moment is None or zone is None:
            return
        try:
            local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
            self.cleaned_data[name] = checked_time(local.astimezone(UTC))
        except (InvalidValue, OverflowError):
            self.add_error(name, forms.ValidationError("Years are from 1900 until 2199.", "out_of_range"))

    def window(self) -> Window:
        """That of a valid form. A span ends with the second that is passing."""
        values, zone = self.cleaned_data, ZoneInfo(self.cleaned_data["timezone"])
        start, end, span = values["start_time"], values["end_time"], values["span"]
        if span:
            length = SPANS[span][1]
            now = timezone.now().replace(microsecond=0) + SECOND
            start, end = (now - length, now) if length else (None, None)
        shown = {"span": span} if span else {"start_time": _iso(start), "end_time": _iso(end)}
        return Window(start, end, zone, span, urlencode({**shown, "timezone": zone.key}))


def _local(moment: datetime | None, zone: ZoneInfo) -> str:
    """As an input of a browser has it."""
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds") if moment else ""


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
