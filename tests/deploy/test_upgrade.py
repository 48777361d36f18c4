"""Releases change while readings come in: a stop, a rolling restart, and the next release's schema under this one."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests import outages
from tests.bodies import fields
from tests.nginx import proxying
from tests.once import once
from tests.outages import Answer, Door, stored_by, wait_until, writing
from tests.service import ROOT, Account, Service, free_port, manage, serving

NEXT_RELEASE = '''
from django.db import migrations, models


class Migration(migrations.Migration):
    """What docs/operation.md lets a release do to tables that another one writes to."""

    dependencies = [("devices", "{last}")]
    operations = [
        migrations.AddField("device", "firmware", models.CharField(max_length=50, null=True)),
        migrations.AddField("devicestate", "opened_at", models.DateTimeField(null=True)),
        migrations.CreateModel("Batch", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddIndex("device", models.Index(fields=["created_at"], name="device_by_creation")),
    ]
'''


def batch(account: Account, number: int) -> Door:
    headers = {"Authorization": f"Token {account.token}", "Content-Type": "application/json"}
    body = json.dumps([fields(second, x=float(number)) for second in range(2000)]).encode()
    return Door("POST", f"/api/v1/devices/{account.device_id}/readings/", headers, body)


# SIGTERM


@contextmanager
def begun(service: Service, door: Door) -> Iterator[socket.socket]:
    """A request that a thread of the service has taken up, and whose body it waits for."""
    head = f"{door.method} {door.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
    fields = {**door.headers, "Content-Length": str(len(door.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(f"{head}{lines}\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        yield connection


def finished(connection: socket.socket, door: Door) -> int:
    """The status of the answer, once the body is sent. The connection may live on."""
    connection.sendall(door.body)
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def test_what_is_under_way_at_a_sigterm_is_answered_and_stored() -> None:
    with serving() as service, ExitStack() as stack:
        account = service.create_account()
        doors = [batch(account, number) for number in range(4)]  # one worker may get all: it has four threads
        connections = [stack.enter_context(begun(service, door)) for door in doors]
        service.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert service.process.poll() is None, "it did not wait"
        with ThreadPoolExecutor(4) as executor:
            statuses = list(executor.map(finished, connections, doors))
        assert statuses == [200] * 4
        assert service.process.wait(timeout=60) == 0
        count = "from devices.models import Reading; print(Reading.objects.count())"
        assert int(manage(service.environment, "shell", "--verbosity", "0", "-c", count)) == 8_000


@once
def test_a_rolling_restart_behind_the_proxy_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers wait while the new workers start, which takes as long as the machine takes."""
    monkeypatch.setattr(outages, "BOUND", 60)
    with serving() as service, proxying(service.port) as url:
        behind = replace(service, port=int(url.rsplit(":", 1)[1]))
        with writing(behind, writers=3, must_be_refused=False) as written:
            for _ in range(3):
                old = set(service.workers())
                service.process.send_signal(signal.SIGHUP)
                wait_until(lambda old=old: not old & set(service.workers()), 60)  # type: ignore[misc]
                so_far = len(written.acknowledged())
                wait_until(lambda so_far=so_far: len(written.acknowledged()) > so_far + 100, 60)  # type: ignore[misc]
        assert [journal.refused for journal in written.journals] == [0, 0, 0]


# The next release


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """This one, with one more migration."""
    for name in ("config", "users", "devices", "analytics"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    migrations = tmp_path / "devices" / "migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / "9999_next_release.py").write_text(NEXT_RELEASE.replace("{last}", last))
    return tmp_path


@contextmanager
def serving_beside(service: Service, folder: Path) -> Iterator[Service]:
    """Another release on the same database."""
    port = free_port()
    environment = service.environment | {"PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "config.wsgi"], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield Service(process, port, environment, service.log)
    finally:
        process.terminate()
        process.wait(timeout=60)


def readiness(service: Service) -> Answer | None:
    with suppress(OSError):
        return Door("GET", "/health/ready", {}).ask(service)
    return None


@once
def test_this_release_serves_on_the_next_ones_schema_and_beside_it(next_release: Path) -> None:
    with serving() as old, serving_beside(old, next_release) as new:
        wait_until(lambda: readiness(new) is not None, 60)
        before = readiness(new)
        assert before is not None
        assert (before.status, json.loads(before.body)["migrations"]) == (503, "missing")
        with writing(old, must_be_refused=False) as written:
            migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            subprocess.run(migrate, cwd=next_release, env=old.environment, check=True, timeout=120)
            new.wait_until_ready()
            so_far = len(written.acknowledged())
            wait_until(lambda: len(written.acknowledged()) > so_far + 100, 60)
            with writing(new, must_be_refused=False):
                after = readiness(old)
                assert after is not None
                assert after.status == 200
                assert batch(old.create_account(), 1).ask(old).status == 200
            assert [journal.refused for journal in written.journals] == [0, 0]
        assert stored_by(new, written.account) == written.acknowledged()
