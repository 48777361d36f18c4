from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request

from devices import reading_ids
from devices.models import Device, Reading
from devices.querysets import ReadingQuerySet
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

    def after(self, queryset: QuerySet[Any], position: str) -> QuerySet[Any]:
        beyond = "lt" if self.descending else "gt"
        return queryset.filter(**{f"pk__{beyond}": (self.device_id, *reading_ids.decode(position))})


def page_before(readings: ReadingQuerySet, device: Device, before: str, size: int) -> tuple[list[Reading], str | None]:
    """For people: a page of a device's readings, newest first, and the id before which the next one begins, if any.

    `before` is such an id, or empty for the first page; Http404 for anything else.
    """
    try:
        older = readings.filter(pk__lt=(device.pk, *reading_ids.decode(before))) if before else readings
    except ValueError:
        raise Http404 from None
    page = list(older.newest_first()[: size + 1])
    return page[:size], page[size - 1].id if len(page) > size else None
