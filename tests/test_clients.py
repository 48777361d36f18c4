"""Clients generated from schema.yaml: they compile strictly, and do their example against gunicorn on PostgreSQL."""

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from tests.service import Service, manage, serving

ROOT: Path = settings.BASE_DIR
CLIENTS = ROOT / "clients"
BIN = Path(sys.executable).parent
CREATE_USER = """
from users.models import User
user = User.objects.create_user("{username}", password="{password}")
print(user.pk)
"""
# One database is enough for what is generated: nothing in it knows of the service's.
pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="done in the run on PostgreSQL")


def needed(program: str) -> str:
    """The path of a program that does not come with the requirements. Where there is none: skipped, or failed."""
    if found := shutil.which(program):
        return found
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"{program} is not installed")
    pytest.skip(f"NOT TESTED: {program} is not installed")


def run(*command: str | Path, **environment: str) -> str:
    """What a command prints; its errors are the test's."""
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def node_modules() -> None:
    """What npm installs into the folder of the clients; by one of the test processes, which share it."""
    needed("node")
    needed("npm")
    with (Path(tempfile.gettempdir()) / "device-monitoring-npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("make", "clients/node_modules/.package-lock.json")


@pytest.fixture(scope="module")
def generated(node_modules: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make clients` makes, beside the examples, in a folder of its own."""
    folder = tmp_path_factory.mktemp("clients")
    for name in ("example.py", "example.ts", "second.py", "tsconfig.json", "package.json"):
        shutil.copy(CLIENTS / name, folder)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    run("make", "clients", f"GENERATED={folder / 'generated'}")
    return folder


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture
def environment(service: Service) -> dict[str, str]:
    """Where the service is, and somebody who may sign in."""
    username, password = secrets.token_hex(8), secrets.token_urlsafe(20)
    user_id = manage(
        service.environment, "shell", "--verbosity", "0", "-c",
        CREATE_USER.format(username=username, password=password),
    )  # fmt: skip
    return {
        "SERVICE_URL": service.url,
        "SERVICE_USERNAME": username,
        "SERVICE_PASSWORD": password,
        "USER_ID": user_id.strip(),
    }


def test_the_python_client_and_its_example_are_typed_strictly(generated: Path) -> None:
    package = generated / "generated/python/device_monitoring"
    run(
        BIN / "mypy", "--strict", "--config-file=", "--cache-dir", generated / "mypy",
        package, generated / "example.py", MYPYPATH=str(package.parent),
    )  # fmt: skip


def test_the_python_client_does_the_example(generated: Path, environment: dict[str, str]) -> None:
    printed = run(sys.executable, generated / "example.py", PYTHONPATH=f"{generated}/generated/python", **environment)
    assert printed.splitlines() == [
        f"created: {environment['USER_ID']} True",
        "sent: 250 249 1",
        "paged: 250",
        "analytics: 100 49.5 98.0",
        "analysis: succeeded 250 249.0",
        "problem: 400 /x too_large",
    ]


def test_the_typescript_client_compiles_strictly_and_does_the_example(
    generated: Path, environment: dict[str, str]
) -> None:
    run(generated / "node_modules/.bin/tsc", "--project", generated)
    printed = run(needed("node"), generated / "generated/javascript/example.js", **environment)
    assert printed.splitlines() == [
        f"created: {environment['USER_ID']} true",
        "sent: 250 249 1",
        "paged: 250",
        "analytics: 100 49.5 98",
        "analysis: succeeded 250 249",
        "problem: 400 /x too_large",
    ]


def test_a_second_generator_makes_a_client_that_does_the_main_calls(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    needed("java")
    run(
        BIN / "openapi-generator-cli", "generate", "--input-spec", "schema.yaml", "--generator-name", "python",
        "--package-name", "second_client", "--output", tmp_path,
    )  # fmt: skip
    printed = run(sys.executable, CLIENTS / "second.py", PYTHONPATH=str(tmp_path), **environment)
    assert printed.splitlines() == [
        f"created: {environment['USER_ID']} True",
        "sent: 250 249 1",
        "listed: 100 True",
        "analytics: 100 49.5",
        "analysis: succeeded 250",
        "problem: 400 /percentiles invalid_percentile",
    ]
