"""What the service writes to its log: the id of the request in each line, and a secret in none."""

import http.client
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import structlog
from django.test import Client

from config import logs
from devices.views import DeviceViewSet
from tests.helpers import fields
from tests.service import Account, Service, serving
from users.models import User

PASSWORD = "Correct-Horse-77-battery"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(LOG_LEVEL="DEBUG", DEBUG="true", LOG_FORMAT="json", FAILURE_LIMIT="1000") as running:
        yield running


def lines(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log.read_text().splitlines()]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged in this process through the standard library."""
    (handler,) = [
        one for one in logging.root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    assert isinstance(handler, logging.StreamHandler)
    before, text = handler.stream, io.StringIO()
    handler.setStream(text)
    yield text
    handler.setStream(before)


# The id of a request


@pytest.mark.parametrize("path", ["/health/live", "/api/v1/nowhere/", "/nowhere", "/docs", "/static/nothing.js"])
def test_every_answer_has_an_id_of_its_own(client: Client, path: str) -> None:
    ids = [client.get(path)["X-Request-ID"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", id) for id in ids)
    assert len(set(ids)) == 2


def test_the_id_of_a_proxy_is_kept(client: Client) -> None:
    sent = "5f0c3c3e-8b1c-4d4e-9f5a-0a1b2c3d4e5f"
    assert client.get("/health/live", headers={"X-Request-ID": sent})["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "short", "a" * 129, "with space", "line\nbreak1", 'quote"quote', "ümlaut-12"])
def test_an_id_that_is_not_well_formed_is_replaced(client: Client, sent: str) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": sent})["X-Request-ID"] != sent


def test_a_thread_forgets_the_id_with_the_request(client: Client) -> None:
    client.get("/health/live")
    assert logs.current_request_id() == ""


def test_a_refused_request_has_a_line_with_its_id_and_without_its_query(service: Service) -> None:
    sent = "the-id-of-a-refused-request"
    httpx.get(f"{service.url}/api/v1/devices/?search=something", headers={"X-Request-ID": sent})
    (line,) = [line for line in lines(service) if line.get("request_id") == sent and line["event"] == "request"]
    assert {name: line[name] for name in ("method", "path", "status", "level")} == {
        "method": "GET", "path": "/api/v1/devices/", "status": 401, "level": "info",
    }  # fmt: skip
    assert "something" not in json.dumps(line)


def test_gunicorns_own_lines_are_of_the_same_form(service: Service) -> None:
    assert [line for line in lines(service) if line.get("logger") == "gunicorn.error" and line["event"]]


def test_what_gunicorn_refuses_is_a_line_without_the_id_of_another_request(service: Service) -> None:
    for _ in range(8):  # every thread has answered somebody
        httpx.get(f"{service.url}/health/live")
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.putrequest("GET", "/health/live")
    connection.putheader("Na me", "x")
    connection.endheaders()
    connection.getresponse().read()
    refused = [line for line in lines(service) if line["event"].startswith("Invalid request")]
    assert refused
    assert [line for line in refused if "request_id" in line] == []


def test_a_stream_that_breaks_off_is_in_the_log() -> None:
    def broken() -> Iterator[bytes]:
        yield b"first"
        raise ValueError("in the middle")

    with structlog.testing.capture_logs() as captured, pytest.raises(ValueError, match="in the middle"):
        list(logs._logging_failure(broken()))
    assert [line["event"] for line in captured] == ["stream broken off"]


def test_lines_are_text_where_it_is_said() -> None:
    with serving(LOG_FORMAT="text") as service:
        httpx.get(f"{service.url}/api/v1/devices/", headers={"X-Request-ID": "readable-id"})
        (line,) = [line for line in service.log.read_text().splitlines() if "readable-id" in line]
    assert re.match(r"\S+ \[info +\] request +method=GET milliseconds=\S+ path=/api/v1/devices/", line)


# Defects


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "is_problem"), [("/api/v1/devices/", True), ("/admin/login/", False)])
def test_a_defect_is_500_with_an_id_and_nothing_else(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch, path: str, is_problem: bool
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("the inside of the service")

    monkeypatch.setattr(DeviceViewSet, "get_queryset", fail)
    monkeypatch.setattr("django.contrib.admin.sites.AdminSite.login", fail)
    monkeypatch.setattr("django.contrib.admin.sites.AdminSite.each_context", fail)
    client.force_login(alice)
    client.raise_request_exception = False
    response = client.get(path)
    assert response.status_code == 500
    assert response["X-Request-ID"] in response.content.decode()
    assert "inside" not in response.content.decode()
    assert (response["Content-Type"] == "application/problem+json") is is_problem


@pytest.mark.django_db
def test_a_defect_is_in_the_log_with_its_traceback_and_the_id_of_the_answer(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def fail(view: DeviceViewSet) -> None:
        raise ValueError("the inside of the service")

    monkeypatch.setattr(DeviceViewSet, "get_queryset", fail)
    client.force_login(alice)
    client.raise_request_exception = False
    request_id = client.get("/api/v1/devices/")["X-Request-ID"]
    (line,) = [
        line for line in map(json.loads, log.getvalue().splitlines())
        if line.get("request_id") == request_id and line["level"] == "error"
    ]  # fmt: skip
    assert "ValueError: the inside of the service" in line["exception"]


# Secrets


def test_no_secret_is_in_the_log_whatever_it_is_sent_to(service: Service) -> None:
    account, other = service.create_account(), service.create_account()
    secrets = _use_every_kind_of_secret(service, account, other)
    text = service.log.read_text()
    assert len(secrets) > 10
    assert [name for name, secret in secrets.items() if secret in text] == []
    assert '"status":500' not in text


def _use_every_kind_of_secret(service: Service, account: Account, other: Account) -> dict[str, str]:
    """Good and bad ones through every kind of call; each with a name."""
    bad_key, bad_token = "0123456789ab." + "S3cret-" * 6 + "x", "f00dfeed" * 8
    credentials = {
        "key": f"Device {account.key}",
        "another's key": f"Device {other.key}",
        "bad key": f"Device {bad_key}",
        "wrong secret": f"Device {account.key.partition('.')[0]}.{'wrong-Secret' * 3}",
        "key that is no ASCII": f"Device {other.key}ü",
        "token": f"Token {account.token}",
        "bad token": f"Token {bad_token}",
        "token of another scheme": f"Bearer {other.token}",
        "basic": "Basic YWxpY2U6Q29ycmVjdC1Ib3JzZQ==",
    }
    device = f"/api/v1/devices/{account.device_id}"
    for authorization in credentials.values():
        _call_everything(service, device, authorization)
    cookies = _passwords(service, account)
    _raw(service, f"Authorization Device {account.key}")
    return {name: text.partition(" ")[2] for name, text in credentials.items()} | {"password": PASSWORD, **cookies}


def _call_everything(service: Service, device: str, authorization: str) -> None:
    calls = [
        ("GET", "/api/v1/devices/", None), ("POST", "/api/v1/devices/", b'{"name": "' + authorization.encode() + b'"}'),
        ("GET", f"{device}/", None), ("GET", f"{device}/analytics/", None), ("GET", f"{device}/readings/export/", None),
        ("POST", f"{device}/readings/", json.dumps(fields()).encode()), ("POST", f"{device}/readings/", b"[{]"),
        ("POST", f"{device}/readings/", json.dumps([fields()]).encode()), ("POST", "/api/v1/readings/", b"[]"),
        ("DELETE", "/api/v1/nowhere/", None), ("GET", "/admin/", None), ("PUT", f"{device}/readings/", b"{}"),
        ("GET", f"/api/v1/devices/?search={quote(authorization)}", None),
        ("GET", "/api/v1/schema/", None), ("DELETE", f"{device}/keys/0123456789ab/", None),
    ]  # fmt: skip
    with httpx.Client(base_url=service.url) as client:
        for method, path, body in calls:
            headers = {b"Authorization": authorization.encode(), b"Content-Type": b"application/json"}
            client.request(method, path, content=body, headers=headers)
        client.get("/api/v1/devices/", headers={b"Authorization": authorization.encode(), b"Host": b"not.ours.example"})


def _passwords(service: Service, account: Account) -> dict[str, str]:
    """The admin's login, a token for a password, a new password; and what the cookies were."""
    with httpx.Client(base_url=service.url) as client:
        for path in ("/api/v1/auth/token/", "/api/v1/users/me/password/"):
            body = {"username": "somebody", "password": PASSWORD, "old_password": PASSWORD, "new_password": PASSWORD}
            client.post(path, json=body, headers={"Authorization": f"Token {account.token}"})
        client.get("/admin/login/")
        token = client.cookies["csrftoken"]
        form = {"username": "somebody", "password": PASSWORD}
        client.post("/admin/login/", data=form)
        client.post("/admin/login/", data={**form, "csrfmiddlewaretoken": token})
    return {"csrf cookie": token}


