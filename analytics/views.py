"""Analytics of a device, and of a user over all of their devices: a window in, a summary out."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.serializers import (
    DeviceSummarySerializer,
    SummaryPerDeviceSerializer,
    SummarySerializer,
    UserAnalyticsQuery,
    UserSummarySerializer,
)
from analytics.summaries import Summary, summarize, summarize_each
from devices.models import Device
from devices.permissions import DevicePermission
from devices.transactions import snapshot
from devices.windows import WindowQuery, query_of
from users.models import User

USER_ANALYTICS = PolymorphicProxySerializer("UserAnalytics", [UserSummarySerializer, SummaryPerDeviceSerializer], None)


class DeviceAnalyticsViewSet(viewsets.GenericViewSet[Device]):
    serializer_class = DeviceSummarySerializer
    permission_classes = [DevicePermission]
    filterset_class = None
    pagination_class = None
    lookup_value_regex = "[0-9]+"
    device_key_actions = ["analytics"]

    def get_queryset(self) -> QuerySet[Device]:
        return Device.objects.visible_to(self.request.user)

    @extend_schema(parameters=[WindowQuery])
    @action(detail=True)
    def analytics(self, request: Request, pk: str) -> Response:
        """Count and, per axis, min, max, sum, avg and median of the device's readings in a window."""
        window = query_of(request, WindowQuery)
        device = self.get_object()
        return Response({"device": device.pk, **_figures(summarize([device], **window), window)})


class UserAnalyticsViewSet(viewsets.GenericViewSet[User]):
    serializer_class = UserSummarySerializer
    filterset_class = None
    pagination_class = None
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.visible_to(self.request.user)

    @extend_schema(parameters=[UserAnalyticsQuery], responses=USER_ANALYTICS)
    @action(detail=True)
    def analytics(self, request: Request, pk: str) -> Response:
        """The same figures over all devices of a user: pooled, or one summary for each device."""
        window = query_of(request, UserAnalyticsQuery)
        answer = _pooled if window.pop("aggregate") == "true" else _per_device
        with snapshot():
            return Response(answer(self.get_object(), window))


def _pooled(user: User, window: dict[str, Any]) -> dict[str, Any]:
    devices = Device.objects.filter(owner=user)
    return {"user": user.pk, "devices": devices.count(), **_figures(summarize(devices, **window), window)}


def _per_device(user: User, window: dict[str, Any]) -> dict[str, Any]:
    devices = Device.objects.filter(owner=user)
    summaries = summarize_each(devices, **window)
    ids = devices.order_by("id").values_list("id", flat=True)
    results = [{"device": id, **_figures(summaries.get(id, Summary()), window)} for id in ids]
    return {"user": user.pk, "results": results}


def _figures(summary: Summary, window: dict[str, Any]) -> dict[str, Any]:
    return SummarySerializer({**window, **vars(summary)}).data
