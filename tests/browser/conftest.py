"""Real Chromium against the real service: people's ways through the pages.

`service` is gunicorn with alice, who owns two pumps, bob, who owns a mill, and root, a superuser; `page` is a browser
of its own for each test, which fails the test if a request leaves the machine or the console has an error.

All are of this package alone: Playwright keeps an event loop in its thread, and Django's ORM refuses to work beside it.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.service import Service, manage, serving

CHROMIUM_FLAGS = [
    "--no-sandbox",  # tests may run as root, for whom Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever it wants to reach by itself
]
CREATE_CAST = """
import json, math, sys
from datetime import timedelta
from django.utils import timezone
from devices import ingest
from devices.columns import Columns
from devices.models import Device
from devices.rows import Row
from users.models import User
password = {password!r}
alice, bob = (User.objects.create_user(name, password=password) for name in ("alice", "bob"))
User.objects.create_superuser("root", password=password)
pump = Device.objects.create(owner=alice, name="Pump 1", timezone="Europe/Berlin", expected_interval=10)
others = Device.objects.create(owner=alice, name="Pump 2"), Device.objects.create(owner=bob, name="Mill 1")
now = timezone.now().replace(microsecond=0)
times = [now - timedelta(seconds=10 * step) for step in range(8640)]
rows = [Row(pump.pk, time, math.sin(n / 700) / 2, math.cos(n / 60) / 9, 1 + (n * 7919) % 101 / 999)
        for n, time in enumerate(times)]
ingest.store(Columns.of_rows(rows))
print(json.dumps([pump.pk, *(device.pk for device in others)]))
"""


@dataclass(frozen=True)
class Cast:
    """Who is there; all have the same password. Alice's pump has a reading each ten seconds of the last day."""

    password: str
    pump: int
    empty_pump: int
    bobs_mill: int


def chromium() -> str:
    """The path of the program. Where there is none, the tests are skipped, or fail with `REQUIRE_SERVICES=1`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        message = "NOT TESTED in a browser: there is no Chromium (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(message)
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service() -> Iterator[Service]:
    chromium()  # nothing is started for tests that will be skipped
    with serving() as service:
        yield service


@pytest.fixture(scope="package")
def cast(service: Service) -> Cast:
    password = secrets.token_urlsafe(12)
    script = CREATE_CAST.format(password=password)
    return Cast(password, *json.loads(manage(service.environment, "shell", "--verbosity", "0", "-c", script)))


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


def _is_ours(url: str, service: Service) -> bool:
    return url.startswith((f"{service.url}/", "data:", "blob:")) or urlsplit(url).scheme == "about"


def _complaint(message: ConsoleMessage, page: Page) -> Iterator[str]:
    """An error or a warning of the console, but not that the page itself is a 404 or the like, which a test knows."""
    is_its_status = message.text.startswith("Failed to load resource") and message.location["url"] == page.url
    if message.type in ("error", "warning") and not is_its_status:
        yield f"{message.text} ({message.location['url']})"
