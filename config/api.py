"""The whole API on one page, below `/api/v1/`.

auth/token/
users/                                  users/{id}/              users/me/   users/me/password/
users/{id}/analytics/                   users/{id}/analyses/
devices/                                devices/{id}/            devices/{id}/latest/
devices/{id}/keys/                      devices/{id}/keys/{prefix}/
devices/{id}/readings/                  devices/{id}/readings/{reading_id}/
devices/{id}/readings/export/            readings/
devices/{id}/analytics/                 devices/{id}/analyses/
analyses/                               analyses/{id}/           analyses/{id}/cancel/
schema/                                 docs/
"""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from analytics.views import (
    AnalysisViewSet,
    DeviceAnalysisViewSet,
    DeviceAnalyticsViewSet,
    UserAnalysisViewSet,
    UserAnalyticsViewSet,
)
from devices.exports import AnyMediaType
from devices.single import in_one_round_trip
from devices.views import DeviceKeyViewSet, DeviceViewSet, OwnerViewSet, ReadingBatchViewSet, ReadingViewSet
from users.views import TokenView

router = DefaultRouter()
router.include_format_suffixes = False
router.register("users", OwnerViewSet, "user")
router.register("users", UserAnalyticsViewSet, "user-analytics")
router.register("devices", DeviceViewSet, "device")
router.register("devices", DeviceAnalyticsViewSet, "device-analytics")
router.register(r"devices/(?P<device_id>[0-9]+)/keys", DeviceKeyViewSet, "device-key")
router.register(r"devices/(?P<device_id>[0-9]+)/analyses", DeviceAnalysisViewSet, "device-analysis")
router.register(r"users/(?P<user_id>[0-9]+)/analyses", UserAnalysisViewSet, "user-analysis")
router.register("analyses", AnalysisViewSet, "analysis")

batches = ReadingBatchViewSet.as_view({"post": "create"})
export = ReadingViewSet.as_view({"get": "export"}, content_negotiation_class=AnyMediaType)
readings = ReadingViewSet.as_view({"get": "list", "post": "create", "delete": "destroy_window"})
reading = ReadingViewSet.as_view({"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"})

urlpatterns = [
    path("auth/token/", TokenView.as_view(), name="token"),
    path("readings/", batches, name="reading-batch"),
    path("devices/<int:device_id>/readings/", in_one_round_trip(readings), name="reading-list"),
    path("devices/<int:device_id>/readings/export/", export, name="reading-export"),
    path("devices/<int:device_id>/readings/<reading_id>/", reading, name="reading-detail"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema", metadata_class=None), name="docs"),
    path("", include(router.urls)),
]
