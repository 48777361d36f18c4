"""Pages for the people whose devices these are: a list of them, and what each has measured. Nothing is changed here."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework.request import Request

from analytics.charts import chart
from analytics.forms import SPANS, Window, WindowForm
from analytics.series import DAY, HOUR, MINUTE, Series, series
from analytics.thumbnails import thumbnails
from devices.lookups import newest_times, readings_in_window
from devices.models import Device
from devices.pagination import page_before
from devices.querysets import DeviceQuerySet
from devices.transactions import answering, snapshot
from users.pagination import KeysetPagination

DEVICES_ON_A_PAGE = 20
READINGS_ON_A_PAGE = 20
SHORTEST_WAIT, LONGEST_WAIT = 5, 60  # seconds between two updates of an open page


@require_safe
@login_required
def devices(request: HttpRequest) -> HttpResponse:
    """One's own devices by name, each with its last reading and small curves; `search` for a part of the name."""
    search = request.GET.get("search", "")
    with snapshot():
        paginator = KeysetPagination()
        paginator.page_size = paginator.max_page_size = DEVICES_ON_A_PAGE
        page = paginator.paginate_queryset(_own_devices(request, search), Request(request))
        newest = newest_times(device.pk for device in page)
        curves = thumbnails(page, timezone.now())
    context = {
        "search": search,
        "rows": [(device, newest.get(device.pk), paths) for device, paths in zip(page, curves, strict=True)],
        "next": paginator.get_next_link(),
        "previous": paginator.get_previous_link(),
    }
    return render(request, "analytics/devices.html", context)


@require_safe
@login_required
def device(request: HttpRequest, device_id: int) -> HttpResponse:
    """A device over a window of time: curves, figures, and the readings from a cursor on."""
    found = _visible(request, device_id)
    with answering():
        context = device_context(request, found, with_readings=True)
    return render(request, "analytics/device.html", context, status=400 if context["form"].errors else 200)


@require_safe
@login_required
def device_now(request: HttpRequest, device_id: int) -> HttpResponse:
    """The part of a device's page that changes, for the page itself to ask for again and again."""
    found = _visible(request, device_id)
    with answering():
        context = device_context(request, found, with_readings="readings" in request.GET)
    return HttpResponseBadRequest() if context["form"].errors else render(request, "analytics/now.html", context)


def device_context(request: HttpRequest, device: Device, with_readings: bool) -> dict[str, Any]:
    """What the templates show of a device in the window of the query; with an invalid one, only what is wrong."""
    form = WindowForm(device, request.GET.dict())
    context: dict[str, Any] = {"device": device, "form": form, "spans": SPANS, "with_readings": with_readings}
    if not form.is_valid():
        return context
    window, before = form.window(), request.GET.get("before", "")
    curve = series(device, window.start_time, window.end_time)
    context |= {
        "window": window,
        "curve": curve,
        "chart": chart(curve, window.zone),
        "step": _in_words(curve.step) if curve.step else "",
        "as_table": "table" in request.GET,
        "wait": _wait(window, curve) if not before else None,
        "export": _export(device, curve),
    }
    return context | (_readings(device, window, before) if with_readings else {})


def _own_devices(request: HttpRequest, search: str) -> DeviceQuerySet:
    """In the order of the index that keeps names unique."""
    own = Device.objects.visible_to(request.user)
    ordered: DeviceQuerySet = own.filter(owner=request.user.pk, name__icontains=search).order_by("name")
    return ordered


def _visible(request: HttpRequest, device_id: int) -> Device:
    found: Device = get_object_or_404(Device.objects.visible_to(request.user), pk=device_id)
    return found


def _readings(device: Device, window: Window, before: str) -> dict[str, Any]:
    """A page of the window's readings, newest first, from a reading's id on."""
    readings = readings_in_window(device.pk, window.start_time, window.end_time)
    page, older = page_before(readings, device, before, READINGS_ON_A_PAGE)
    return {"readings": page, "before": before, "older": older}


def _wait(window: Window, curve: Series) -> int | None:
    """Seconds until a page that is open asks again: less often where a point is long."""
    return min(max(curve.step or 0, SHORTEST_WAIT), LONGEST_WAIT) if window.is_live else None


def _in_words(seconds: int) -> str:
    """Such as `5 minutes`."""
    units = {DAY: "day", HOUR: "hour", MINUTE: "minute", 1: "second"}
    length = next(length for length in units if seconds % length == 0)
    return f"{seconds // length} {units[length]}{'' if seconds == length else 's'}"


def _export(device: Device, curve: Series) -> str:
    """The address of a CSV with the readings that are seen: those of the very window, wherever its span is by then."""
    bounds = {"start_time": curve.start_time, "end_time": curve.end_time}
    query = "".join(f"&{name}={moment:%Y-%m-%dT%H:%M:%S.%fZ}" for name, moment in bounds.items() if moment)
    return f"{reverse('reading-export', args=[device.pk])}?file_format=csv{query}"
