"""The API in a browser: each page leads to the documentation, and none has a choice among all there is."""

import re

import pytest
from django.test import Client

from devices.models import Device
from tests.helpers import stored
from users.models import User

PAGES = [
    "/api/v1/",
    "/api/v1/analyses/",
    "/api/v1/devices/",
    "/api/v1/devices/{device}/",
    "/api/v1/devices/{device}/analyses/",
    "/api/v1/devices/{device}/analytics/",
    "/api/v1/devices/{device}/keys/",
    "/api/v1/devices/{device}/latest/",
    "/api/v1/devices/{device}/readings/",
    "/api/v1/devices/{device}/readings/{reading}/",
    "/api/v1/users/",
    "/api/v1/users/{user}/",
    "/api/v1/users/{user}/analyses/",
    "/api/v1/users/{user}/analytics/",
    "/api/v1/users/me/",
]


@pytest.fixture
def browser(superuser: User) -> Client:
    client = Client(headers={"Accept": "text/html"})
    client.force_login(superuser)
    return client


@pytest.fixture
def places(device: Device) -> dict[str, object]:
    """What the pages are about, among fifty other users and devices."""
    stored(device, (0, 1, 2, 3))
    users = User.objects.bulk_create(User(username=f"user {number}") for number in range(50))
    Device.objects.bulk_create(Device(owner=user, name="Pump") for user in users)
    return {"device": device.pk, "reading": device.readings.get().id, "user": device.owner_id}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_leads_to_the_documentation(browser: Client, places: dict[str, object], page: str) -> None:
    response = browser.get(page.format(**places))
    assert response.status_code == 200
    assert 'href="/api/v1/docs/"' in response.content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_long_choice(browser: Client, places: dict[str, object], page: str) -> None:
    html = browser.get(page.format(**places)).content.decode()
    choices = re.findall(r"<select.*?</select>", html, re.DOTALL)
    assert [choice for choice in choices if choice.count("<option") > 20] == []


def test_a_page_leads_who_is_not_signed_in_to_the_sign_in(client: Client) -> None:
    html = client.get("/api/v1/devices/?search=a", headers={"Accept": "text/html"}).content.decode()
    assert 'href="/sign-in/?next=/api/v1/devices/%3Fsearch%3Da"' in html


def test_a_form_makes_a_device(browser: Client, superuser: User) -> None:
    response = browser.post("/api/v1/devices/", {"name": "Pump 9", "timezone": "", "description": ""})
    assert (response.status_code, Device.objects.get().owner) == (201, superuser)
