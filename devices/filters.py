import django_filters

from devices.models import Device
from users.filters import IdFilter, TrueFalseFilter


class DeviceFilter(django_filters.FilterSet):
    owner = IdFilter(field_name="owner_id", label="the owner's id")
    is_active = TrueFalseFilter()
    search = django_filters.CharFilter(field_name="name", lookup_expr="icontains", label="part of the name")
    ordering = django_filters.OrderingFilter(fields=["id", "name", "created_at"])

    class Meta:
        model = Device
        fields: list[str] = []
