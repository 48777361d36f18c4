"""Clients generated from schema.yaml: they compile strictly, and do their example against gunicorn on PostgreSQL.

And those that were generated from the last release's document go on working, or the changelog says which do not.
"""

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.conf import settings

from tests.once import once
from tests.service import Service, manage, serving

ROOT: Path = settings.BASE_DIR
CLIENTS = ROOT / "clients"
BIN = Path(sys.executable).parent
CREATE_USER = """
from users.models import User
user = User.objects.create_user("{username}", password="{password}")
print(user.pk)
"""
pytestmark = once


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


def test_the_page_of_python_for_devices_delivers_what_was_measured(tmp_path: Path, service: Service) -> None:
    page = re.findall(r"```python\n(.*?)```", (ROOT / "docs/devices.md").read_text(), re.DOTALL)[0]
    (tmp_path / "device.py").write_text(page)
    (tmp_path / "main.py").write_text(
        "import device\n"
        "for n in range(2500):\n"
        "    device.measured(float(n), 0.5, 1e16 if n == 7 else 9.81)\n"
        "device.deliver()\n"
        "print(device.waiting.execute('SELECT count(*) FROM reading').fetchone()[0])\n"
    )
    account = service.create_account()
    refused, left = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, check=True, timeout=120, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"SERVICE_URL": service.url, "DEVICE": str(account.device_id), "DEVICE_KEY": account.key},
    ).stdout.splitlines()  # fmt: skip
    headers = {"Authorization": f"Token {account.token}"}
    summary = httpx.get(f"{service.url}/api/v1/devices/{account.device_id}/analytics/", headers=headers).json()
    assert ("too_large" in refused, left, summary["count"]) == (True, "0", 2499)


def breaks(before: Path, after: Path) -> dict[str, str]:
    """What would break clients: operation or schema, and what has changed of it."""
    lines = run(needed("node"), CLIENTS / "breaking.mjs", before, after).strip().splitlines()
    return {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in lines}


def test_what_breaks_clients_of_the_last_release_is_in_the_changelog(node_modules: None) -> None:
    unreleased = (ROOT / "CHANGELOG.md").read_text().split("## ")[1]
    announced = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\* Breaking: .*", unreleased, re.MULTILINE))))
    found = breaks(CLIENTS / "released.yaml", ROOT / "schema.yaml")
    silent = {subject: change for subject, change in found.items() if subject not in announced}
    assert silent == {}, "clients would break: undo it, or say `* Breaking: ` in the changelog and name it"


CHANGES: list[tuple[str, str, Callable[[dict[str, Any]], Any]]] = [
    ("a removed operation", "devices_latest_retrieve", lambda d: d["paths"].pop("/api/v1/devices/{id}/latest/")),
    ("a renamed operation", "devices_list", lambda d: _devices(d)["get"].update(operationId="all")),
    ("a removed parameter", "devices_list", lambda d: _devices(d)["get"]["parameters"].pop()),
    ("a removed status", "devices_create", lambda d: _devices(d)["post"]["responses"].pop("201")),
    ("a way of signing in", "devices_list", lambda d: _devices(d)["get"]["security"].pop()),
    ("a removed answer", "readings_create", lambda d: _receipt(d).pop("created")),
    ("a narrowed request", "devices_create", lambda d: _device(d)["properties"]["name"].update(maxLength=5)),
    ("a removed field of a request", "devices_create", lambda d: _device(d)["properties"].pop("description")),
    ("a field that is required now", "devices_create", lambda d: _device(d)["required"].append("description")),
    ("an answer's other type", "devices_keys_list", lambda d: _prefix(d).update(type="integer")),
    ("an answer that may be null", "devices_keys_list", lambda d: _prefix(d).update(nullable=True)),
    ("a removed schema", "OwnedDeviceRequest", lambda d: d["components"]["schemas"].pop("OwnedDeviceRequest")),
]


def _devices(document: dict[str, Any]) -> Any:
    return document["paths"]["/api/v1/devices/"]


def _receipt(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["Receipt"]["properties"]


def _device(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["DeviceRequest"]


def _prefix(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["DeviceKey"]["properties"]["prefix"]


@pytest.mark.parametrize(("subject", "change"), [pytest.param(*rest, id=id) for id, *rest in CHANGES])
def test_a_change_that_breaks_clients_is_found(
    node_modules: None, tmp_path: Path, subject: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    assert subject in breaks(ROOT / "schema.yaml", _document_with(change, tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: _device(d)["properties"].update(colour={"type": "string"}), id="a new optional field"),
        pytest.param(lambda d: _device(d)["properties"]["name"].update(maxLength=500), id="a widened request"),
        pytest.param(lambda d: _receipt(d).update(bytes={"type": "integer"}), id="more in an answer"),
        pytest.param(lambda d: _devices(d)["get"].update(description="Others."), id="other words"),
    ],
)
def test_a_change_that_breaks_no_client_is_not(
    node_modules: None, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    assert breaks(ROOT / "schema.yaml", _document_with(change, tmp_path)) == {}


def _document_with(change: Callable[[dict[str, Any]], Any], folder: Path) -> Path:
    document = yaml.safe_load((ROOT / "schema.yaml").read_text())
    change(document)
    (folder / "changed.yaml").write_text(yaml.safe_dump(document))
    return folder / "changed.yaml"
