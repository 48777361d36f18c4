"""Real Chromium against the real service: people's ways through the pages.

`service` is gunicorn with the cast of `people`; `page` is a browser of its own for each test, which fails the test if a
request leaves the machine or the console has an error.

All are of this package alone: Playwright keeps an event loop in its thread, and Django's ORM refuses to work beside it.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.chromium import CHROMIUM_FLAGS, chromium
from tests.browser.people import Cast, create_cast
from tests.once import once
from tests.service import Service, serving


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In one go, wherever chance has put them: each time that the package is left, its service and browser end."""
    items.sort(key=_is_of_this_package)
    for item in filter(_is_of_this_package, items):
        item.add_marker(once)


def _is_of_this_package(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = _chromium_or_skip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service() -> Iterator[Service]:
    _chromium_or_skip()  # nothing is started for tests that will be skipped
    with serving(GUNICORN_CMD_ARGS="--workers 1", FAILURE_LIMIT="5") as service:
        yield service


@pytest.fixture(scope="package")
def cast(service: Service) -> Cast:
    return create_cast(service, secrets.token_urlsafe(12))


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """A page with cookies of its own. Paths are the service's: `page.goto("/")`."""
    requested: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(base_url=service.url, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    context.on("request", lambda request: requested.append(request.url))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = context.new_page()
    page.on("console", lambda message: complaints.extend(_complaint(message, page)))
    yield page
    context.close()
    assert [url for url in requested if not _is_ours(url, service)] == []
    assert complaints == []


def _chromium_or_skip() -> str:
    """The path of the program. Where there is none, the tests are skipped, or fail with `REQUIRE_SERVICES=1`."""
    found = chromium()
    if found is not None:
        return found
    message = "NOT TESTED in a browser: there is no Chromium (Debian: apt-get install chromium)"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def _is_ours(url: str, service: Service) -> bool:
    return url.startswith((f"{service.url}/", "data:", "blob:")) or urlsplit(url).scheme == "about"


def _complaint(message: ConsoleMessage, page: Page) -> Iterator[str]:
    """An error or a warning of the console, but not that the page itself is a 404 or the like, which a test knows."""
    is_its_status = message.text.startswith("Failed to load resource") and message.location["url"] == page.url
    if message.type in ("error", "warning") and not is_its_status:
        yield f"{message.text} ({message.location['url']})"
