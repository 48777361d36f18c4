"""The commands of docs/operation.md, word for word: a backup while readings come in, and a restore elsewhere."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.helpers import fields
from tests.outages import Door, Writing, stored_by, wait_until, writing
from tests.postgresql import programs
from tests.service import ROOT, Service, manage, serving

IS_POSTGRESQL = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
SECTION = (ROOT / "docs" / "operation.md").read_text().partition("## Backup and restore")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
READY = "from analytics.models import Rollup; print(Rollup.objects.filter(status=Rollup.Status.READY).count())"


def test_each_database_has_one_command_for_backup_and_one_for_restore() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["pg_dump", "pg_restore", "python", "python"]
    assert all(command.count("\n") == 1 for command in COMMANDS)


def done(command: str, folder: Path, database_url: str) -> None:
    path = f"{programs() if IS_POSTGRESQL else ''}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "DATABASE_URL": database_url}
    subprocess.run(["bash", "-euc", command], cwd=folder, env=environment, check=True, timeout=120)


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The URL of a database elsewhere, for a restore."""
    if not IS_POSTGRESQL:
        (folder / "data").mkdir(parents=True)
        yield f"sqlite:///{folder}/data/db.sqlite3"
        return
    maintenance, name = os.environ["DATABASE_URL"], f"restored_{secrets.token_hex(8)}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{maintenance.rsplit('/', 1)[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def building(service: Service) -> Iterator[None]:
    """Rollups are being built all the while, and made stale by the writers."""
    command = [sys.executable, "manage.py", "rollup", "--every", "0.2"]
    with subprocess.Popen(command, cwd=ROOT, env=service.environment, stderr=subprocess.DEVNULL) as builder:
        try:
            yield
        finally:
            builder.kill()


def ready_rollups(service: Service) -> int:
    return int(manage(service.environment, "shell", "--verbosity", "0", "-c", READY))


def test_a_backup_while_readings_come_in_is_whole_and_its_rollups_are_right(tmp_path: Path) -> None:
    backup, restore = COMMANDS[:2] if IS_POSTGRESQL else COMMANDS[2:]
    here, there = tmp_path / "here", tmp_path / "there"
    with empty_database(here) as old, empty_database(there) as new:
        here.mkdir(exist_ok=True)
        there.mkdir(exist_ok=True)
        written, before = backed_up_under_load(backup, here, old)
        for file in here.glob("backup.*"):
            file.rename(there / file.name)
        done(restore, there, new)
        with serving(DATABASE_URL=new) as restored:
            manage(restored.environment, "verify_rollups", "--verbosity", "0")
            found = set(stored_by(restored, written.account))
            assert ready_rollups(restored) > 0
    assert set(before) <= found <= set(written.acknowledged())
    assert len(found) < len(written.acknowledged()), "nothing was written meanwhile"


def backed_up_under_load(command: str, folder: Path, database_url: str) -> tuple[Writing, list[str]]:
    """Who wrote, and what they had been told of when the backup began."""
    with serving(DATABASE_URL=database_url) as service:
        post_history(service)  # of another device: the rollups of one that is written to are stale most of the time
        with building(service), writing(service, must_be_refused=False) as written:
            wait_until(lambda: ready_rollups(service) > 0, 60)
            before = written.acknowledged()
            done(command, folder, database_url)
            wait_until(lambda: len(written.acknowledged()) > len(before) + 500, 60)
    return written, before


def post_history(service: Service) -> None:
    account = service.create_account()
    headers = {"Authorization": f"Token {account.token}", "Content-Type": "application/json"}
    body = json.dumps([fields(second, x=second) for second in range(0, 10_000, 5)]).encode()
    answer = Door("POST", f"/api/v1/devices/{account.device_id}/readings/", headers, body).ask(service)
    assert answer.status == 200, answer


@pytest.mark.skipif(IS_POSTGRESQL, reason="of SQLite")
def test_a_restore_replaces_what_an_sqlite_file_had_and_its_log(tmp_path: Path) -> None:
    with empty_database(tmp_path) as url, serving(DATABASE_URL=url) as service:
        account = service.create_account()
        done(COMMANDS[2], tmp_path, url)
        service.create_account()
        service.process.kill()  # leaves its log behind
        service.process.wait()
        done(COMMANDS[3], tmp_path, url)
        count = "from users.models import User; print(User.objects.count())"
        assert (int(manage(service.environment, "shell", "--verbosity", "0", "-c", count)), bool(account)) == (1, True)
