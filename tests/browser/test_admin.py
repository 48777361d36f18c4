"""The ways of people who look after devices, in a real browser."""

import re

import httpx
from playwright.sync_api import Page, expect

from tests.browser.people import Cast
from tests.service import Service


def enter(page: Page, cast: Cast) -> None:
    """Through the admin's own form."""
    page.goto("/admin/")
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password").fill(cast.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="At a glance")).to_be_visible()


def test_staff_find_a_device_rotate_its_key_and_the_new_one_is_good(page: Page, service: Service, cast: Cast) -> None:
    enter(page, cast)
    page.goto("/admin/devices/device/")
    page.get_by_role("textbox", name="Type to search").fill("mill")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Pump 1")).to_have_count(0)
    page.get_by_role("link", name="Mill 1").click()
    page.get_by_role("button", name="Rotate the keys").click()
    key = page.get_by_text("shown this once").locator("code").inner_text()
    answer = httpx.get(
        f"{service.url}/api/v1/devices/{cast.bobs_mill}/", headers={"Authorization": f"Device {key}"}, timeout=30
    )
    assert (answer.status_code, answer.json()["name"]) == (200, "Mill 1")
    page.get_by_role("link", name="Mill 1").click()
    expect(page.get_by_role("heading", name="Keys", exact=True).first).to_be_visible()
    assert key.partition(".")[2] not in page.content()


def test_staff_see_the_curve_of_a_device_over_another_window(page: Page, cast: Cast) -> None:
    enter(page, cast)
    page.goto(f"/admin/devices/device/{cast.pump}/change/")
    for axis in "xyz":
        expect(page.get_by_role("img", name=f"{axis}: from")).to_be_visible()
    page.get_by_role("link", name="1 hour").click()
    expect(page).to_have_url(re.compile(r"/change/\?span=hour"))
    expect(page.get_by_text("Each point is a reading.")).to_be_visible()
    expect(page.get_by_label("Description")).to_have_value("Beside the boiler, on the second floor.")


def test_an_owner_who_is_not_staff_does_not_get_in(page: Page, cast: Cast) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(cast.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("for a staff account")).to_be_visible()
