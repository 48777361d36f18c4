"""PostgreSQL as it comes, durable, and the service on it, for as long as a benchmark lasts."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import django

from tests.postgresql import Cluster
from tests.service import free_port


@contextmanager
def postgresql() -> Iterator[None]:
    """Django set up in this process on a fresh, migrated database in a cluster of its own."""
    cluster = Cluster(durable=True)
    try:
        os.environ |= {
            "ENV_FILE": "",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": cluster.url,
            "DJANGO_SETTINGS_MODULE": "bench.settings",
        }
        django.setup()
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True)
        yield
    finally:
        cluster.stop()


@contextmanager
def gunicorn() -> Iterator[tuple[str, int]]:
    """The service on a free port; its address."""
    address = "127.0.0.1", free_port()
    command = [sys.executable, "-m", "gunicorn", "config.wsgi", "--log-level", "warning"]
    process = subprocess.Popen(command, env=os.environ | {"PORT": str(address[1])}, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{address[1]}/health/ready")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def descendants(process_id: int) -> list[int]:
    """The processes that this one has started, and these, and so on."""
    children = [int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
    return [*children, *(each for child in children for each in descendants(child))]


def peak_memory(process_id: int) -> float:
    """The most that a process has had in memory so far, in MiB; the system's own count begins with its parent's."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _wait(url: str) -> None:
    for _ in range(100):
        try:
            urlopen(url, timeout=5).close()
            return
        except (URLError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError(url)
