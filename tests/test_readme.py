"""What the README tells a newcomer to do, done."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.conf import settings

from tests.service import free_port

README = (settings.BASE_DIR / "README.md").read_text()
STEPS = re.findall(r"```bash\n(.*?)```\n+```json\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files under version control in a folder of their own, with the virtual environment that is there."""
    folder = tmp_path_factory.mktemp("checkout")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=settings.BASE_DIR, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(settings.BASE_DIR / name, folder / name)
    (folder / ".venv").symlink_to(settings.BASE_DIR / ".venv")
    return folder


@pytest.fixture(scope="module")
def service(checkout: Path) -> Iterator[tuple[int, Path]]:
    """`make run` on a free port; its port and the file with what it printed."""
    port, log = free_port(), checkout / "log"
    with log.open("w") as output:
        process = _make_run(checkout, port, output)
        try:
            _wait(f"http://127.0.0.1:{port}/health/ready")
            yield port, log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _make_run(checkout: Path, port: int, output: IO[str]) -> "subprocess.Popen[bytes]":
    ours = ("SECRET_KEY", "ENV_FILE", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "MAKEFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {"PORT": str(port)}
    return subprocess.Popen(
        ["make", "run"], cwd=checkout, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=output, stderr=output,
    )  # fmt: skip


def _wait(url: str, seconds: int = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urlopen(url, timeout=5).close()
            return
        except (URLError, TimeoutError):  # the second: a worker that takes long to start
            assert time.monotonic() < deadline, f"{url} did not answer in {seconds} seconds"
            time.sleep(0.2)


def _bash(script: str, checkout: Path, port: int) -> str:
    return subprocess.run(
        ["bash", "-euc", script.replace(":8000", f":{port}")], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout


def test_the_readme_has_two_steps_with_answers() -> None:
    assert len(STEPS) == 2


def test_the_round_trip_answers_word_for_word(service: tuple[int, Path], checkout: Path) -> None:
    answers = [_bash(step, checkout, service[0]) for step, _ in STEPS]
    assert answers == [answer.rstrip("\n") for _, answer in STEPS]


def test_the_printed_curl_works_when_pasted(service: tuple[int, Path], checkout: Path) -> None:
    curl = re.findall(r"^  curl .*$", service[1].read_text(), re.MULTILINE)[0]
    assert '"count":86' in _bash(curl + " -s", checkout, service[0])


def test_the_credentials_are_for_their_owner_only(service: tuple[int, Path], checkout: Path) -> None:
    for name in (".env", "data/demo.env"):
        assert (checkout / name).stat().st_mode & 0o077 == 0


def test_a_second_run_keeps_the_account(service: tuple[int, Path], checkout: Path) -> None:
    again = subprocess.run(
        [".venv/bin/python", "manage.py", "create_demo"], cwd=checkout, check=True, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "PORT": str(service[0])},
    ).stdout  # fmt: skip
    assert again.strip() in service[1].read_text()
