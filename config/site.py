"""The admin's site: its look, and its start page."""

from typing import Any

from django.http import Http404, HttpRequest

from users.admin_base import AdminSite


class OfficeSite(AdminSite):
    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Of the look's, over the names of the lists, which the sidebar shows: not needed, and no place for a cache."""
        raise Http404
