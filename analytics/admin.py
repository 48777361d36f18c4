from collections.abc import Callable
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import Truncator

from analytics import analyses
from analytics.models import Analysis


@admin.register(Analysis)
class AnalysisAdmin(admin.ModelAdmin[Analysis]):
    """Looked at, tried again, cancelled, deleted; asked for over the API alone. A result may be megabytes: not here."""

    list_display = ["id", "status", "requested_by", "target", "requested_at", "duration", "share_done", "short_error"]
    list_filter = ["status"]
    list_select_related = ["requested_by", "device", "user"]
    search_fields = ["=id", "requested_by__username"]
    show_full_result_count = False
    exclude = ["result", "token", "fingerprint", "progress"]
    actions = ["retry", "cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Analysis]:
        return super().get_queryset(request).defer("result")

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

    @admin.display(description="progress", ordering="progress")
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