def _raw(service: Service, header: str) -> None:
    """A header that is none, which gunicorn refuses by itself, quoting it."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.connect()
    connection.sock.sendall(f"GET /health/live HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
    connection.sock.recv(1 << 16)
    connection.close()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Device 0123456789ab.zyxwvutsrqponmlkjihgfedcba", "Authorization:"),
        ("refused 0123456789ab.zyxwvutsrqponmlkjihgfedcba at once", "0123456789ab.[hidden] at once"),
        ("Token " + "zyxw" * 16, "Token [hidden]"),
        ("a hash " + "0a" * 32, "a hash [hidden]"),
        ("postgresql://monitor:zyxwvutsrq@db:5432/name", "postgresql://monitor:[hidden]@db:5432/name"),
        ("{'password': 'zyxwvutsrq', 'username': 'alice'}", "'username': 'alice'"),
        ("Cookie: sessionid=zyxwvutsrq; theme=dark", "theme=dark"),
    ],
)
def test_what_looks_like_a_secret_is_cut_out(text: str, kept: str) -> None:
    line = str(logs.without_secrets(None, "", {"event": text})["event"])
    assert kept in line
    assert "zyxw" not in line
    assert "0a0a" not in line


def test_a_plain_line_is_left_as_it_is() -> None:
    event = "the token of device 7 at 2026-01-01T00:00:00Z is not there; see https://example.org/a:b"
    assert logs.without_secrets(None, "", {"event": event}) == {"event": event}


def test_a_traceback_is_without_local_variables(log: io.StringIO) -> None:
    local = "a local" + " variable"
    try:
        raise ValueError(len(local))
    except ValueError:
        logging.getLogger("anybody").exception("failed")
    (line,) = log.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"]
    assert "a local variable" not in line
