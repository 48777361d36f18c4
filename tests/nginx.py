"""The shipped proxy configuration, run by the nginx that is installed: only addresses and folders are the test's."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.service import ROOT, free_port

CONFIGURATION = ROOT / "deploy" / "nginx.conf"


@contextmanager
def proxying(service_port: int) -> Iterator[str]:
    """The URL of a proxy before a service. Without nginx: skipped, or failed if it is required."""
    binary = nginx()
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        Path(folder).chmod(0o755)  # nginx gives up root, and goes on as nobody
        port = free_port()
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(_adapted(folder, port, service_port))
        process = subprocess.Popen(
            [binary, "-c", configuration, "-p", folder, "-e", "stderr", "-g", "daemon off;"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def nginx() -> str:
    found = installed_nginx()
    if found is None:
        missing = "nginx is not installed: apt-get install nginx-light"
        pytest.fail(missing) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(f"NOT TESTED: {missing}")
    return str(found)


def installed_nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def _adapted(folder: str, port: int, service_port: int) -> str:
    text = CONFIGURATION.read_text()
    changes = {
        "listen 8080 ": f"listen 127.0.0.1:{port} ",
        "server web:8000 ": f"server 127.0.0.1:{service_port} ",
        " /tmp/": f" {folder}/",
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _wait(url: str) -> None:
    """Until it answers, whatever: the service behind may be away."""
    deadline = time.monotonic() + 20
    while True:
        try:
            urlopen(f"{url}/metrics", timeout=5).close()
        except URLError as error:
            if getattr(error, "code", None) == 404:
                return
        assert time.monotonic() < deadline, "nginx does not answer"
        time.sleep(0.05)
