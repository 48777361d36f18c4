"""The README's way from nothing to the first own reading seen in analytics, each step with its seconds.

`make newcomer` walks it in a new folder, without a virtual environment: it needs the package index, so it is no test.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.service import free_port

ROOT = Path(__file__).resolve().parent.parent
STEPS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
OURS = ("SECRET_KEY", "ENV_FILE", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "MAKEFLAGS", "MAKELEVEL")
PATIENCE = 600.0  # seconds for all of the installation


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name, timed("everything"):
        folder, port = Path(name) / "service", free_port()
        with timed("git clone"):
            subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), folder], check=True)
        with running(folder, port):
            with timed("make run: packages installed"):
                wait_for((folder / ".venv/base.stamp").exists)
            with timed("make run: database made, service ready"):
                wait_for(lambda: answers(f"http://127.0.0.1:{port}/health/ready"))
            for title, step in zip(("first own readings sent", "seen in analytics"), STEPS, strict=True):
                with timed(title):
                    print(bash(step, folder, port))


@contextmanager
def timed(title: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:7.2f} s  {title}", flush=True)


@contextmanager
def running(folder: Path, port: int) -> Iterator[None]:
    """`make run` on a port of its own, as long as the block runs."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | {"PORT": str(port)}
    process = subprocess.Popen(
        ["make", "run"], cwd=folder, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def bash(script: str, folder: Path, port: int) -> str:
    command = ["bash", "-euc", script.replace(":8000", f":{port}")]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except (URLError, ConnectionError, TimeoutError):
        return False
    return True


def wait_for(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_there():
        if time.monotonic() > deadline:
            sys.exit(f"nothing came in {PATIENCE:.0f} seconds")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
