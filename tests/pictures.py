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
from tests.service import ROOT, Service, serving

FOLDER = ROOT / "docs" / "pictures"
WIDE, PHONE = (1100, 1060), (390, 980)


class Picture(NamedTuple):
    """A page, as somebody sees it."""

    name: str
    user: str
    path: str
    scheme: Literal["light", "dark"]
    size: tuple[int, int]


def pictures(cast: Cast) -> list[Picture]:
    device = f"/devices/{cast.pump}/?span=day"
    return [
        Picture("devices-light", "alice", "/devices/", "light", WIDE),
        Picture("device-light", "alice", device, "light", WIDE),
        Picture("device-dark", "alice", device, "dark", WIDE),
        Picture("device-phone-light", "alice", device, "light", PHONE),
        Picture("device-phone-dark", "alice", device, "dark", PHONE),
    ]


def take(browser: Browser, service: Service, cast: Cast, picture: Picture) -> Path:
    """One file of `docs/pictures`, in a few colours: they are flat, and a repository keeps every version."""
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
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        for picture in pictures(cast):
            path = take(browser, service, cast, picture)
            print(path.relative_to(ROOT), path.stat().st_size // 1024, "KiB")
        browser.close()


if __name__ == "__main__":
    main()
