"""Every endpoint, by everybody: what one may not see is 404, what one may see but not do is 403."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from rest_framework.test import APIClient

from analytics import analyses
from devices.models import Device, DeviceKey, Reading
from tests.helpers import client_of, client_of_device, fields, send, stored
from tests.routes import api_paths, api_routes
from users.models import User

pytestmark = pytest.mark.django_db

CALLERS = ["nobody", "key", "other key", "alice", "bob", "staff", "superuser"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
OPEN = ("auth/token/", "schema/", "docs/")  # to callers without good credentials
WINDOW = "start_time=2026-01-01T00:00:00Z&end_time=2026-01-02T00:00:00Z"

# Method and path, then the status for each of CALLERS. Alice owns the device; the key is the device's own.
ACCESS = [
    ("GET", "", "401 403 403 200 200 200 200"),
    ("GET", "users/", "401 403 403 200 200 200 200"),
    ("POST", "users/", "401 403 403 403 403 201 201"),
    ("GET", "users/{alice}/", "401 403 403 200 404 200 200"),
    ("PUT", "users/{alice}/", "401 403 403 200 404 403 200"),
    ("PATCH", "users/{alice}/", "401 403 403 200 404 403 200"),
    ("DELETE", "users/{alice}/?cascade=true", "401 403 403 204 404 403 204"),
    ("GET", "users/me/", "401 403 403 200 200 200 200"),
    ("POST", "users/me/password/", "401 403 403 204 400 400 400"),
    ("GET", "users/{alice}/analytics/", "401 403 403 200 404 200 200"),
    ("GET", "users/{alice}/analyses/", "401 403 403 200 404 200 200"),
    ("POST", "users/{alice}/analyses/", "401 403 403 202 404 202 202"),
    ("GET", "devices/", "401 403 403 200 200 200 200"),
    ("POST", "devices/", "401 403 403 201 201 201 201"),
    ("GET", "devices/{device}/", "401 200 404 200 404 200 200"),
    ("PUT", "devices/{device}/", "401 403 403 200 404 403 200"),
    ("PATCH", "devices/{device}/", "401 403 403 200 404 403 200"),
    ("DELETE", "devices/{device}/", "401 403 403 204 404 403 204"),
    ("GET", "devices/{device}/latest/", "401 200 404 200 404 200 200"),
    ("GET", "devices/{device}/analytics/", "401 200 404 200 404 200 200"),
    ("GET", "devices/{device}/analyses/", "401 403 403 200 404 200 200"),
    ("POST", "devices/{device}/analyses/", "401 403 403 202 404 202 202"),
    ("GET", "analyses/", "401 403 403 200 200 200 200"),
    ("GET", "analyses/{analysis}/", "401 403 403 200 404 200 200"),
    ("POST", "analyses/{analysis}/cancel/", "401 403 403 200 404 403 200"),
    ("DELETE", "analyses/{analysis}/", "401 403 403 204 404 403 204"),
    ("GET", "devices/{device}/keys/", "401 403 403 200 404 200 200"),
    ("POST", "devices/{device}/keys/", "401 403 403 201 404 403 201"),
    ("DELETE", "devices/{device}/keys/{prefix}/", "401 403 403 204 404 403 204"),
    ("GET", "devices/{device}/readings/", "401 200 404 200 404 200 200"),
    ("POST", "devices/{device}/readings/", "401 201 404 201 404 403 201"),
    ("GET", "devices/{device}/readings/export/", "401 200 404 200 404 200 200"),
    ("POST", "readings/", "401 200 400 200 400 400 200"),
    ("DELETE", "devices/{device}/readings/?" + WINDOW, "401 403 403 200 404 403 200"),
    ("GET", "devices/{device}/readings/{reading}/", "401 200 404 200 404 200 200"),
    ("PUT", "devices/{device}/readings/{reading}/", "401 403 403 200 404 403 200"),
    ("PATCH", "devices/{device}/readings/{reading}/", "401 403 403 200 404 403 200"),
    ("DELETE", "devices/{device}/readings/{reading}/", "401 403 403 204 404 403 204"),
    ("DELETE", "auth/token/", "401 401 401 204 204 204 204"),
    ("POST", "auth/token/", "200 200 200 200 200 200 200"),
    ("GET", "schema/", "200 200 200 200 200 200 200"),
    ("GET", "docs/", "200 200 200 200 200 200 200"),
]
BODIES = {
    "users/": {"username": "carol"},
    "users/{alice}/": {"username": "alice", "email": "alice@example.org"},
    "users/me/password/": {"old_password": "alice-9-secret", "new_password": "a-new-one-9"},
    "devices/": {"name": "Pump 3"},
    "devices/{device}/": {"name": "Pump 4"},
    "devices/{device}/readings/": fields(9),
    "devices/{device}/readings/{reading}/": fields(10),
    "auth/token/": {"username": "alice", "password": "alice-9-secret"},
    "devices/{device}/analyses/": {},
    "users/{alice}/analyses/": {},
}
MISSING = {"alice": 999_999, "device": 999_999, "prefix": "0123456789ab", "reading": "A" * 43, "analysis": UUID(int=7)}
ROUTES_WITH_AN_ID = [(method, path) for method, path in api_routes() if "{" in path]
STRANGERS = ["nobody", "other key", "bob", "revoked key"]
CASES = [
    pytest.param(method, path, caller, int(status), id=f"{method} {path} by {caller}")
    for method, path, statuses in ACCESS
    for caller, status in zip(CALLERS, statuses.split(), strict=True)
]


@pytest.fixture
def ids(alice: User, device: Device, other_device: Device) -> dict[str, Any]:
    stored(device, (0, 1, 2, 3))
    prefix = DeviceKey.issue(device)[0].prefix
    analysis = analyses.start(alice, device, {"start_time": None}, {})
    return {
        "alice": alice.pk,
        "device": device.pk,
        "prefix": prefix,
        "reading": Reading.objects.get().id,
        "analysis": analysis.pk,
    }


@pytest.fixture
def callers(
    alice: User, bob: User, staff: User, superuser: User, device: Device, other_device: Device
) -> dict[str, APIClient]:
    people = {"alice": alice, "bob": bob, "staff": staff, "superuser": superuser}
    return {
        "nobody": APIClient(),
        "key": client_of_device(device),
        "other key": client_of_device(other_device),
        **{name: client_of(user) for name, user in people.items()},
    }


@pytest.mark.parametrize(("method", "path", "caller", "status"), CASES)
def test_access(
    ids: dict[str, Any], callers: dict[str, APIClient], method: str, path: str, caller: str, status: int
) -> None:
    body = [{**fields(9), "device": ids["device"]}] if path == "readings/" else BODIES.get(path)
    response = send(callers[caller], method, f"/api/v1/{path.format(**ids)}", body)
    assert response.status_code == status, response.getvalue()


def test_a_refused_write_changes_nothing(ids: dict[str, Any], callers: dict[str, APIClient]) -> None:
    for caller in ("nobody", "key", "other key", "bob", "staff"):
        callers[caller].delete(f"/api/v1/devices/{ids['device']}/readings/{ids['reading']}/")
        callers[caller].patch(f"/api/v1/devices/{ids['device']}/", {"name": "Mine now"})
        callers[caller].delete(f"/api/v1/devices/{ids['device']}/")
    assert Reading.objects.count() == 1
    assert Device.objects.get(pk=ids["device"]).name == "Pump 1"


@pytest.mark.parametrize(("method", "path"), api_routes())
def test_a_revoked_key_is_refused_everywhere(ids: dict[str, Any], device: Device, method: str, path: str) -> None:
    client = client_of_device(device)
    device.keys.latest("pk").delete()
    response = send(client, method, f"/api/v1/{path.format(**ids)}", BODIES.get(path))
    assert response.status_code == (401 if path not in OPEN or method == "DELETE" else 200), response.getvalue()


@pytest.mark.parametrize("path", list(api_paths()))
def test_a_method_that_is_not_there_is_405_and_told_the_right_ones(
    ids: dict[str, Any], callers: dict[str, APIClient], path: str
) -> None:
    there = set(api_paths()[path])
    for method in (*METHODS, "TRACE", "PROPFIND"):
        if method not in there:
            response = send(callers["superuser"], method, f"/api/v1/{path.format(**ids)}", {})
            assert response.status_code == 405
            assert there <= set(response["Allow"].split(", ")) <= {*there, "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", list(api_paths()))
@pytest.mark.parametrize("caller", CALLERS)
def test_head_is_answered_as_get(ids: dict[str, Any], callers: dict[str, APIClient], path: str, caller: str) -> None:
    """To a caller who may not see a thing it does not even tell its length."""
    url = f"/api/v1/{path.format(**ids)}"
    head, get = callers[caller].head(url), callers[caller].get(url)
    if path.endswith("keys/") or "GET" not in api_paths()[path]:
        assert head.status_code in (get.status_code, 405)
    else:
        assert head.status_code == get.status_code


@pytest.mark.parametrize("path", list(api_paths()))
@pytest.mark.parametrize("caller", STRANGERS)
def test_options_tell_a_stranger_nothing_of_what_is_there(
    ids: dict[str, Any], callers: dict[str, APIClient], path: str, caller: str
) -> None:
    """Which methods a route has is no secret; whether an object is there, is one."""
    if caller == "revoked key":
        caller_client = APIClient(HTTP_AUTHORIZATION="Device 0123456789ab.gone")
    else:
        caller_client = callers[caller]
    answers = [caller_client.options(f"/api/v1/{path.format(**names)}") for names in (ids, MISSING)]
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1


def headers_of(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "X-Request-ID"}


@pytest.mark.parametrize(("method", "path"), ROUTES_WITH_AN_ID)
@pytest.mark.parametrize("caller", ["bob", "other key", "nobody"])
def test_somebody_elses_object_and_a_missing_one_answer_alike(
    ids: dict[str, Any], callers: dict[str, APIClient], method: str, path: str, caller: str
) -> None:
    """Byte for byte, headers and all but the request's id."""
    foreign, missing = (
        send(callers[caller], method, f"/api/v1/{path.format(**names)}", BODIES.get(path)) for names in (ids, MISSING)
    )
    assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)
    assert headers_of(foreign) == headers_of(missing)


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES_WITH_AN_ID if "{device}" in route[1]])
def test_what_belongs_to_another_device_is_missing_on_ones_own(
    ids: dict[str, Any], callers: dict[str, APIClient], bob: User, method: str, path: str
) -> None:
    """Bob's device with a key and a reading of Alice's, and with such as nobody has."""
    own = {**ids, "device": Device.objects.create(owner=bob, name="Pump 9").pk}
    nobodys = {**MISSING, "device": own["device"]}
    if "{prefix}" in path or "{reading}" in path:
        foreign, missing = (
            send(callers["bob"], method, f"/api/v1/{path.format(**names)}", BODIES.get(path))
            for names in (own, nobodys)
        )
        assert (foreign.status_code, foreign.content) == (404, missing.content)
        assert headers_of(foreign) == headers_of(missing)


