"""What answers tell browsers: no copies, no scripts but ours, and which other sites may call."""

import re
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from devices.models import Device, Refusal
from tests.helpers import NEW_YEAR, client_of, client_of_device, fields, send, stored
from users.models import User

pytestmark = pytest.mark.django_db

ORIGIN = "https://dashboard.example.org"
HTML = {"Accept": "text/html"}


@pytest.fixture
def browser(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


# Copies


@pytest.mark.parametrize(
    "path",
    ["devices/", "devices/{}/", "devices/{}/analytics/", "devices/{}/readings/", "devices/{}/readings/export/",
     "users/me/", "devices/999999/", "nowhere/", "devices/?owner=x"],
)  # fmt: skip
def test_nobody_keeps_a_copy_of_an_answer(alice: User, device: Device, path: str) -> None:
    response = client_of(alice).get(f"/api/v1/{path.format(device.pk)}")
    assert response["Cache-Control"] == "no-store"


def test_nobody_keeps_a_copy_of_a_stored_reading(device: Device) -> None:
    response = send(client_of_device(device), "POST", f"/api/v1/devices/{device.pk}/readings/", fields())
    assert (response.status_code, response["Cache-Control"]) == (201, "no-store")


def test_nobody_keeps_a_copy_of_a_token(alice: User, client: Client) -> None:
    response = client.post(
        "/api/v1/auth/token/", {"username": "alice", "password": "alice-9-secret"}, "application/json"
    )
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")


def test_nobody_keeps_a_copy_of_a_refusal(client: Client) -> None:
    response = client.get("/api/v1/devices/")
    assert (response.status_code, response["Cache-Control"]) == (401, "no-store")


@pytest.mark.parametrize("path", ["/admin/", "/admin/devices/device/", "/admin/login/"])
def test_nobody_keeps_a_copy_of_a_page_of_the_admin(browser: Client, path: str) -> None:
    assert "no-store" in browser.get(path)["Cache-Control"]


@pytest.mark.parametrize("path", ["/static/admin/css/base.css", "/static/rest_framework/js/default.js"])
def test_static_files_may_be_kept(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, "no-store" in response["Cache-Control"]) == (200, False)
    response.close()


# Content


@pytest.mark.parametrize("path", ["/admin/", "/admin/devices/device/", "/admin/login/", "/nowhere", "/api/v1/docs/"])
def test_a_page_loads_from_here_alone(browser: Client, path: str) -> None:
    policy = browser.get(path)["Content-Security-Policy"]
    assert {"default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert not re.search(r"https?:|\*|//", policy)


@pytest.mark.parametrize("path", ["/devices/", "/nowhere", "/api/v1/docs/"])
def test_a_page_makes_no_script_of_a_text(browser: Client, path: str) -> None:
    policy = browser.get(path)["Content-Security-Policy"]
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("path", ["/admin/", "/admin/devices/device/", "/admin/login/"])
def test_the_admin_makes_scripts_of_its_own_attributes_and_has_none_within(browser: Client, path: str) -> None:
    policy = browser.get(path)["Content-Security-Policy"].split("; ")
    assert [part for part in policy if part.startswith("script-src")] == ["script-src 'self' 'unsafe-eval'"]


@pytest.mark.parametrize(
    "path", ["device/", "device/?q={}", "device/{{}}/change/", "device/{{}}/readings/", "refusal/"]
)
def test_nothing_that_somebody_wrote_is_in_an_attribute_that_becomes_a_script(
    browser: Client, device: Device, path: str
) -> None:
    written = "$el.innerHTML"
    Device.objects.update(name=written, description=written, timezone=written)
    Refusal.objects.create(device=device, at=NEW_YEAR, status=400, faults=1, size=1, code=written, detail=written)
    page = browser.get(f"/admin/devices/{path.format(written).format(device.pk)}").content.decode()
    assert written in page
    scripts = re.findall(r"""\s(?:x-|@|:|hx-)[\w:.-]+=("[^"]*"|'[^']*')""", page)
    assert scripts
    assert [script for script in scripts if written in script] == []


def test_a_page_of_no_app_has_no_styles_within(browser: Client) -> None:
    assert "unsafe-inline" not in browser.get("/nowhere")["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/docs/", "/api/v1/", "/api/v1/devices/", "/api/v1/devices/{}/", "/api/v1/users/", "/admin/",
     "/admin/devices/device/", "/admin/devices/device/{}/change/", "/admin/users/user/add/", "/admin/login/"],
)  # fmt: skip
def test_no_page_has_a_script_within(browser: Client, device: Device, path: str) -> None:
    response = browser.get(path.format(device.pk), headers=HTML, follow=True)
    assert response.status_code == 200
    page = response.content.decode()
    scripts = re.findall(r"<script\b([^>]*)>\s*\S", page)
    assert [
        attributes for attributes in scripts if "src=" not in attributes and "application/json" not in attributes
    ] == []
    assert re.findall(r"""<[^>]+\son\w+\s*=\s*["']""", page) == []
    assert "javascript:" not in page


def test_the_script_of_the_documentation_is_a_file_of_its_own(client: Client) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    (source,) = re.findall(r'<script src="(/api/[^"]*)"', page)
    response = client.get(source)
    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (200, "application/javascript")
    assert "SwaggerUIBundle(" in response.content.decode()


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/docs/"])
def test_a_page_may_use_no_device_of_the_visitor(client: Client, path: str) -> None:
    response = client.get(path)
    assert "camera=()" in response["Permissions-Policy"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


# Forms


@pytest.mark.parametrize(
    "path", ["devices/", "devices/{}/", "users/", "users/{}/", "devices/{}/keys/", "devices/{}/readings/"]
)
def test_no_form_of_the_browsable_api_lists_the_users_or_devices(
    browser: Client, alice: User, device: Device, path: str
) -> None:
    people = [User(username=f"somebody-{number}") for number in range(30)]
    User.objects.bulk_create(people)
    Device.objects.bulk_create(Device(owner=alice, name=f"something-{number}") for number in range(30))
    stored(device, (0, 1, 2, 3))
    key = alice.pk if path.startswith("users") else device.pk
    page = browser.get("/api/v1/" + path.format(key), headers=HTML).content.decode()
    options = re.findall(r"<option[^>]*>(.*?)</option>", page, re.DOTALL)
    assert [option for option in options if "some" in option] == []


def test_the_form_of_a_device_asks_for_the_id_of_its_owner(browser: Client) -> None:
    page = browser.get("/api/v1/devices/", headers=HTML).content.decode()
    assert re.search(r'<input[^>]*name="owner"', page, re.DOTALL)


# Other sites


@pytest.fixture
def cors(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]


def test_no_other_site_may_call_unless_it_is_said(client: Client) -> None:
    assert "corsheaders.middleware.CorsMiddleware" not in django_settings.MIDDLEWARE
    response = client.get("/api/v1/schema/", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in response


@pytest.mark.usefixtures("cors")
def test_a_site_that_is_named_may_read_the_answer(client: Client) -> None:
    response = client.get("/api/v1/devices/", headers={"Origin": ORIGIN})
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    exposed = set(response["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {"Location", "Retry-After", "X-Request-ID"}


@pytest.mark.usefixtures("cors")
@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", "http://dashboard.example.org", "null", f"{ORIGIN}.evil"]
)
def test_any_other_site_may_not(client: Client, origin: str) -> None:
    response = client.get("/api/v1/devices/", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in response


@pytest.mark.usefixtures("cors")
def test_a_site_that_is_named_may_write_with_a_token_and_without_cookies(client: Client) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-encoding, content-type",
    }
    response = client.options("/api/v1/devices/1/readings/", headers=asked)
    assert response.status_code == 200
    assert {"authorization", "content-encoding", "content-type"} <= set(
        response["Access-Control-Allow-Headers"].split(", ")
    )
    assert "POST" in response["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in response


@pytest.mark.usefixtures("cors")
@pytest.mark.parametrize("path", ["/admin/login/", "/health/live"])
def test_only_the_api_may_be_called_by_other_sites(client: Client, path: str) -> None:
    assert "Access-Control-Allow-Origin" not in client.get(path, headers={"Origin": ORIGIN})
