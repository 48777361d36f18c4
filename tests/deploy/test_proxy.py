"""The shipped proxy configuration in front of the real service."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests import slow_callers
from tests.helpers import fields
from tests.nginx import proxying
from tests.once import once
from tests.service import Account, Service, free_port, serving

pytestmark = once
SLOW_CALLERS = int(os.environ.get("SLOW_CALLERS", "40"))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(TRUSTED_PROXIES="1", GUNICORN_CMD_ARGS="--workers 1 --threads 2") as service:
        yield service


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    with proxying(service.port) as url:
        yield url


@pytest.fixture(scope="module")
def account(service: Service) -> Account:
    return service.create_account()


def test_a_reading_gets_through(url: str, account: Account) -> None:
    headers = {"Authorization": f"Device {account.key}"}
    response = httpx.post(f"{url}/api/v1/devices/{account.device_id}/readings/", json=fields(1), headers=headers)
    assert response.status_code == 201


def test_a_body_in_chunks_reaches_the_service_whole(url: str, account: Account) -> None:
    """The service itself refuses what has no length: the proxy gives it one."""
    rows = json.dumps([fields(second, x=7) for second in range(5000)]).encode()
    pieces = (rows[place : place + 999] for place in range(0, len(rows), 999))
    headers = {"Authorization": f"Token {account.token}", "Content-Type": "application/json"}
    path = f"{url}/api/v1/devices/{account.device_id}/readings/"
    response = httpx.post(path, content=pieces, headers=headers)
    assert (response.status_code, response.json()["received"]) == (200, 5000)


def test_what_came_in_can_be_had_out(url: str, account: Account) -> None:
    path, headers = f"{url}/api/v1/devices/{account.device_id}/readings/", {"Authorization": f"Token {account.token}"}
    receipt = httpx.post(path, json=[fields(second, y=9) for second in range(3000)], headers=headers).json()
    window = {"file_format": "ndjson", "start_time": "2026-01-01T00:00:00Z"}
    lines = httpx.get(f"{path}export/", params=window, headers=headers, timeout=30).text.splitlines()
    assert receipt["created"] == sum(json.loads(line)["y"] == 9 for line in lines)


def test_the_services_own_id_of_a_request_is_the_proxys(url: str) -> None:
    ids = {
        httpx.get(f"{url}/health/live", headers={"X-Request-ID": "chosen-by-me"}).headers["X-Request-ID"] for _ in "ab"
    }
    assert len(ids) == 2
    assert all(len(id) == 32 for id in ids)


def test_an_address_that_a_caller_makes_up_is_not_believed(url: str) -> None:
    """Wrong passwords count against the address that the proxy has seen."""
    statuses = [
        httpx.post(f"{url}/api/v1/auth/token/", json={"username": "nobody", "password": "wrong"},
                   headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code
        for number in range(12)
    ]  # fmt: skip
    assert statuses[-1] == 429


def test_a_body_that_is_too_large_is_refused_in_the_services_form(url: str) -> None:
    response = httpx.post(f"{url}/api/v1/readings/", content=bytes(17 * 2**20))
    assert (response.status_code, response.headers["Content-Type"]) == (413, "application/problem+json")
    assert response.json()["errors"][0]["code"] == "too_large"


def test_metrics_are_not_for_outside(url: str) -> None:
    response = httpx.get(f"{url}/metrics")
    assert (response.status_code, response.json()["status"]) == (404, 404)


def test_the_services_own_404_is_passed_on(url: str, account: Account) -> None:
    response = httpx.get(f"{url}/api/v1/devices/999999/", headers={"Authorization": f"Token {account.token}"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "not_found")
    assert "X-Request-ID" in response.headers


def test_a_service_that_is_away_is_503_with_retry_after() -> None:
    with proxying(free_port()) as url:
        response = httpx.get(f"{url}/api/v1/devices/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.json()["errors"][0]["code"] == "unavailable"


def test_a_body_that_is_cut_short_does_not_reach_the_service(url: str, account: Account) -> None:
    host, port = url.removeprefix("http://").split(":")
    path = f"/api/v1/devices/{account.device_id}/readings/"
    body = json.dumps(fields(10**6)).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Device {account.key}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):  # until the proxy has done with it
            pass
    window = {"start_time": fields(10**6)["recorded_at"], "end_time": fields(10**6 + 1)["recorded_at"]}
    found = httpx.get(f"{url}{path}", params=window, headers={"Authorization": f"Token {account.token}"}).json()
    assert found["results"] == []


def test_slow_callers_hold_nobody_up(url: str) -> None:
    """More of them than the service has threads, and every question is answered. SLOW_CALLERS=400 for more."""
    port = int(url.rsplit(":", 1)[1])
    times = asyncio.run(slow_callers.measured(port, SLOW_CALLERS, 50, seed=1))
    assert len(times) == 50


def test_the_same_callers_without_the_proxy_hold_everybody_up(service: Service) -> None:
    """So the test above tells something."""
    with pytest.raises((TimeoutError, OSError, AssertionError)):
        asyncio.run(asyncio.wait_for(slow_callers.measured(service.port, SLOW_CALLERS, 50, seed=1), 4))
