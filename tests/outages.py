"""What a service is asked while its database has a fault, and who writes to it meanwhile."""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import psycopg

from tests.bodies import fields
from tests.postgresql import Cluster
from tests.service import Account, Service, manage

# Seconds in which a fault is answered, and in which it is over when the database is back: five where nothing else runs.
BOUND = float(os.environ.get("FAULT_SECONDS", "10"))
CREATE_SESSION = """
from django.test import Client
from users.models import User
user = User.objects.filter(username="root").first() or User.objects.create_superuser("root", password="root-9-secret")
client = Client()
client.force_login(user)
print(client.cookies["sessionid"].value)
"""
LOGIN = f"username=root&password=root-9-secret&csrfmiddlewaretoken={'a' * 32}"


class CannotMount(Exception):
    """It takes root, and not every container lets its root do it."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Door:
    """A request that asks something of the database."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    def ask(self, service: Service) -> Answer:
        """Its answer, or TimeoutError when none comes within the bound."""
        begin = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=BOUND)
        try:
            connection.request(self.method, self.path, self.body, self.headers)
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            raise type(error)(f"{self.method} {self.path}: {error}") from None
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body, time.monotonic() - begin)


class Doors:
    """The ways in: what reads, what writes, and pages of the admin, each allowed to its caller."""

    def __init__(self, service: Service, account: Account) -> None:
        self.service, self.account = service, account
        session = manage(service.environment, "shell", "--verbosity", "0", "-c", CREATE_SESSION).strip()
        token, key = ({"Authorization": f"{scheme} {secret}"} for scheme, secret in
                      (("Token", account.token), ("Device", account.key)))  # fmt: skip
        browser, json_type = {"Cookie": f"sessionid={session}"}, {"Content-Type": "application/json"}
        device = f"/api/v1/devices/{account.device_id}/"
        self.batch = Door("POST", f"{device}readings/", token | json_type)
        self.batches = 0
        self.reads = [
            Door("GET", "/api/v1/devices/", token),
            Door("GET", f"{device}readings/?page_size=5", token),
            Door("GET", f"{device}readings/export/?file_format=csv&end_time=2000-01-01T00:00:00Z", token),
            Door("GET", f"{device}analytics/", token),
            Door("GET", f"{device}latest/", key),
            Door("GET", "/api/v1/users/me/", browser),
        ]
        self.writes = [
            Door("POST", f"{device}readings/", key | json_type, json.dumps(fields(0, x=0.5)).encode()),
            self.new_batch(),
            Door("POST", "/api/v1/auth/token/", json_type, b'{"username": "root", "password": "root-9-secret"}'),
            Door("PATCH", device, token | json_type, b'{"description": "patched"}'),
            Door("DELETE", f"{device}readings/?start_time=1950-01-01T00:00:00Z&end_time=1951-01-01T00:00:00Z", token),
        ]
        self.pages = [
            Door("GET", "/admin/devices/device/", browser),
            Door("POST", "/admin/login/", {"Cookie": f"csrftoken={'a' * 32}",
                 "Content-Type": "application/x-www-form-urlencoded"}, LOGIN.encode()),
        ]  # fmt: skip
        self.every = self.reads + self.writes + self.pages
        self.about_readings = self.reads[1:5] + self.writes[:2] + self.writes[4:]

    def new_batch(self) -> Door:
        """Rows that have not been sent before, and that need some room."""
        self.batches += 1
        return replace(
            self.batch, body=json.dumps([fields(second, x=-self.batches) for second in range(5_000)]).encode()
        )

    def ask(self, doors: Sequence[Door], at_once: int = 100) -> list[tuple[Door, Answer]]:
        with ThreadPoolExecutor(min(at_once, len(doors))) as executor:
            return list(zip(doors, executor.map(lambda door: door.ask(self.service), doors), strict=True))

    def assert_unavailable(self, doors: Sequence[Door], at_once: int = 100) -> None:
        """Each is answered 503 within the bound, in its form, and told when to come back."""
        for door, answer in self.ask(doors, at_once):
            where = f"{door.method} {door.path}: {answer}"
            assert answer.status == 503, where
            assert int(answer.headers["retry-after"]) > 0, where
            is_problem = answer.headers["content-type"] == "application/problem+json"
            assert is_problem == door.path.startswith("/api/"), where

    def assert_answered(self, doors: Sequence[Door]) -> None:
        failed = [(door.method, door.path, answer) for door, answer in self.ask(doors) if answer.status >= 400]
        assert not failed, failed

    def statuses(self, doors: Sequence[Door]) -> set[int]:
        return {answer.status for _, answer in self.ask(doors)}

    def status(self, path: str) -> int:
        return Door("GET", path, {}).ask(self.service).status

    def assert_answered_soon(self, doors: Sequence[Door]) -> None:
        """Each is answered within the bound from now on."""
        deadline = time.monotonic() + BOUND
        left = list(doors)
        while left:
            left = [door for door, answer in self.ask(left) if answer.status == 503]
            assert not left or time.monotonic() < deadline, f"still 503: {left}"
            time.sleep(0.1)
        assert time.monotonic() < deadline
        self.assert_answered(doors)


