"""Who may cancel and delete the analyses that they see."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request

from analytics.models import Analysis
from users.permissions import may_write


class OwnAnalysisOrModelPermission(IsAuthenticated):
    """Who asked for it; staff with the model permission. To ask is to read: who sees the readings may."""

    def has_object_permission(self, request: Request, view: Any, obj: Analysis) -> bool:
        if request.method in SAFE_METHODS or obj.requested_by_id == request.user.pk:
            return True
        return may_write(request, Analysis, "change" if view.action == "cancel" else None)
