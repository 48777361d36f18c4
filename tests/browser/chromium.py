"""Where Chromium is, and how it is started."""

import shutil

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


def chromium() -> str | None:
    """The path of the program, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
