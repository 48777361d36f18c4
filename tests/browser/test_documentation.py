"""Swagger UI, signed in to in each of the three ways."""

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.people import Cast
from tests.browser.steps import sign_in
from tests.service import Service


@pytest.fixture
def token(service: Service, cast: Cast) -> str:
    credentials = {"username": "alice", "password": cast.password}
    return str(httpx.post(f"{service.url}/api/v1/auth/token/", json=credentials).json()["token"])


@pytest.fixture
def key(service: Service, cast: Cast, token: str) -> str:
    headers = {"Authorization": f"Token {token}"}
    return str(httpx.post(f"{service.url}/api/v1/devices/{cast.pump}/keys/", headers=headers).json()["key"])


def test_a_token_is_sent_once_it_is_entered(page: Page, cast: Cast, token: str) -> None:
    page.goto("/docs")
    authorize(page, "token", f"Token {token}")
    assert answer(page, "devices_list") == "200"
    assert answer(page, "devices_keys_create", device_id=cast.pump) == "201"


def test_a_device_key_is_sent_once_it_is_entered(page: Page, cast: Cast, key: str) -> None:
    page.goto("/docs")
    authorize(page, "deviceKey", f"Device {key}")
    assert answer(page, "devices_latest_retrieve", id=cast.pump) == "200"


def test_a_session_reads_and_writes_without_more(page: Page, cast: Cast) -> None:
    page.goto("/sign-in/")
    sign_in(page, "alice", cast.password)
    expect(page.get_by_role("heading", name="Your devices")).to_be_visible()
    page.goto("/docs")
    assert answer(page, "devices_list") == "200"
    assert answer(page, "devices_keys_create", device_id=cast.pump) == "201"


def authorize(page: Page, scheme: str, value: str) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    box = page.locator(".auth-container", has=page.locator("h4 code", has_text=scheme))
    box.locator("input").fill(value)
    box.locator("button.authorize").click()
    page.locator(".modal-ux button.close-modal").click()


def answer(page: Page, operation: str, **parameters: int) -> str:
    """The status of the answer to an operation, tried out with these parameters."""
    block: Locator = page.locator(f"[id$='-{operation}']")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name, value in parameters.items():
        block.locator(f"tr[data-param-name='{name}'] input").fill(str(value))
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response .response-col_status").inner_text().split()[0]