@dataclass
class Journal:
    """What a writer has been told of. Only what was refused with 503 is sent again."""

    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0

    def write_on(self, doors: Callable[[int], tuple[Door, list[dict[str, Any]]]], service: Service, end: Event) -> None:
        number = 0
        while not end.is_set():
            door, rows = doors(number)
            while (answer := door.ask(service)).status == 503:
                assert not end.wait(0.2), "refused to the end"
                self.refused += 1
            assert answer.status in (200, 201), answer
            self.acknowledged += rows
            number += 1
            time.sleep(0.01)


def _writer(account: Account, lane: int) -> Callable[[int], tuple[Door, list[dict[str, Any]]]]:
    """Single readings by the device's key, and batches in turn; no two the same."""
    path = f"/api/v1/devices/{account.device_id}/readings/"

    def door(number: int) -> tuple[Door, list[dict[str, Any]]]:
        rows = [fields(number, x=float(lane), y=float(row)) for row in range(1 if number % 2 else 50)]
        who = f"Device {account.key}" if number % 4 else f"Token {account.token}"
        body = rows[0] if len(rows) == 1 else rows
        return Door("POST", path, {"Authorization": who, "Content-Type": "application/json"},
                    json.dumps(body).encode()), rows  # fmt: skip

    return door


@dataclass(frozen=True)
class Writing:
    """What the writers of an account have been told of so far."""

    account: Account
    journals: list[Journal]

    def acknowledged(self) -> list[str]:
        return sorted(written_line(row) for journal in self.journals for row in list(journal.acknowledged))


@contextmanager
def writing(service: Service, writers: int = 2, *, must_be_refused: bool = True) -> Iterator[Writing]:
    """Writers at work as long as the block runs, and then what they were told of against what is stored."""
    account, end = service.create_account(), Event()
    journals = [Journal() for _ in range(writers)]
    with ThreadPoolExecutor(writers) as executor:
        futures = [
            executor.submit(journal.write_on, _writer(account, lane), service, end)
            for lane, journal in enumerate(journals)
        ]
        try:
            wait_until(lambda: all(journal.acknowledged for journal in journals))
            yield Writing(account, journals)
        finally:
            end.set()
            for future in futures:
                future.result()  # a writer that has failed says why the block did
    assert all(journal.refused for journal in journals) or not must_be_refused, "the fault went by unnoticed"
    assert stored_by(service, account) == Writing(account, journals).acknowledged()


def stored_by(service: Service, account: Account) -> list[str]:
    path = f"/api/v1/devices/{account.device_id}/readings/export/?file_format=ndjson"
    answer = Door("GET", path, {"Authorization": f"Token {account.token}"}).ask(service)
    assert answer.status == 200
    return sorted(written_line(json.loads(line)) for line in answer.body.splitlines())


def written_line(row: dict[str, Any]) -> str:
    return f"{row['recorded_at'].replace('+00:00', 'Z')} {row['x']} {row['y']} {row['z']}"


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so in {seconds} seconds"
        time.sleep(0.02)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory, of e.g. `16m`, mounted on the folder. Raises CannotMount."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False,
                             capture_output=True, text=True)  # fmt: skip
    if mounted.returncode:
        raise CannotMount(mounted.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(folder: Path, leave: int = 0) -> Iterator[None]:
    """A disk with no room but for some bytes, until the end of the block."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        with ballast.open("r+b") as file:
            file.truncate(max(0, ballast.stat().st_size - leave))
        yield
    finally:
        ballast.unlink()


# Of a plain table, and of partitions.
TABLES = (
    "SELECT CASE relkind WHEN 'r' THEN 'TABLE' ELSE 'INDEX' END, relname FROM pg_class "
    "WHERE relname ~ '^devices_reading' AND relkind IN ('r', 'i') AND relpersistence = 'p'"
)


@contextmanager
def tables_on(disk: Path, cluster: Cluster) -> Iterator[None]:
    """The readings on a disk of their own."""
    place = move_tables(disk, cluster)
    try:
        yield
    finally:
        with psycopg.connect(cluster.url, autocommit=True) as administrator:
            for kind, name in administrator.execute(TABLES).fetchall():
                administrator.execute(f"ALTER {kind} {name} SET TABLESPACE pg_default")
            administrator.execute("DROP TABLESPACE small")
        place.rmdir()


def move_tables(disk: Path, cluster: Cluster) -> Path:
    """The readings to a disk of their own, for good; returns their folder there."""
    place = disk / "tablespace"
    place.mkdir()
    open_to_others(place)
    if cluster.user:
        shutil.chown(place, cluster.user)
    with psycopg.connect(cluster.url, autocommit=True) as administrator:
        administrator.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        for kind, name in administrator.execute(TABLES).fetchall():
            administrator.execute(f"ALTER {kind} {name} SET TABLESPACE small")
    return place


def open_to_others(folder: Path) -> None:
    """Let the server's user get there."""
    for path in (folder, *folder.parents[:-2]):
        path.chmod(0o755)
