"""Devices, their keys, and what was refused of them, for the people who look after them."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from devices.lookups import readings_in_window
from devices.models import Device, DeviceActivity, DeviceKey, Reading, Refusal
from devices.pagination import page_before
from users.admin_base import AutocompleteFilter, ModelAdmin, TabularInline

READINGS_ON_A_PAGE = 100
LAST_READINGS = 10
LAST_REFUSALS = 5


class DeviceKeyInline(TabularInline[DeviceKey, Device]):
    """The keys of a device; taking one out revokes it. The page's buttons make new ones and can show the secret."""

    model = DeviceKey
    extra = 0
    fields = readonly_fields = ("prefix", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return False


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(DeviceActivity.Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        return queryset.filter(activity__status=self.value()) if self.value() else queryset


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    list_display = ["name", "owner", "is_active", "status", "last_reading_at", "created_at"]
    list_filter = ["is_active", StatusFilter, ("owner", AutocompleteFilter)]
    list_select_related = ["owner", "activity"]
    sortable_by = ["created_at"]  # as the ids: for the others there is no index
    search_fields = ["name"]
    autocomplete_fields = ["owner"]
    inlines = [DeviceKeyInline]
    actions: list[Any] = ["issue_key", "deactivate", "export"]  # and those of apps that know devices

    @admin.display(description="status")
    def status(self, device: Device) -> str:
        return device.activity.get_status_display() if hasattr(device, "activity") else "-"

    @admin.display(description="last reading")
    def last_reading_at(self, device: Device) -> Any:
        return device.activity.last_reading_at if hasattr(device, "activity") else None

    @admin.display(description="created", ordering="pk")
    def created_at(self, device: Device) -> Any:
        return device.created_at

    @admin.action(description="Issue a new key for each selected device", permissions=["change"])
    def issue_key(self, request: HttpRequest, devices: QuerySet[Device]) -> HttpResponse | None:
        keys = [(device, DeviceKey.issue(device)[1]) for device in devices]
        return self._show_once(request, keys) if keys else None

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The devices alone: with them goes all that is theirs, which may be more than a page, or memory, can hold."""
        return [str(device) for device in objs], {"devices": len(objs)}, set(), []

    @admin.action(description="Deactivate selected devices", permissions=["change"])
    def deactivate(self, request: HttpRequest, devices: QuerySet[Device]) -> None:
        number = devices.filter(is_active=True).update(is_active=False)
        messages.success(request, f"{number} devices take no readings any more.")

    @admin.action(description="Export readings of selected devices", permissions=["view"])
    def export(self, request: HttpRequest, devices: QuerySet[Device]) -> None:
        for device in devices:
            address = reverse("reading-export", args=[device.pk])
            messages.info(request, format_html('<a href="{}?file_format=csv">CSV of {}</a>', address, device))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:device_id>/key/", wrap(require_POST(self.issue_view)), name="devices_device_key"),
            path("<int:device_id>/rotate/", wrap(require_POST(self.rotate_view)), name="devices_device_rotate"),
            path("<int:device_id>/readings/", wrap(self.readings_view), name="devices_device_readings"),
            *super().get_urls(),
        ]

    def issue_view(self, request: HttpRequest, device_id: int) -> HttpResponse:
        """One more key; the others go on."""
        device = self._device(request, device_id, self.has_change_permission)
        return self._show_once(request, [(device, DeviceKey.issue(device)[1])])

    def rotate_view(self, request: HttpRequest, device_id: int) -> HttpResponse:
        """A new key in place of all others."""
        device = self._device(request, device_id, self.has_change_permission)
        with transaction.atomic():
            key, text = DeviceKey.issue(device)
            device.keys.exclude(pk=key.pk).delete()
        return self._show_once(request, [(device, text)])

    def readings_view(self, request: HttpRequest, device_id: int) -> HttpResponse:
        """The readings of a device, newest first, from a cursor on."""
        device = self._device(request, device_id, self.has_view_permission)
        readings = readings_in_window(device.pk, None, None)
        page, older = page_before(readings, device, request.GET.get("before", ""), READINGS_ON_A_PAGE)
        context = {
            "title": f"Readings of {device}",
            "opts": self.opts,
            "original": device,
            "readings": page,
            "older": older,
        }
        return self._page(request, "admin/devices/device/readings.html", context)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form with, below it, the last readings and refusals: a few of each, by index."""
        if device := kwargs.get("obj"):
            context["last_readings"] = Reading.objects.filter(device=device).newest_first()[:LAST_READINGS]
            context["last_refusals"] = Refusal.objects.filter(device=device).order_by("-at")[:LAST_REFUSALS]
        return super().render_change_form(request, context, *args, **kwargs)

    def _device(self, request: HttpRequest, device_id: int, has_permission: Any) -> Device:
        device: Device | None = self.get_object(request, str(device_id))
        if device is None:
            raise Http404
        if not has_permission(request, device):
            raise PermissionDenied
        return device

    def _show_once(self, request: HttpRequest, keys: list[tuple[Device, str]]) -> HttpResponse:
        """The new keys, in the answer itself: a message on the next page would be kept in a cookie or the session."""
        for device, _ in keys:
            self.log_change(request, device, "Issued a key.")
        context = {"title": "New keys", "opts": self.opts, "keys": keys}
        return self._page(request, "admin/devices/device/new_keys.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})


@admin.register(Refusal)
class RefusalAdmin(ModelAdmin):
    """What was refused, newest first. Only read; rows expire by themselves."""

    list_display = ["at", "device", "sender", "status", "code", "pointer", "detail", "faults", "size"]
    list_filter = [("device", AutocompleteFilter), ("sender", AutocompleteFilter)]
    list_select_related = ["device", "sender"]
    sortable_by = ["at"]
    ordering = ["-at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Refusal | None = None) -> bool:
        return False
