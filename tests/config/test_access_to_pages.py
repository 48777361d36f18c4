"""Every page outside of the API, by everybody: those of owners, the back office, and what machines look at."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.schemas.generators import is_api_view

from analytics import analyses
from devices.models import Device, Refusal
from tests.helpers import stored
from users.models import User

pytestmark = pytest.mark.django_db

CALLERS = ["nobody", "alice", "bob", "staff", "superuser"]  # Alice owns the device; staff have no permission
FOR_STAFF, BY_PERMISSION, ELSEWHERE = "302 302 302 200 200", "302 302 302 403 200", "302 302 302 302 302"
BY_NOBODY = "302 302 302 403 403"  # what no permission allows
MODELS = {
    "admin/devices/device/": BY_PERMISSION,  # to list them, and to add one
    "admin/devices/refusal/": BY_NOBODY,
    "admin/analytics/analysis/": BY_NOBODY,
    "admin/users/user/": BY_PERMISSION,
    "admin/auth/group/": BY_PERMISSION,
    "admin/knox/authtoken/": BY_NOBODY,
}
# The path of a page, then the status of GET for each of CALLERS.
PAGES = {
    "": ELSEWHERE,
    "favicon.ico": ELSEWHERE,
    "docs": ELSEWHERE,
    "sign-in/": "200 302 302 302 302",
    "sign-out/": "405 405 405 405 405",
    "devices/": "302 200 200 200 200",
    "devices/{device}/": "302 200 404 200 200",
    "devices/{device}/now/": "302 200 404 200 200",
    "health/live": "200 200 200 200 200",
    "health/ready": "200 200 200 200 200",
    "metrics": "404 404 404 404 404",  # without its token
    "admin/": FOR_STAFF,
    "admin/login/": "200 200 200 302 302",
    "admin/logout/": "302 302 302 405 405",
    "admin/password_change/": FOR_STAFF,
    "admin/password_change/done/": FOR_STAFF,
    "admin/jsi18n/": FOR_STAFF,
    "admin/autocomplete/": BY_NOBODY,  # of no field
    "admin/search/": "302 302 302 404 404",
    "admin/r/{content_type}/{user}/": "302 302 302 404 404",
    "admin/{app}/": "302 302 302 404 200",
    "admin/{nowhere}": "302 302 302 404 404",
    "admin/devices/device/{device}/key/": "302 302 302 405 405",
    "admin/devices/device/{device}/rotate/": "302 302 302 405 405",
    "admin/devices/device/{device}/readings/": BY_PERMISSION,
    "admin/analytics/analysis/of-user/{user}/": BY_PERMISSION,
    "admin/users/user/{user}/password/": BY_PERMISSION,
    **dict.fromkeys(MODELS, BY_PERMISSION),
    **{f"{path}add/": statuses for path, statuses in MODELS.items()},
    **{
        f"{path}{{{path.split('/')[2]}}}/{page}": statuses
        for path in MODELS
        for page, statuses in {
            "": ELSEWHERE,
            "change/": BY_PERMISSION,
            "delete/": BY_PERMISSION,
            "history/": BY_PERMISSION,
        }.items()
    },
}
# What is done by POST alone.
DEEDS = {
    "sign-out/": ELSEWHERE,
    "admin/logout/": ELSEWHERE,
    "admin/devices/device/{device}/key/": BY_PERMISSION,
    "admin/devices/device/{device}/rotate/": BY_PERMISSION,
}
OWN_MATTERS = {"admin/", "admin/login/", "admin/logout/", "admin/password_change/", "admin/jsi18n/"}


@pytest.fixture
def ids(alice: User, device: Device, other_device: Device) -> dict[str, Any]:
    stored(device, (0, 1, 2, 3))
    refusal = Refusal.objects.create(device=device, at=timezone.now(), status=400, faults=1, size=1, code="invalid")
    return {
        "device": device.pk,
        "user": alice.pk,
        "refusal": refusal.pk,
        "analysis": analyses.start(alice, device, {"start_time": None}, {}).pk,
        "group": Group.objects.create(name="Readers").pk,
        "authtoken": AuthToken.objects.create(alice)[0].pk,
        "content_type": ContentType.objects.get_for_model(User).pk,
        "app": "devices",
        "nowhere": "nowhere/",
    }


@pytest.fixture
def browsers(alice: User, bob: User, staff: User, superuser: User) -> dict[str, Client]:
    browsers = {name: Client() for name in CALLERS}
    for name, user in {"alice": alice, "bob": bob, "staff": staff, "superuser": superuser}.items():
        browsers[name].force_login(user)
    return browsers


@pytest.mark.parametrize("path", PAGES)
def test_a_page(ids: dict[str, Any], browsers: dict[str, Client], path: str) -> None:
    assert _statuses("get", path, ids, browsers) == PAGES[path]


@pytest.mark.parametrize("path", DEEDS)
def test_a_deed(ids: dict[str, Any], browsers: dict[str, Client], path: str) -> None:
    assert _statuses("post", path, ids, browsers) == DEEDS[path]


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("admin/") and path not in OWN_MATTERS])
def test_nobody_without_permission_posts_to_the_back_office(
    ids: dict[str, Any], browsers: dict[str, Client], path: str
) -> None:
    statuses = _statuses("post", path, ids, browsers).split()
    assert statuses[:3] == ["302"] * 3
    assert statuses[3] in ("302", "403", "404", "405")


def test_every_page_is_in_the_table() -> None:
    """A new page without a row fails here, and so does a row without a page."""
    assert set(_paths(get_resolver().url_patterns)) == set(PAGES)


def _statuses(method: str, path: str, ids: dict[str, Any], browsers: dict[str, Client]) -> str:
    answers = (getattr(browsers[name], method)("/" + path.format(**ids)) for name in CALLERS)
    return " ".join(str(answer.status_code) for answer in answers)


def _paths(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern.url_patterns, path)
        elif not is_api_view(pattern.callback):
            yield _named(path)


def _named(path: str) -> str:
    """The path with our names for its ids."""
    path = path.replace("<path:content_type_id>/<path:object_id>", "{content_type}/{user}")
    path = re.sub(r"\^\(\?P<app_label>[^)]*\)/\$", "{app}/", path).replace("(?P<url>.*)$", "{nowhere}")
    path = re.sub(r"(admin/\w+/(\w+)/)<(path:object_id|id)>", r"\1{\2}", path)
    return path.replace("<int:device_id>", "{device}").replace("<int:user_id>", "{user}")
