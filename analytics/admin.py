"""Background analyses for the people who look after them, and what devices' list has of them."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import Truncator

from analytics import analyses
from analytics.models import Analysis
from analytics.reference import AXES
from analytics.serializers import AnalysisParameters
from analytics.summaries import summarize
from devices.admin import DeviceAdmin
from devices.models import Device
from devices.transactions import snapshot
from users.admin_base import ModelAdmin
from users.models import User


@admin.register(Analysis)
class AnalysisAdmin(ModelAdmin):
    """Looked at, tried again, cancelled, deleted; asked for over the API alone. A result may be megabytes: not here."""

    list_display = ["id", "status", "requested_by", "target", "requested_at", "duration", "share_done", "short_error"]
    list_filter = ["status"]
    list_select_related = ["requested_by", "device", "user"]
    ordering = ["-requested_at"]
    sortable_by = ["requested_at"]  # for the others there is no index
    search_fields = ["=id", "requested_by__username"]
    exclude = ["result", "token", "fingerprint", "progress"]
    actions = ["retry", "cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Analysis]:
        return super().get_queryset(request).defer("result")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("of-user/<int:user_id>/", wrap(self.pooled_view), name="analytics_pooled"), *super().get_urls()]

    def pooled_view(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """The figures of all devices of a user, taken together: a page of its own, as with many it takes a while."""
        user = get_object_or_404(User.objects.visible_to(request.user), pk=user_id)
        users = self.admin_site.get_model_admin(User)
        if not users.has_view_permission(request, user):
            raise PermissionDenied
        devices = list(Device.objects.filter(owner=user).only("pk"))
        with snapshot():
            summary = summarize(devices)
        context = {"title": f"All devices of {user}", "opts": users.opts, "original": user, "summary": summary}
        axes = {name: getattr(summary, name) for name in AXES}
        context |= {"devices": len(devices), "axes": axes, **self.admin_site.each_context(request)}
        return TemplateResponse(request, "admin/users/user/pooled.html", context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Analysis | None = None) -> bool:
        """Of the list, for its actions; the fields are only read."""
        return obj is None and super().has_change_permission(request)

    @admin.display(description="duration")
    def duration(self, analysis: Analysis) -> str:
        if analysis.started_at is None:
            return "-"
        seconds = ((analysis.finished_at or timezone.now()) - analysis.started_at).total_seconds()
        return f"{max(seconds, 0):.1f} s"

    @admin.display(description="progress")
    def share_done(self, analysis: Analysis) -> str:
        return f"{analysis.progress:.0%}"

    @admin.display(description="error")
    def short_error(self, analysis: Analysis) -> str:
        return Truncator(analysis.error).chars(80)

    @admin.action(description="Try selected failed or cancelled analyses again", permissions=["change"])
    def retry(self, request: HttpRequest, selected: QuerySet[Analysis]) -> None:
        self._each(request, selected, analyses.retry, "tried again")

    @admin.action(description="Cancel selected pending or running analyses", permissions=["change"])
    def cancel(self, request: HttpRequest, selected: QuerySet[Analysis]) -> None:
        self._each(request, selected, analyses.cancel, "cancelled")

    def _each(self, request: HttpRequest, selected: QuerySet[Analysis], act: Callable[[UUID], bool], what: str) -> None:
        done = [act(analysis_id) for analysis_id in selected.values_list("pk", flat=True)]
        left = f"; {done.count(False)} were left as they are" if False in done else ""
        messages.info(request, f"{done.count(True)} analyses {what}{left}.")


@admin.action(description="Start an analysis of all time of each selected device", permissions=["view"])
def start_analysis(device_admin: Any, request: HttpRequest, devices: QuerySet[Device]) -> None:
    """To be found among the analyses. To ask is to read: whoever sees a device may ask about it."""
    form = AnalysisParameters(data={})
    form.is_valid(raise_exception=True)
    for device in devices:
        analyses.start(cast("User", request.user), device, {}, form.validated_data)
    messages.success(request, f"{len(devices)} analyses are under way.")


DeviceAdmin.actions.append(start_analysis)  # from here, as devices know of no analyses
