"""Filters of the list of accounts, and the two kinds of filter that other lists share."""

from typing import Any

import django_filters
from django import forms
from django.db.models import BigIntegerField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from users.models import User


class IdFilter(django_filters.Filter):
    """A row's id; no choice among all rows, of which there may be a million."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=1, max_value=BigIntegerField.MAX_BIGINT, **kwargs)


@extend_schema_field(OpenApiTypes.BOOL)
class TrueFalseFilter(django_filters.TypedChoiceFilter):
    """`true` or `false`; anything else is refused where django-filter's BooleanFilter ignores it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", **kwargs)


class UserFilter(django_filters.FilterSet):
    search = django_filters.CharFilter(field_name="username", lookup_expr="icontains", label="part of the username")
    is_active = TrueFalseFilter()
    ordering = django_filters.OrderingFilter(fields=["id", "username", "date_joined"])

    class Meta:
        model = User
        fields: list[str] = []
