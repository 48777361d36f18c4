"""Errors as problems, whatever they come from."""

from typing import Any

import psycopg
import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.test import Client, override_settings
from rest_framework.test import APIClient

from config import problems
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


def test_a_page_that_is_not_there_names_the_request(client: Client) -> None:
    response = client.get("/nowhere")
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.parametrize(
    ("path", "content_type"), [("/api/v1/devices/", "application/problem+json"), ("/docs", "text/html")]
)
def test_a_host_that_is_not_ours_is_400(client: Client, path: str, content_type: str) -> None:
    response = client.get(path, headers={"Host": "somebody.else.example"})
    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (400, content_type)


@pytest.mark.parametrize("path", ["/api/v1/schema/", "/api/v1/devices/", "/api/v1/nowhere/", "/admin/login/"])
@pytest.mark.parametrize("host", ["a b", "localhost:x", "[::1", "localhost\x00", "", "..", "localhost,localhost"])
def test_a_host_that_is_none_is_no_500(client: Client, path: str, host: str) -> None:
    client.raise_request_exception = False
    assert client.get(path, headers={"Host": host}).status_code in {400, 401, 404}


@pytest.mark.django_db
def test_more_parameters_than_anybody_needs_are_400(api: APIClient) -> None:
    response = api.get("/api/v1/devices/?" + "&".join(f"p{number}=1" for number in range(2000)))
    assert (response.status_code, codes(response)) == (400, {"": "bad_request"})


@pytest.mark.django_db
def test_a_form_of_more_fields_than_anybody_needs_is_400(api: APIClient) -> None:
    body = "&".join(f"p{number}=1" for number in range(2000))
    response = api.post("/api/v1/devices/", body, content_type="application/x-www-form-urlencoded")
    assert (response.status_code, codes(response)) == (400, {"": "bad_request"})


def test_a_body_past_the_limit_is_413(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    response = client.post("/api/v1/nowhere/", "x" * 11, content_type="application/json")
    assert (response.status_code, codes(response)) == (413, {"": "too_large"})


@pytest.mark.django_db
def test_a_form_of_the_admin_without_its_token_is_403_and_a_page() -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "alice"})
    assert (response.status_code, response["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.django_db
def test_a_session_without_its_token_is_403_and_a_problem(alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)
    response = browser.post("/api/v1/devices/", {"name": "Pump 9"})
    assert (response.status_code, codes(response)) == (403, {"": "permission_denied"})


def test_a_csrf_failure_below_the_api_is_a_problem(rf: Any) -> None:
    response = problems.csrf_failure(rf.post("/api/v1/anything/"))
    assert (response.status_code, response["Content-Type"]) == (403, "application/problem+json")
    assert b'"csrf_failed"' in response.content


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_write_to_a_path_without_its_slash_is_404_and_not_sent_on(client: Client, method: str) -> None:
    response = getattr(client, method)("/api/v1/devices")
    assert (response.status_code, codes(response)) == (404, {"": "not_found"})


def test_a_read_of_a_path_without_its_slash_is_sent_on(client: Client) -> None:
    assert client.get("/api/v1/devices")["Location"] == "/api/v1/devices/"


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
    assert (response.status_code, response["Content-Type"]) == (503, "text/html; charset=utf-8")
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
