from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from devices import reading_ids
from devices.models import Reading
from users.pagination import KeysetPagination


class ReadingPagination(KeysetPagination):
    """Pages of one device's readings; a position is a reading's id. The primary key's index serves the order."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.device_id = view.kwargs["device_id"]
        return super().paginate_queryset(queryset, request, view)

    def position(self, row: Reading) -> str:
        return row.id

    def order(self, queryset: QuerySet[Any], backward: bool) -> QuerySet[Any]:
        self.descending = str(queryset.query.order_by[0]).startswith("-") != backward
        return queryset.reverse() if backward else queryset

    def after(self, queryset: Any, position: str) -> QuerySet[Any]:
        key = (self.device_id, *reading_ids.decode(position))
        beyond: QuerySet[Any] = queryset.before(key) if self.descending else queryset.after(key)
        return beyond
