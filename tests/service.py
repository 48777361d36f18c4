"""The service as it runs in real life: gunicorn in processes of its own, with a database of its own."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg

from tests.partitioned import PARTITIONED

ROOT = Path(__file__).resolve().parent.parent
MEDIA_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}
CREATE_ACCOUNT = """
import json, secrets
from knox.models import AuthToken
from devices.models import Device, DeviceKey
from users.models import User
user = User.objects.create_user(secrets.token_hex(8))
device = Device.objects.create(owner=user, name="Pump 1")
print(json.dumps([AuthToken.objects.create(user)[1], device.pk, DeviceKey.issue(device)[1]]))
"""


@dataclass(frozen=True)
class Account:
    """A user with one device."""

    token: str
    device_id: int
    key: str


@dataclass(frozen=True)
class Service:
    """A running service. `process` is gunicorn's master, at the head of a process group."""

    process: "subprocess.Popen[bytes]"
    port: int
    environment: dict[str, str]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def create_account(self) -> Account:
        """A new user with one new device, made behind the service's back."""
        return Account(*json.loads(manage(self.environment, "shell", "--verbosity", "0", "-c", CREATE_ACCOUNT)))

    def workers(self) -> list[int]:
        """The ids of the worker processes that are there now."""
        return children_of(self.process.pid)

    def resident_bytes(self) -> int:
        """How much memory the workers have, all together."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.workers()]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def wait_until_ready(self, seconds: int = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            assert self.process.poll() is None, f"gunicorn ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"not ready in {seconds} seconds: {self.log.read_text()}"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            urlopen(f"{self.url}/health/ready", timeout=5).close()
        except (URLError, ConnectionError, TimeoutError):
            return False
        return True


@contextmanager
def serving(**environment: str) -> Iterator[Service]:
    """A service with an empty database, as long as the block runs.

    `environment` goes before what is set, such as `GUNICORN_CMD_ARGS="--workers 1"`. The database is a new one beside
    that of DATABASE_URL on PostgreSQL, else a file; or, if `environment` has a DATABASE_URL, that one as it is.
    """
    with tempfile.TemporaryDirectory(prefix="service-") as folder, _database(Path(folder)) as database_url:
        port = free_port()
        defaults = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ENV_FILE": "",
            "DATABASE_URL": database_url,
            "PORT": str(port),
        }
        whole = os.environ | defaults | environment
        manage(whole, "migrate", "--verbosity", "0")
        if PARTITIONED and whole["DATABASE_URL"].startswith("postgresql"):
            manage(whole, "shell", "--verbosity", "0", "-c", "from tests import partitioned; partitioned.turn_over()")
        with _gunicorn(whole, Path(folder) / "log") as service:
            service.wait_until_ready()
            yield service


def manage(environment: dict[str, str], *arguments: str) -> str:
    """What a command of manage.py prints."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def encoded(rows: Sequence[dict[str, Any]], file_format: str) -> bytes:
    """A batch as `json`, `ndjson` or `csv`; the columns are those of the first row."""
    if file_format == "json":
        return json.dumps(rows).encode()
    if file_format == "ndjson":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    return "".join(line + "\n" for line in lines).encode()


@dataclass
class Worker:
    """A Celery worker with its own clock, at the head of a process group."""

    environment: dict[str, str]
    log: Path
    concurrency: int = 2

    def start(self) -> None:
        options = ["worker", "-B", "--concurrency", str(self.concurrency), "--loglevel", "WARNING"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "config", *options], cwd=ROOT, env=self.environment,
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def children(self) -> list[int]:
        """The ids of the processes that run tasks."""
        return [pid for pid in children_of(self.process.pid) if _has_a_pipe(pid)]

    def clocks(self) -> list[int]:
        """The id of the process that says when upkeep is due, unless it is dead."""
        return [pid for pid in children_of(self.process.pid) if not _has_a_pipe(pid)]

    def kill(self) -> None:
        """All of it, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        _stop(self.process)


@contextmanager
def working(service: Service, concurrency: int = 2) -> Iterator[Worker]:
    """A worker of a service that has a broker, as long as the block runs."""
    worker = Worker(service.environment, service.log.with_name("worker.log"), concurrency)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


@contextmanager
def _gunicorn(environment: dict[str, str], log: Path) -> Iterator[Service]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "config.wsgi"], cwd=ROOT, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Service(process, int(environment["PORT"]), environment, log)
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Politely, then at once; workers that outlived their master too."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """What a process and its children have used, also those that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child) for child in children_of(pid))


def _has_a_pipe(pid: int) -> bool:
    """Celery speaks with the processes of its pool through pipes, and with its clock not at all."""
    with suppress(OSError):
        return any(str(file.readlink()).startswith("pipe:") for file in Path(f"/proc/{pid}/fd").iterdir())
    return False


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    maintenance = os.environ.get("DATABASE_URL", "")
    if not maintenance.startswith("postgresql"):
        yield f"sqlite:///{folder / 'db.sqlite3'}"
        return
    name = f"service_{secrets.token_hex(8)}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{maintenance.rsplit('/', 1)[0]}/{name}"
    finally:
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