@pytest.mark.parametrize(
    ("codename", "method", "path", "status"),
    [
        ("change_device", "PATCH", "devices/{device}/", 200),
        ("delete_device", "DELETE", "devices/{device}/", 204),
        ("add_devicekey", "POST", "devices/{device}/keys/", 201),
        ("delete_devicekey", "DELETE", "devices/{device}/keys/{prefix}/", 204),
        ("add_reading", "POST", "devices/{device}/readings/", 201),
        ("change_reading", "PATCH", "devices/{device}/readings/{reading}/", 200),
        ("delete_reading", "DELETE", "devices/{device}/readings/{reading}/", 204),
        ("change_user", "PATCH", "users/{alice}/", 200),
        ("change_analysis", "POST", "analyses/{analysis}/cancel/", 200),
        ("delete_analysis", "DELETE", "analyses/{analysis}/", 204),
    ],
)
def test_staff_with_the_model_permission_may_write(
    ids: dict[str, Any], staff: User, codename: str, method: str, path: str, status: int
) -> None:
    staff.user_permissions.add(Permission.objects.get(codename=codename))
    response = send(client_of(staff), method, f"/api/v1/{path.format(**ids)}", BODIES.get(path))
    assert response.status_code == status, response.content


def test_a_revoked_key_is_refused_by_the_next_request(device: Device) -> None:
    client = client_of_device(device)
    assert client.get(f"/api/v1/devices/{device.pk}/").status_code == 200
    device.keys.all().delete()
    response = client.get(f"/api/v1/devices/{device.pk}/")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Device")


