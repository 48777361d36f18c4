"""Batches through gunicorn, over a wire that is cut and with workers that are killed."""

import gzip
import http.client
import json
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from threading import Timer
from typing import Any

import pytest

from tests.helpers import fields
from tests.service import MEDIA_TYPES, Account, Service, encoded, serving

FORMATS = list(MEDIA_TYPES)
ROWS = [fields(second) for second in range(3)]
KILLS = int(os.environ.get("FAULT_KILLS", "20"))
in_each_format = pytest.mark.parametrize("file_format", FORMATS)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One worker, so that its memory is that of all and the one that is killed is the one that works; forked, so that
    the next one is there at once."""
    with serving(GUNICORN_CMD_ARGS="--workers 1 --preload", LOG_LEVEL="ERROR") as service:
        yield service


@pytest.fixture(scope="module")
def alice(service: Service) -> Account:
    return service.create_account()


@pytest.fixture
def account(service: Service, alice: Account) -> Account:
    """Alice, with a new device for each test."""
    body = json.dumps({"name": secrets.token_hex(8)}).encode()
    status, content = request(service, alice, "POST", "/api/v1/devices/", body, **{"Content-Type": "application/json"})
    assert status == 201
    device = json.loads(content)
    return Account(alice.token, device["id"], device["key"])


def head(account: Account, file_format: str, *fields: str) -> bytes:
    lines = [
        f"POST /api/v1/devices/{account.device_id}/readings/ HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Device {account.key}",
        f"Content-Type: {MEDIA_TYPES[file_format]}",
        "Connection: close",
        *fields,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def status_of(service: Service, request: bytes, *, read: bool = True) -> int | None:
    """Send these bytes and then no more; the status of the first answer, None if there is none.

    Without `read` the connection is closed at once, as by a sender that has lost its power.
    """
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(request)
        if not read:
            return None
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            words = answer.readline().split()
    return int(words[1]) if words else None


def request(service: Service, account: Account, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    """The status and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    try:
        connection.request(method, path, body, {"Authorization": f"Token {account.token}"} | headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def lines_stored(service: Service, account: Account) -> list[bytes]:
    path = f"/api/v1/devices/{account.device_id}/readings/export/?file_format=ndjson"
    status, content = request(service, account, "GET", path)
    assert status == 200
    return content.splitlines()  # type: ignore[no-any-return]


# Bodies that are not whole


@in_each_format
def test_a_whole_batch_is_stored(service: Service, account: Account, file_format: str) -> None:
    body = encoded(ROWS, file_format)
    assert status_of(service, head(account, file_format, f"Content-Length: {len(body)}") + body) == 200
    assert len(lines_stored(service, account)) == 3


@in_each_format
def test_a_batch_cut_off_at_any_byte_is_refused(service: Service, account: Account, file_format: str) -> None:
    body = encoded(ROWS, file_format)
    start = head(account, file_format, f"Content-Length: {len(body)}")
    statuses = {status_of(service, start + body[:length]) for length in range(len(body))}
    assert statuses <= {400, None}
    assert lines_stored(service, account) == []


@in_each_format
def test_a_batch_whose_sender_goes_at_any_byte_is_not_stored(
    service: Service, account: Account, file_format: str
) -> None:
    body = encoded(ROWS, file_format)
    start = head(account, file_format, f"Content-Length: {len(body)}")
    for length in range(len(body)):
        status_of(service, start + body[:length], read=False)
    time.sleep(0.3)  # until the last one, which nobody hears of, has been dealt with
    assert lines_stored(service, account) == []


@pytest.mark.parametrize("missing", [1, 2, 100, 100_000])
@in_each_format
def test_a_length_that_promises_more_than_comes_is_refused(
    service: Service, account: Account, file_format: str, missing: int
) -> None:
    body = encoded(ROWS, file_format)
    assert status_of(service, head(account, file_format, f"Content-Length: {len(body) + missing}") + body) == 400
    assert lines_stored(service, account) == []


def test_json_with_a_length_that_is_too_short_is_refused_at_any_byte(service: Service, account: Account) -> None:
    body = encoded(ROWS, "json")
    for length in range(len(body)):
        assert status_of(service, head(account, "json", f"Content-Length: {length}") + body) == 400
    assert lines_stored(service, account) == []


def test_ndjson_with_a_length_that_is_too_short_is_stored_up_to_there_only_in_whole_rows(
    service: Service, account: Account
) -> None:
    """That the document goes on nobody can know."""
    body = encoded(ROWS, "ndjson")
    statuses = {
        status_of(service, head(account, "ndjson", f"Content-Length: {length}") + body)
        for length in range(len(body) - len(b"}\n"))
    }
    assert statuses == {200, 400}
    assert len(lines_stored(service, account)) == 2


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "0x10", "x", "1, 1", "5 5", "1" * 5000])
def test_a_length_that_is_no_number_is_refused(service: Service, account: Account, length: str) -> None:
    status = status_of(service, head(account, "json", f"Content-Length: {length}") + encoded(ROWS, "json"))
    assert status in (400, 413)
    assert lines_stored(service, account) == []


