"""Pages of lists, by keyset: the cost of a page does not depend on how far in it lies."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from django.db.models import Q, QuerySet
from django.utils.timezone import is_naive
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
BACKWARD = "~"  # begins a cursor that pages backward; no position begins with it


class KeysetPagination(BasePagination):
    """`next` and `previous` by position, in the order of the queryset's first ordering field and the primary key.

    Right also where thousands of rows share the value of that field: the primary key breaks the tie in
    the query itself. (REST framework's CursorPagination counts an offset among equals, at most 1,000,
    and past that gives the same page for ever.)
    """

    page_size = 100
    max_page_size = 1000

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        cursor = request.query_params.get("cursor", "")
        backward = cursor.startswith(BACKWARD)
        size = self._page_size(request)
        rows = self._rows(self.order(queryset, backward), cursor.removeprefix(BACKWARD), size + 1)
        more, self.page = len(rows) > size, rows[:size]
        if backward:
            self.page.reverse()
        self.has_previous, self.has_next = (more, True) if backward else (bool(cursor), more)
        return self.page

    def position(self, row: Any) -> str:
        """The text that says where a row stands in the order."""
        return urlsafe_b64encode(json.dumps([str(getattr(row, self.field)), str(row.pk)]).encode()).decode().rstrip("=")

    def order(self, queryset: QuerySet[Any], backward: bool) -> QuerySet[Any]:
        ordering = queryset.query.order_by or ("pk",)
        self.field, descending = str(ordering[0]).lstrip("-"), str(ordering[0]).startswith("-")
        self.descending = descending != backward
        sign = "-" if self.descending else ""
        return queryset.order_by(sign + self.field, sign + "pk")

    def after(self, queryset: QuerySet[Any], position: str) -> QuerySet[Any]:
        """The rows that follow a position in the order of `queryset`; ValueError for one that was made up."""
        value, pk = json.loads(urlsafe_b64decode(position + "=" * (-len(position) % 4)))
        meta = queryset.model._meta
        field = meta.pk if self.field == "pk" else meta.get_field(self.field)
        value, pk = field.to_python(value), meta.pk.to_python(pk)
        if isinstance(value, datetime) and is_naive(value):
            raise ValueError("a time without an offset")
        beyond = "lt" if self.descending else "gt"
        return queryset.filter(Q(**{f"{self.field}__{beyond}": value}) | Q(**{self.field: value, f"pk__{beyond}": pk}))

    def _rows(self, queryset: QuerySet[Any], position: str, limit: int) -> list[Any]:
        if not position:
            return list(queryset[:limit])
        try:
            return list(self.after(queryset, position)[:limit])
        except (ValueError, TypeError, OverflowError, RecursionError, DataError, DjangoValidationError):
            raise ValidationError({"cursor": ErrorDetail("This cursor is not one of ours.", "invalid")}) from None

    def _page_size(self, request: Request) -> int:
        if "page_size" not in request.query_params:
            return self.page_size
        text = request.query_params["page_size"]
        if not WHOLE_NUMBER.fullmatch(text):
            raise ValidationError({"page_size": ErrorDetail("A valid integer is required.", "invalid")})
        if int(text) < 1:
            raise ValidationError({"page_size": ErrorDetail("A page has at least one result.", "min_value")})
        return min(int(text), self.max_page_size)

    def get_next_link(self) -> str | None:
        return self._link(self.position(self.page[-1])) if self.has_next and self.page else None

    def get_previous_link(self) -> str | None:
        return self._link(BACKWARD + self.position(self.page[0])) if self.has_previous and self.page else None

    def _link(self, cursor: str) -> str:
        return replace_query_param(remove_query_param(self.url, "cursor"), "cursor", cursor)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "default": self.page_size}
        how_many = f"How many results a page holds; more than {self.max_page_size:,} count as that."
        return [
            {"name": "cursor", "in": "query", "description": "Where the page begins; take it from `next`.",
             "schema": {"type": "string"}},
            {"name": "page_size", "in": "query", "description": how_many, "schema": size},
        ]  # fmt: skip
