"""The service on two machines: all that they share is a PostgreSQL, a Valkey and the key that signs."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.bodies import fields
from tests.once import once
from tests.outages import LOGIN, Answer, Door, wait_until
from tests.service import Account, Service, manage, serving
from tests.valkey import valkey

pytestmark = once

SHARED = ("DATABASE_URL", "SECRET_KEY", "CACHE_URL")
CREATE_ROOT = 'from users.models import User; User.objects.create_superuser("root", password="root-9-secret")'


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Service, Service]]:
    with ExitStack() as stack:
        options = {"FAILURE_LIMIT": "3", "GUNICORN_CMD_ARGS": "--workers 1"}
        here = stack.enter_context(serving(CACHE_URL=stack.enter_context(valkey()), **options))
        yield here, stack.enter_context(serving(**{name: here.environment[name] for name in SHARED}, **options))


@pytest.fixture
def account(machines: tuple[Service, Service]) -> Account:
    return machines[0].create_account()


def ask(service: Service, method: str, path: str, who: str = "", body: Any = None, **headers: str) -> Answer:
    headers = {"Content-Type": "application/json"} | headers | ({"Authorization": who} if who else {})
    return Door(method, path, headers, b"" if body is None else json.dumps(body).encode()).ask(service)


def test_what_is_stored_here_is_read_there(machines: tuple[Service, Service], account: Account) -> None:
    here, there = machines
    path = f"/api/v1/devices/{account.device_id}/readings/"
    assert ask(here, "POST", path, f"Device {account.key}", fields()).status == 201
    assert ask(there, "POST", path, f"Device {account.key}", fields()).status == 200
    assert len(json.loads(ask(there, "GET", path, f"Token {account.token}").body)["results"]) == 1


def test_a_key_that_is_revoked_here_is_refused_there_at_its_next_request(
    machines: tuple[Service, Service], account: Account
) -> None:
    here, there = machines
    device = f"/api/v1/devices/{account.device_id}/"
    assert ask(there, "GET", device, f"Device {account.key}").status == 200
    prefix = account.key.partition(".")[0]
    assert ask(here, "DELETE", f"{device}keys/{prefix}/", f"Token {account.token}").status == 204
    assert ask(there, "GET", device, f"Device {account.key}").status == 401


def test_a_token_that_is_revoked_here_is_refused_there_at_its_next_request(
    machines: tuple[Service, Service], account: Account
) -> None:
    here, there = machines
    who = f"Token {account.token}"
    assert ask(there, "GET", "/api/v1/users/me/", who).status == 200
    assert ask(here, "DELETE", "/api/v1/auth/token/", who).status == 204
    assert ask(there, "GET", "/api/v1/users/me/", who).status == 401


def test_an_analysis_that_is_started_here_is_read_there(machines: tuple[Service, Service], account: Account) -> None:
    here, there = machines
    who = f"Token {account.token}"
    started = ask(here, "POST", f"/api/v1/devices/{account.device_id}/analyses/", who, {})
    path = f"/api/v1/analyses/{json.loads(started.body)['id']}/"
    wait_until(lambda: json.loads(ask(there, "GET", path, who).body)["status"] == "succeeded")


def test_who_signs_in_here_is_known_there(machines: tuple[Service, Service]) -> None:
    here, there = machines
    manage(here.environment, "shell", "--verbosity", "0", "-c", CREATE_ROOT)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={'a' * 32}"}
    signed_in = Door("POST", "/admin/login/", headers, LOGIN.encode()).ask(here)
    assert signed_in.status == 302
    session = signed_in.headers["set-cookie"].partition(";")[0]
    assert json.loads(ask(there, "GET", "/api/v1/users/me/", Cookie=session).body)["username"] == "root"


def test_wrong_passwords_count_together(machines: tuple[Service, Service]) -> None:
    wrong = {"username": "somebody", "password": "wrong"}
    here, there = machines
    statuses = [ask(service, "POST", "/api/v1/auth/token/", body=wrong).status for service in (here, there, here)]
    assert statuses == [400] * 3
    assert ask(there, "POST", "/api/v1/auth/token/", body=wrong).status == 429
