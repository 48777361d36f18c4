from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from analytics import pages
from config import faults, health, metrics, problems

sign_in = LoginView.as_view(template_name="analytics/sign_in.html", redirect_authenticated_user=True)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="devices"), name="home"),
    path("favicon.ico", RedirectView.as_view(url=static("analytics/icon.svg")), name="icon"),
    path("sign-in/", sign_in, name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("devices/", pages.devices, name="devices"),
    path("devices/<int:device_id>/", pages.device, name="device-page"),
    path("devices/<int:device_id>/now/", pages.device_now, name="device-now"),
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
