"""Analytics of a device, and of a user over all of their devices: a window in, a summary out."""

from django.db.models import QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import answers
from analytics.answers import Question
from analytics.serializers import (
    AnalyticsQuery,
    DeviceSummarySerializer,
    SummaryPerDeviceSerializer,
    UserAnalyticsQuery,
    UserSummarySerializer,
)
from devices.models import Device
from devices.permissions import DevicePermission
from devices.transactions import snapshot
from devices.windows import query_of
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

    @extend_schema(summary="Summarize a device's readings", parameters=[AnalyticsQuery])
    @action(detail=True)
    def analytics(self, request: Request, pk: str) -> Response:
        """Count and, per axis, min, max, sum, avg and median of the device's readings in a window."""
        question = Question(**query_of(request, AnalyticsQuery))
        with snapshot():
            return Response(answers.of_device(self.get_object(), question))


class UserAnalyticsViewSet(viewsets.GenericViewSet[User]):
    serializer_class = UserSummarySerializer
    filterset_class = None
    pagination_class = None
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.visible_to(self.request.user)

    @extend_schema(
        summary="Summarize the readings of a user's devices", parameters=[UserAnalyticsQuery], responses=USER_ANALYTICS
    )
    @action(detail=True)
    def analytics(self, request: Request, pk: str) -> Response:
        """The same figures over all devices of a user: pooled, or one summary for each device."""
        query = query_of(request, UserAnalyticsQuery)
        answer = answers.of_user if query.pop("aggregate") == "true" else answers.of_each_device
        with snapshot():
            return Response(answer(self.get_object(), Question(**query)))
