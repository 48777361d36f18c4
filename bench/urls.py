from django.urls import include, path

from bench.bare import insert

urlpatterns = [path("bare/", insert), path("", include("config.urls"))]
