from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from devices.models import Device, DeviceKey


class DeviceKeyInline(admin.TabularInline[DeviceKey, Device]):
    """The keys of a device; taking one out revokes it. The list's action makes new ones and can show the secret."""

    model = DeviceKey
    extra = 0
    fields = readonly_fields = ("prefix", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return False


@admin.register(Device)
class DeviceAdmin(admin.ModelAdmin[Device]):
    list_display = ["name", "owner", "is_active", "created_at"]
    list_filter = ["is_active"]
    list_select_related = ["owner"]
    search_fields = ["name"]
    autocomplete_fields = ["owner"]
    show_full_result_count = False
    inlines = [DeviceKeyInline]
    actions = ["issue_key"]

    @admin.action(description="Issue a new key for each selected device", permissions=["change"])
    def issue_key(self, request: HttpRequest, devices: QuerySet[Device]) -> None:
        for device in devices:
            key = DeviceKey.issue(device)[1]
            messages.success(request, f"New key of {device}, shown this once: {key}")
