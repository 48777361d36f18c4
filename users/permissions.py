"""Who may write what they can see. Seeing is decided before, by `visible_to(user)`."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_permission_codename
from django.db.models import Model
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request

PERMISSION_ACTIONS = {"POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


def may_write(request: Request, model: type[Model], action: str | None = None) -> bool:
    """Whether the caller holds Django's model permission for the method or action, as for what belongs to others."""
    action = action or PERMISSION_ACTIONS.get(request.method or "", "change")
    return request.user.has_perm(f"{model._meta.app_label}.{get_permission_codename(action, model._meta)}")


class OwnAccountOrModelPermission(IsAuthenticated):
    """One's own account; another's by staff with the model permission."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return request.method in SAFE_METHODS or obj == request.user or may_write(request, type(obj))


class MayRegister(BasePermission):
    """Staff create accounts; anybody may where `OPEN_REGISTRATION` is on."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return settings.OPEN_REGISTRATION or bool(request.user.is_staff)
