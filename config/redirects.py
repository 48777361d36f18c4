"""Where a path without its last slash leads."""

from django.http import HttpRequest
from django.middleware.common import CommonMiddleware as DjangoCommonMiddleware
from rest_framework.permissions import SAFE_METHODS


class CommonMiddleware(DjangoCommonMiddleware):
    """Django's own, but a write below `/api/` is not sent on to another path: clients would make a GET of it."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        is_write = request.path.startswith("/api/") and request.method not in SAFE_METHODS
        return not is_write and super().should_redirect_with_slash(request)
