"""axe-core finds nothing on the owners' pages that keeps people with assistive technology out."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.people import Cast
from tests.browser.steps import sign_in

SERIOUS = {"serious", "critical"}


def paths(cast: Cast) -> list[str]:
    """Each page, and what it may show; the table of few points, as each of its cells is looked at."""
    lately = f"{datetime.now(UTC) - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"
    pages = ["", "?span=all", f"?start_time={lately}&table", "?start_time=yesterday"]
    devices = [f"/devices/{cast.pump}/{query}" for query in pages]
    return ["/devices/", "/devices/?search=nothing", *devices, f"/devices/{cast.empty_pump}/"]


def serious_faults(page: Page) -> list[tuple[str, str, list[str]]]:
    """What axe-core finds, with where: all of its rules for WCAG and for good practice."""
    violations = Axe().run(page).response["violations"]
    found = [fault for fault in violations if fault["impact"] in SERIOUS]
    return [(fault["id"], fault["help"], [node["html"] for node in fault["nodes"]]) for fault in found]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_no_page_has_a_serious_fault(page: Page, cast: Cast, scheme: Literal["light", "dark"], width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/sign-in/")
    assert serious_faults(page) == []
    sign_in(page, "alice", "wrong")
    assert serious_faults(page) == []
    sign_in(page, "alice", cast.password)
    expect(page.get_by_role("heading", name="Your devices")).to_be_visible()
    for path in paths(cast):
        page.goto(path)
        assert serious_faults(page) == [], path
