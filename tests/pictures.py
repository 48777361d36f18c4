"""The pictures of `docs/pictures`: `python -m tests.pictures`, with the tests' own service and Chromium.

Light and dark, on a wide screen and on a phone, each page as it is for somebody who has a day of readings.
"""

import secrets
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import CHROMIUM_FLAGS, chromium
from tests.browser.people import Cast, create_cast
from tests.browser.steps import sign_in
from tests.service import ROOT, Service, manage, serving

FOLDER = ROOT / "docs" / "pictures"
WIDE, HALF, LOW, PHONE = (1100, 1060), (1100, 760), (1100, 360), (390, 980)
# The service has counted the hours that are over before there was anything in them.
REFRESH = """
from django.utils import timezone
from devices import figures
from devices.models import HourlyCount
HourlyCount.objects.all().delete()
figures.refresh(timezone.now())
"""


class Picture(NamedTuple):
    """A page, as somebody sees it."""

    name: str
    user: str
    path: str
    scheme: Literal["light", "dark"]
    size: tuple[int, int]


def pictures(cast: Cast) -> list[Picture]:
    device, in_admin = f"/devices/{cast.pump}/?span=day", f"/admin/devices/device/{cast.pump}/change/?span=day"
    return [
        Picture("start-light", "root", "/admin/", "light", HALF),
        Picture("start-dark", "root", "/admin/", "dark", HALF),
        Picture("admin-device-light", "root", in_admin, "light", WIDE),
        Picture("admin-device-dark", "root", in_admin, "dark", WIDE),
        Picture("admin-device-phone", "root", in_admin, "light", PHONE),
        Picture("devices-light", "alice", "/devices/", "light", LOW),
        Picture("device-light", "alice", device, "light", WIDE),
        Picture("device-dark", "alice", device, "dark", WIDE),
        Picture("device-phone-light", "alice", device, "light", PHONE),
        Picture("device-phone-dark", "alice", device, "dark", PHONE),
    ]


def take(browser: Browser, service: Service, cast: Cast, picture: Picture) -> Path:
    """One file of `docs/pictures`."""
    width, height = picture.size
    context = browser.new_context(
        base_url=service.url, color_scheme=picture.scheme, viewport={"width": width, "height": height}
    )
    page = context.new_page()
    page.goto("/sign-in/")
    sign_in(page, picture.user, cast.password)
    page.wait_for_url("**/devices/")
    page.goto(picture.path, wait_until="networkidle")
    path = FOLDER / f"{picture.name}.png"
    page.screenshot(path=path, animations="disabled")
    context.close()
    return path


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    program = chromium()
    if program is None:
        sys.exit("There is no Chromium; on Debian: apt-get install chromium")
    with serving() as service, sync_playwright() as playwright:
        cast = create_cast(service, secrets.token_urlsafe(12))
        manage(service.environment, "shell", "--verbosity", "0", "-c", REFRESH)
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        for picture in pictures(cast):
            path = take(browser, service, cast, picture)
            print(path.relative_to(ROOT), path.stat().st_size // 1024, "KiB")
        browser.close()


if __name__ == "__main__":
    main()