@pytest.mark.parametrize(
    "credentials",
    ["Device", "Device x", "Device x.y", "Device \x00.y", "Device \xfc.y", "Token", "Token x", "Token a b", "Bearer x"],
)
def test_credentials_that_are_none_are_401(device: Device, credentials: str) -> None:
    response = APIClient(HTTP_AUTHORIZATION=credentials).get(f"/api/v1/devices/{device.pk}/")
    assert response.status_code == 401


def test_the_right_prefix_with_a_wrong_secret_is_401(device: Device) -> None:
    prefix = DeviceKey.issue(device)[0].prefix
    response = APIClient(HTTP_AUTHORIZATION=f"Device {prefix}.wrong").get(f"/api/v1/devices/{device.pk}/")
    assert response.status_code == 401


def test_the_key_of_an_inactive_owner_is_refused(alice: User, device: Device) -> None:
    client = client_of_device(device)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert client.get(f"/api/v1/devices/{device.pk}/").status_code == 401


def test_a_session_needs_the_csrf_token_to_write(alice: User, device: Device) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.login(username="alice", password="alice-9-secret")
    assert browser.get(f"/api/v1/devices/{device.pk}/").status_code == 200
    assert browser.post(f"/api/v1/devices/{device.pk}/readings/", fields()).status_code == 403


def test_every_route_is_in_the_table() -> None:
    """A new route without a row fails here, and so does a row without a route."""
    tried = {(method, path.split("?", maxsplit=1)[0]) for method, path, _ in ACCESS}
    assert tried == set(api_routes())


def test_the_pages_of_the_back_office_are_for_staff_alone(alice: User, client: Client) -> None:
    client.force_login(alice)
    for pattern in (
        "",
        "users/user/",
        "users/user/1/change/",
        "devices/device/",
        "devices/device/1/delete/",
        "nowhere/",
    ):
        response = client.get(f"/admin/{pattern}")
        assert (response.status_code, response.headers["Location"].split("?")[0]) == (302, "/admin/login/")
