"""Windows of time in a query: `start_time` and `end_time`, half-open, each optional unless a view says otherwise."""

import re
from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from devices import values

SPACE_FOR_PLUS = re.compile(r".* [0-9]{2}:[0-9]{2}", re.ASCII)


class TimeField(serializers.DateTimeField):
    """An RFC 3339 time with an offset, to the microsecond; nothing that could be read in two ways."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return values.moment(value)
        except values.InvalidValue as error:
            detail = error.detail
            if isinstance(value, str) and SPACE_FOR_PLUS.fullmatch(value):
                detail = "A plus sign in a query arrives as a space: write %2B for it, or use Z."
            raise serializers.ValidationError(detail, error.code) from None


class WindowQuery(serializers.Serializer[Any]):
    start_time = TimeField(
        default=None,
        help_text="The first moment of the window, such as `2026-01-01T00:00:00Z`; without it, from the beginning.",
    )
    end_time = TimeField(
        default=None,
        help_text="The first moment after the window, such as `2026-02-01T00:00:00Z`; without it, to the end.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start_time, end_time = attrs["start_time"], attrs["end_time"]
        if start_time is not None and end_time is not None and end_time < start_time:
            raise serializers.ValidationError({"end_time": "This is before start_time."}, "end_before_start")
        return attrs


class BoundedWindowQuery(WindowQuery):
    start_time = TimeField(help_text="The first moment of the window.")
    end_time = TimeField(help_text="The first moment after the window.")


def query_of(request: Request, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """The checked parameters of a request's query; ValidationError with the name of each that is wrong."""
    query = form(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)
