from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from config import faults, health, metrics, problems

urlpatterns = [
    path("api/v1/", include("config.api")),
    path("admin/", admin.site.urls),
    path("docs", RedirectView.as_view(pattern_name="docs"), name="docs-shortcut"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("metrics", metrics.metrics, name="metrics"),
]
handler400 = problems.bad_request
handler403 = problems.forbidden
handler404 = problems.not_found
handler500 = faults.server_error
