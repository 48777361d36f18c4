"""The ways of people who own devices, in a real browser."""

import csv
import io
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.people import Cast
from tests.browser.steps import sign_in
from tests.service import Service, manage

NEW_READING = """
from django.utils import timezone
from devices import ingest
from devices.columns import Columns
from devices.rows import Row
ingest.store(Columns.of_rows([Row({device}, timezone.now(), 98765.5, 0.0, 1.0)]))
"""


def test_an_owner_signs_in_finds_a_device_and_sees_its_curve(page: Page, cast: Cast) -> None:
    page.goto("/")
    sign_in(page, "alice", cast.password)
    expect(page.get_by_role("heading", name="Your devices")).to_be_visible()
    page.get_by_label("Part of the name").fill("ump 1")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("link", name="Pump 2")).to_have_count(0)
    page.get_by_role("link", name="Pump 1").click()
    expect(page.get_by_role("heading", name="Pump 1")).to_be_visible()
    for axis in "xyz":
        expect(page.get_by_role("img", name=f"{axis}: from")).to_be_visible()
    assert page.get_by_role("link", name="Admin").count() == 0
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_owner_changes_the_window_and_downloads_what_is_seen(page: Page, cast: Cast) -> None:
    page.goto(f"/devices/{cast.pump}/")
    sign_in(page, "alice", cast.password)
    page.get_by_role("link", name="1 hour").click()
    expect(page.get_by_role("link", name="1 hour")).to_have_attribute("aria-current", "true")
    page.get_by_text("From, until, time zone").click()
    begin = page.get_by_label("From", exact=True).input_value()
    page.get_by_label("Until").fill(begin[:-5] + "59:59")
    page.get_by_label("Time zone").select_option("Asia/Kathmandu")
    page.get_by_label("From", exact=True).fill(begin[:10] + "T00:00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("columnheader", name="Recorded at, Asia/Kathmandu")).to_be_visible()
    seen = re.search(r"(\d+) readings?,", page.locator("main").inner_text())
    assert seen
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of this window").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert len(rows) == int(seen[1]) > 0


def test_a_new_reading_appears_while_the_page_is_open_unless_it_is_paused(
    page: Page, service: Service, cast: Cast
) -> None:
    page.clock.install()
    page.goto(f"/devices/{cast.empty_pump}/?span=hour")
    sign_in(page, "alice", cast.password)
    expect(page.get_by_text("No readings in this window.")).to_be_visible()
    page.get_by_role("button", name="Pause updates").click()
    manage(service.environment, "shell", "--verbosity", "0", "-c", NEW_READING.format(device=cast.empty_pump))
    page.clock.run_for(30_000)
    expect(page.get_by_text("No readings in this window.")).to_be_visible()
    page.get_by_role("button", name="Pause updates").click()
    page.clock.run_for(30_000)
    expect(page.get_by_role("cell", name="98765.5").first).to_be_visible()


def test_an_update_takes_nothing_out_of_the_hands_of_who_uses_the_keyboard(page: Page, cast: Cast) -> None:
    page.clock.install()
    page.goto(f"/devices/{cast.pump}/?span=hour")
    sign_in(page, "alice", cast.password)
    with page.expect_response("**/now/**"):
        page.clock.run_for(30_000)
    page.get_by_role("link", name="Older readings").focus()
    page.clock.run_for(60_000)
    expect(page.get_by_role("link", name="Older readings")).to_be_focused()


def test_an_open_page_leads_to_the_sign_in_when_the_session_is_over(page: Page, cast: Cast) -> None:
    page.clock.install()
    page.goto(f"/devices/{cast.pump}/?span=hour")
    sign_in(page, "alice", cast.password)
    expect(page.get_by_role("button", name="Pause updates")).to_be_visible()  # by its script
    page.context.clear_cookies()
    page.clock.run_for(30_000)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, "alice", cast.password)
    expect(page).to_have_url(re.compile(rf"/devices/{cast.pump}/\?span=hour"))


def test_the_keyboard_alone_is_enough(page: Page, cast: Cast) -> None:
    page.goto("/sign-in/")
    sign_in(page, "alice", cast.password)
    expect(page.get_by_role("heading", name="Your devices")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Part of the name")).to_be_focused()
    page.keyboard.type("pump 1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("search=pump"))
    page.get_by_role("link", name="Pump 1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Pump 1")).to_be_visible()
    page.get_by_role("link", name="7 days").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("span=week"))


def test_a_phone_shows_a_page_without_scrolling_sideways(page: Page, cast: Cast) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/devices/")
    sign_in(page, "alice", cast.password)
    for path in ("/devices/", f"/devices/{cast.pump}/", f"/devices/{cast.pump}/?span=hour&table"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_stranger_is_refused(page: Page, cast: Cast) -> None:
    page.goto("/sign-in/")
    sign_in(page, "bob", cast.password)
    expect(page.get_by_role("link", name="Mill 1")).to_be_visible()
    for path in (f"/devices/{cast.pump}/", f"/devices/{cast.pump}/now/"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404
        assert "Pump" not in page.content()


def test_a_wrong_password_is_told_and_at_last_limited(page: Page, cast: Cast) -> None:
    page.goto("/sign-in/")
    sign_in(page, "carol", "wrong")
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    for _ in range(5):
        sign_in(page, "carol", "wrong")
    expect(page.get_by_text("Too many wrong credentials")).to_be_visible()
