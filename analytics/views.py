"""Analytics of a device, and of a user over all of their devices: a window in, a summary out; at once or later."""

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from analytics import analyses, answers
from analytics.answers import Question
from analytics.models import Analysis, AnalysisQuerySet
from analytics.permissions import OwnAnalysisOrModelPermission
from analytics.serializers import (
    AnalysisListQuery,
    AnalysisParameters,
    AnalysisSerializer,
    AnalyticsQuery,
    DeviceSummarySerializer,
    SummaryPerDeviceSerializer,
    UserAnalysisParameters,
    UserAnalyticsQuery,
    UserSummarySerializer,
)
from devices.models import Device
from devices.permissions import DevicePermission
from devices.transactions import answering
from devices.windows import query_of
from users.models import User

USER_ANALYTICS = PolymorphicProxySerializer("UserAnalytics", [UserSummarySerializer, SummaryPerDeviceSerializer], None)
LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[202], description="Where the analysis is to be had."
)
QUESTION = OpenApiExample(
    "A month by days",
    {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-02-01T00:00:00Z", "interval": "day"},
    request_only=True,
)


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
        device = self.get_object()
        with answering():
            return Response(answers.of_device(device, question))


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
        user = self.get_object()
        with answering():
            return Response(answer(user, Question(**query)))


class HasEnded(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "has_ended"
    default_detail = "This analysis has ended: there is nothing to cancel."


class AnalysisListMixin(viewsets.GenericViewSet[Analysis]):
    serializer_class = AnalysisSerializer
    permission_classes = [OwnAnalysisOrModelPermission]
    queryset = Analysis.objects.none()  # for the document; see get_queryset
    filterset_class = None

    def get_queryset(self) -> AnalysisQuerySet:
        return Analysis.objects.visible_to(self.request.user)

    def page_of(self, stored: AnalysisQuerySet, query: dict[str, Any]) -> Response:
        """A page of those that were asked for in the window, the newest first."""
        bounds = {"requested_at__gte": query["start_time"], "requested_at__lt": query["end_time"]}
        wanted = {**bounds, "status": query["status"]}
        stored = stored.filter(**{name: value for name, value in wanted.items() if value is not None})
        page = self.paginate_queryset(stored.newest_first().without_long_results()) or []
        for analysis in page:
            analysis.result = analysis.short_result
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


@extend_schema_view(
    retrieve=extend_schema(summary="Show an analysis", description="Ask again, with pauses, until it has ended."),
    destroy=extend_schema(summary="Delete an analysis", description="Its result goes with it."),
)
class AnalysisViewSet(mixins.RetrieveModelMixin, mixins.DestroyModelMixin, AnalysisListMixin):
    """Background analyses: what was asked, how far it is, and what came of it."""

    lookup_value_regex = "[0-9a-fA-F-]{36}"

    @extend_schema(summary="List analyses", parameters=[AnalysisListQuery])
    def list(self, request: Request) -> Response:
        """The analyses that the caller asked for, for staff everybody's; the newest first."""
        return self.page_of(self.get_queryset(), query_of(request, AnalysisListQuery))

    @extend_schema(
        operation_id="analyses_cancel",
        summary="Cancel an analysis",
        request=None,
        responses={200: AnalysisSerializer, 409: None},
    )
    @action(detail=True, methods=["post"], pagination_class=None)
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop a pending or running analysis; 409 for one that has ended."""
        analysis = self.get_object()
        if not analyses.cancel(analysis.pk):
            raise HasEnded
        return Response(self.get_serializer(self.get_object()).data)


class AnalysesOfMixin(AnalysisListMixin):
    """The analyses about one device or user, by its id in the path."""

    target: str
    targets: type[Device | User]
    form: type[AnalysisParameters]

    def get_target(self) -> Device | User:
        visible = self.targets.objects.visible_to(self.request.user)
        found: Device | User = get_object_or_404(visible, pk=self.kwargs[f"{self.target}_id"])
        return found

    def list(self, request: Request, **kwargs: str) -> Response:
        """The stored analyses that the caller may see, the newest first."""
        stored = self.get_queryset().filter(**{self.target: self.get_target().pk})
        return self.page_of(stored, query_of(request, AnalysisListQuery))

    def create(self, request: Request, **kwargs: str) -> Response:
        """Start an analysis, to be read later; while one of the caller's that asks the same is open, it is that one."""
        target = self.get_target()
        form = self.form(data={**request.data} if isinstance(request.data, dict) else request.data)
        form.is_valid(raise_exception=True)
        parameters = {name: value for name, value in form.initial_data.items() if name in form.fields}
        analysis = analyses.start(cast("User", request.user), target, parameters, form.validated_data)
        location = reverse("analysis-detail", args=[analysis.pk], request=request)
        return Response(self.get_serializer(analysis).data, status.HTTP_202_ACCEPTED, headers={"Location": location})


def _documented(list_summary: str, create_summary: str, form: type[AnalysisParameters]) -> Any:
    """What the document says of the analyses about a device, or about a user."""
    return extend_schema_view(
        list=extend_schema(summary=list_summary, parameters=[AnalysisListQuery]),
        create=extend_schema(
            summary=create_summary,
            request=form,
            parameters=[LOCATION],
            responses={202: AnalysisSerializer},
            examples=[QUESTION],
        ),
    )


@_documented("List the analyses of a device", "Start an analysis of a device", AnalysisParameters)
class DeviceAnalysisViewSet(AnalysesOfMixin):
    target, targets, form = "device", Device, AnalysisParameters


@_documented("List the analyses of a user", "Start an analysis over a user's devices", UserAnalysisParameters)
class UserAnalysisViewSet(AnalysesOfMixin):
    """Over all devices of a user."""

    target, targets, form = "user", User, UserAnalysisParameters