def test_two_lengths_are_refused(service: Service, account: Account) -> None:
    body = encoded(ROWS, "json")
    lengths = (f"Content-Length: {length}" for length in (len(body), len(body) - 1))
    assert status_of(service, head(account, "json", *lengths) + body) == 400
    assert lines_stored(service, account) == []


@pytest.mark.parametrize("ending", [b"0\r\n\r\n", b"0\r\n", b""])
@in_each_format
def test_a_chunked_body_is_411(service: Service, account: Account, file_format: str, ending: bytes) -> None:
    body = encoded(ROWS, file_format)
    chunks = b"%x\r\n%b\r\n%b" % (len(body), body, ending)
    assert status_of(service, head(account, file_format, "Transfer-Encoding: chunked") + chunks) == 411
    assert lines_stored(service, account) == []


def test_a_body_that_is_announced_as_too_large_is_413_before_it_comes(service: Service, account: Account) -> None:
    assert status_of(service, head(account, "csv", f"Content-Length: {2**24 + 1}") + b"recorded_at,x,y,z\n") == 413


# Memory


def batch_and_headers(number: int) -> tuple[bytes, dict[str, str]]:
    """One batch of ten thousand rows: each format, gzipped in turn, sometimes with a bad row or sent before."""
    file_format = FORMATS[number % 3]
    rows = [
        fields(second, x=number - number % 10) for second in range(10_000 * (number % 9), 10_000 * (number % 9 + 1))
    ]
    if number % 5 == 0:
        rows[0]["x"] = "?"
    body, headers = encoded(rows, file_format), {"Content-Type": MEDIA_TYPES[file_format]}
    return (gzip.compress(body, 1), headers | {"Content-Encoding": "gzip"}) if number % 2 else (body, headers)


def test_a_worker_that_took_a_hundred_batches_is_no_larger_than_after_ten(service: Service, account: Account) -> None:
    sizes = []
    for number in range(100):
        body, headers = batch_and_headers(number)
        path = f"/api/v1/devices/{account.device_id}/readings/?partial=true"
        assert request(service, account, "POST", path, body, **headers)[0] == 200
        sizes.append(service.resident_bytes())
    assert sizes[-1] < max(sizes[9] * 1.1, sizes[9] + 20 * 2**20), [size // 2**20 for size in sizes]


# Workers that are killed


def send_until_acknowledged(service: Service, account: Account, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The receipt of a batch that is sent until one comes. Only a lost connection and 503 are reasons to repeat."""
    path, headers = f"/api/v1/devices/{account.device_id}/readings/", {"Content-Type": "application/json"}
    deadline = time.monotonic() + 30
    while True:
        try:
            status, content = request(service, account, "POST", path, encoded(rows, "json"), **headers)
        except (http.client.HTTPException, OSError):
            status, content = 503, b""
        if status != 503:
            assert status == 200, content
            return json.loads(content)  # type: ignore[no-any-return]
        assert time.monotonic() < deadline, "no receipt in 30 seconds"


def test_with_workers_killed_at_any_moment_every_row_is_there_once(service: Service, account: Account) -> None:
    chance, sent, receipts = random.Random(7), 0, []
    for _ in range(KILLS):
        service.wait_until_ready()
        (worker,) = service.workers()
        killer = Timer(chance.uniform(0, 0.06), os.kill, (worker, signal.SIGKILL))
        killer.start()
        while killer.is_alive():
            rows = [fields(second) for second in range(sent, sent + 500)]
            receipts.append(send_until_acknowledged(service, account, rows))
            sent += 500
    lines = lines_stored(service, account)
    assert len(lines) == len(set(lines)) == sent
    assert {receipt["received"] for receipt in receipts} == {500}
