"""Errors as problems, whatever they come from."""

import psycopg
import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.test import Client, override_settings
from rest_framework.test import APIClient

from devices.models import Device
from devices.views import DeviceViewSet
from tests.helpers import codes
from users.integrity import is_passing
from users.models import User

NOT_FOUND = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "Not found.",
    "errors": [{"pointer": "", "code": "not_found", "detail": "Not found."}],
}


@pytest.mark.parametrize("path", ["/api/", "/api/v1/nowhere/", "/api/v2/devices/", "/api/v1/devices/x/"])
def test_an_unknown_path_of_the_api_is_a_problem(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json() == NOT_FOUND


def test_an_unknown_path_elsewhere_is_a_page(client: Client) -> None:
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.django_db
def test_an_object_that_is_not_there_has_the_body_of_an_unknown_path(api: APIClient) -> None:
    response = api.get("/api/v1/devices/999/")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json() == NOT_FOUND


@pytest.mark.django_db
def test_a_wrong_method_is_405_and_told_the_right_ones(api: APIClient) -> None:
    response = api.put("/api/v1/devices/", {})
    assert (response.status_code, codes(response)) == (405, {"": "method_not_allowed"})
    assert {"GET", "POST"} <= set(response["Allow"].split(", "))
    assert "PUT" not in response["Allow"]


def test_a_caller_without_credentials_is_401_and_told_how(client: Client) -> None:
    response = client.get("/api/v1/devices/")
    assert (response.status_code, codes(response)) == (401, {"": "not_authenticated"})
    assert response["WWW-Authenticate"] == "Device"


@pytest.mark.django_db
@pytest.mark.parametrize("credentials", ["Token 0123456789", "Device 012345.6789"])
def test_wrong_credentials_are_401_and_told_how(client: Client, credentials: str) -> None:
    response = client.get("/api/v1/devices/", headers={"Authorization": credentials})
    assert (response.status_code, codes(response)) == (401, {"": "authentication_failed"})
    assert response["WWW-Authenticate"] == "Device"


@pytest.mark.django_db
def test_a_media_type_that_is_not_there_is_406(api: APIClient) -> None:
    response = api.get("/api/v1/devices/", headers={"Accept": "application/xml"})
    assert (response.status_code, codes(response)) == (406, {"": "not_acceptable"})


@pytest.mark.django_db
def test_a_pointer_is_escaped(api: APIClient, device: Device) -> None:
    response = api.patch(f"/api/v1/devices/{device.pk}/", {"a/b~c": 1})
    assert (response.status_code, codes(response)) == (400, {"/a~1b~0c": "unknown_field"})


@pytest.mark.django_db
def test_several_faults_are_counted_in_the_detail(api: APIClient) -> None:
    response = api.post("/api/v1/devices/", {"name": "", "timezone": "Mars/Olympus"})
    assert codes(response) == {"/name": "blank", "/timezone": "unknown_timezone"}
    assert response.json()["detail"] == "2 faults, see errors."


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_503_and_says_when_to_come_back(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(view: DeviceViewSet) -> None:
        raise error("server closed the connection unexpectedly")

    monkeypatch.setattr(DeviceViewSet, "get_queryset", fail)
    response = api.get("/api/v1/devices/")
    assert (response.status_code, codes(response)) == (503, {"": "unavailable"})
    assert int(response["Retry-After"]) > 0
    assert "server closed" not in response.content.decode()


@pytest.mark.parametrize(
    "state", ["08006", "25006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"]
)
def test_a_fault_of_postgresql_that_passes_is_known_by_its_code(state: str) -> None:
    error = DatabaseError()
    error.__cause__ = psycopg.errors.lookup(state)()
    assert is_passing(error)


@pytest.mark.parametrize("state", ["22012", "23505", "25P02", "42P01", "54011", "XX000"])
def test_a_defect_that_postgresql_reports_is_none_that_passes(state: str) -> None:
    error = OperationalError()
    error.__cause__ = psycopg.errors.lookup(state)()
    assert not is_passing(error)


@pytest.mark.django_db
def test_a_statement_that_is_wrong_is_no_fault_that_passes() -> None:
    with pytest.raises(DatabaseError) as failure, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    assert not is_passing(failure.value)


@pytest.mark.django_db
def test_a_page_without_the_database_is_503_and_says_when_to_come_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: object, *args: object, **kwargs: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(User.objects.__class__, "get_by_natural_key", fail)
    response = client.post("/admin/login/", {"username": "alice", "password": "alice-9-secret"})
    assert (response.status_code, response["Content-Type"]) == (503, "text/plain; charset=utf-8")
    assert int(response["Retry-After"]) > 0


@pytest.mark.django_db
def test_a_middleware_that_meets_the_fault_is_503_too(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: SessionStore, *args: object, **kwargs: object) -> None:
        raise OperationalError("the connection is lost")

    client.force_login(alice)
    client.raise_request_exception = False
    with monkeypatch.context() as patch, override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        patch.setattr(SessionStore, "save", fail)
        response = client.get("/api/v1/users/me/")
    assert (response.status_code, codes(response)) == (503, {"": "unavailable"})


@pytest.mark.django_db
def test_a_defect_is_a_500_that_tells_nothing(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(view: DeviceViewSet) -> None:
        raise ValueError("the inside of the service")

    monkeypatch.setattr(DeviceViewSet, "get_queryset", fail)
    api.raise_request_exception = False
    response = api.get("/api/v1/devices/")
    assert response.status_code == 500
    assert "inside" not in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/devices/999/", "/api/v1/devices/?owner=x"])
def test_the_browsable_api_shows_an_error_as_a_page(client: Client, alice: User, path: str) -> None:
    client.force_login(alice)
    response = client.get(path, headers={"Accept": "text/html"})
    assert response["Content-Type"].startswith("text/html")
    assert f"HTTP {response.status_code}" in response.content.decode()
    assert response.status_code in {400, 404}
