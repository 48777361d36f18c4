"""Rubbish on the wire, to gunicorn as it runs in real life: what is no HTTP, or HTTP that two could read differently.

Bodies that are cut off, chunked or of a wrong length are in `tests/devices/test_batches_served.py`.
"""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.helpers import fields
from tests.service import Account, Service, serving

BODY = json.dumps(fields()).encode()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"DELETE /api/v1/devices/{device}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {token}\r\n\r\n"


@dataclass(frozen=True)
class Raw:
    """What is sent, byte for byte; of {path}, {device}, {key}, {token} and {length} the service's.

    `statuses` are those that the first answer may have, None for no answer at all.
    """

    name: str
    request: bytes
    statuses: tuple[int | None, ...]
    stores: int = 0


def post(*headers: bytes, body: bytes = BODY, line: bytes = b"POST {path} HTTP/1.1") -> bytes:
    """A POST of a reading with some headers more."""
    head = [line, b"Host: 127.0.0.1", b"Authorization: Device {key}", b"Content-Type: application/json", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def sized(*headers: bytes, line: bytes = b"POST {path} HTTP/1.1") -> bytes:
    return post(b"Content-Length: {length}", *headers, line=line)


REFUSED = (400, None)
WIRES = [
    # Two lengths, or a length and chunks: what one reader takes for a body, another takes for a second request.
    Raw("two equal lengths", post(b"Content-Length: {length}", b"Content-Length: {length}"), (400,)),
    Raw("a length and chunks", sized(b"Transfer-Encoding: chunked"), (400,)),
    Raw("chunks and a length", post(b"Transfer-Encoding: chunked", b"Content-Length: {length}", body=CHUNKED), (400,)),
    Raw(
        "no length and chunks",
        post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=CHUNKED + SMUGGLED),
        (400,),
    ),
    Raw(
        "a length of 4 and chunks",
        post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=CHUNKED + SMUGGLED),
        (400,),
    ),
    Raw("chunks twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED), (400,)),
    Raw("chunks twice in a list", post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED), (400,)),
    Raw("chunks and identity", post(b"Transfer-Encoding: chunked, identity", body=CHUNKED), (400,)),
    Raw("identity and a length", sized(b"Transfer-Encoding: identity"), (400,)),
    Raw("an unknown coding", post(b"Transfer-Encoding: xchunked", body=CHUNKED), (400, 501)),
    Raw("a coding in quotes", post(b'Transfer-Encoding: "chunked"', body=CHUNKED), (400, 501)),
    Raw("a coding with a vertical tab", post(b"Transfer-Encoding:\x0bchunked", body=CHUNKED), (400, 501)),
    Raw("a coding with a space before the colon", post(b"Transfer-Encoding : chunked", body=CHUNKED), (400,)),
    Raw("a coding behind an underscore", sized(b"Transfer_Encoding: chunked"), (201, 400, 411), 1),
    Raw("a coding on a folded line", post(b"Transfer-Encoding:\r\n chunked", body=CHUNKED), (400,)),
    Raw("chunks of HTTP/1.0", post(b"Transfer-Encoding: chunked", body=CHUNKED, line=b"POST {path} HTTP/1.0"), (400,)),
    Raw("gzip and chunks", post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED), (400, 411)),
    Raw("a chunk of a negative size", post(b"Transfer-Encoding: chunked", body=b"-1\r\n" + BODY), (400, 411)),
    Raw("a chunk beyond all size", post(b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n" + BODY), (400, 411)),
    Raw("a chunk of no size", post(b"Transfer-Encoding: chunked", body=b"\r\n" + BODY), (400, 411)),
    Raw(
        "a chunk with a bare line feed",
        post(b"Transfer-Encoding: chunked", body=CHUNKED.replace(b"\r", b"")),
        (400, 411),
    ),
    Raw(
        "a chunk with a long extension",
        post(b"Transfer-Encoding: chunked", body=b"1;" + b"a" * 9_000 + b"\r\n"),
        (400, 411),
    ),
    Raw(
        "a trailer with credentials",
        post(b"Transfer-Encoding: chunked", body=CHUNKED[:-2] + b"Authorization: x\r\n\r\n"),
        (400, 411),
    ),
    Raw("a coding hidden by a NUL", sized(b"X: \0Transfer-Encoding: chunked"), (400,)),
    # Lengths.
    Raw("a length with a space before the colon", post(b"Content-Length : {length}"), (400,)),
    Raw("a length on a folded line", post(b"Content-Length:\r\n {length}"), (400,)),
    Raw("a length with a leading zero", post(b"Content-Length: 0{length}"), (201, 400), 1),
    Raw("a length with an underscore", post(b"Content-Length: 1_0"), (400,)),
    Raw("a length in Arabic digits", post("Content-Length: \u0663".encode()), (400,)),
    Raw("a length in superscript", post(b"Content-Length: \xb2"), (400,)),
    Raw("a length of 2**64", post(b"Content-Length: 18446744073709551616"), (413,)),
    Raw("an empty length", post(b"Content-Length: "), (400, 411)),
    Raw("no length", post(), (400, 411)),
    # Lines and headers.
    Raw("bare line feeds", sized().replace(b"\r\n", b"\n"), REFUSED),
    Raw("bare carriage returns", sized().replace(b"\r\n", b"\r"), REFUSED),
    Raw("a bare line feed within", sized(b"X-A: 1\nX-B: 2"), (400,)),
    Raw("a bare carriage return within", sized(b"X-A: 1\rX-B: 2"), (400,)),
    Raw("a NUL in a header", sized(b"X-A: a\0b"), (400,)),
    Raw("a NUL in a header's name", sized(b"X\0A: 1"), (400,)),
    Raw("a header without a colon", sized(b"rubbish"), (400,)),
    Raw("a header without a name", sized(b": rubbish"), (400,)),
    Raw("a header with a space in its name", sized(b"X A: 1"), (400,)),
    Raw("a header that is no ASCII", sized("X-\u00e9: 1".encode()), (400,)),
    Raw("a folded header at the start", sized().replace(b"\r\nHost", b"\r\n Host", 1), (400,)),
    Raw("a header of 9,000 bytes", sized(b"X-A: " + b"a" * 9_000), (400, 431)),
    Raw("200 headers", sized(*(b"X-%d: 1" % number for number in range(200))), (400, 431)),
    Raw("two hosts", sized(b"Host: evil.example"), (400,)),
    Raw("no host", b"GET /api/v1/devices/ HTTP/1.1\r\n\r\n", (400, 401)),
    Raw("an empty host", b"GET /api/v1/devices/ HTTP/1.1\r\nHost:\r\n\r\n", (400,)),
    Raw(
        "credentials behind an underscore",
        b"GET /api/v1/users/me/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: x\r\nX_A: 1\r\n\r\n",
        (400, 401),
    ),
    # The first line.
    Raw("a line of 9,000 bytes", b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", (400, 414)),
    Raw("a line without end", b"G" * 100_000, (*REFUSED, 414)),
    Raw("headers without end", b"GET / HTTP/1.1\r\n" + b"X-A: 1\r\n" * 10_000, (*REFUSED, 431)),
    Raw("HTTP/0.9", b"GET /api/v1/devices/\r\n", REFUSED),
    Raw("HTTP/9.9", b"GET /api/v1/devices/ HTTP/9.9\r\n\r\n", (*REFUSED, 505)),
    Raw("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (*REFUSED, 505)),
    Raw("a version in small letters", b"GET /api/v1/devices/ http/1.1\r\n\r\n", REFUSED),
    Raw("a method in small letters", b"get /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 405)),
    Raw("a method with brackets", b"G(E)T / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400,)),
    Raw("a method of 1,000 letters", b"G" * 1_000 + b" / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 405)),
    Raw("TRACE", b"TRACE /api/v1/devices/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (401, 405)),
    Raw("CONNECT", b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", (400, 401, 404, 405)),
    Raw("an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 404)),
    Raw("no path", b"GET  HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400,)),
    Raw("a path without a slash", b"GET devices HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 404)),
    Raw("two slashes", b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 404)),
    Raw("two slashes before the API", b"GET //api/v1/devices HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 404)),
    Raw("a whole address", b"GET http://127.0.0.1/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (200, 400, 404)),
    Raw(
        "the address of another",
        b"GET http://evil.example/api/v1/devices/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        (400, 401, 404),
    ),
    Raw("an open bracket", b"GET http://[::1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400,)),
    Raw("a space in the path", b"GET /health/live x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400,)),
    Raw("a NUL in the path", b"GET /\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 404)),
    Raw("bytes beyond ASCII in the path", b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 404)),
    Raw("a fragment", b"GET /health/live#x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (200, 400)),
    Raw("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), REFUSED),
    Raw("a proxy's greeting", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", REFUSED),
    Raw("NUL", b"\0" * 1_000, REFUSED),
    Raw("nothing but empty lines", b"\r\n" * 1_000, REFUSED),
    Raw("nothing", b"", (None,)),
    Raw("half a head", b"GET / HTTP/1.1\r\nHost: 127", REFUSED),
    # Bodies where none is due, and more than one request.
    Raw("a body with GET", b"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello", (401,)),
    Raw(
        "a second request in the body of GET",
        b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
        (200, 400),
    ),
    Raw("a second request behind a short body", post(b"Content-Length: 2", body=b"{}" + BODY), (400,)),
    Raw("a second request hidden in the body", post(b"Content-Length: 2000", body=SMUGGLED), (400,)),
    Raw("a length of another kind of space", post(b"Content-Length:\xa0{length}"), (400,)),
    Raw("something else that is expected", sized(b"Expect: 200-maybe"), (201, 400, 417), 1),
]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(GUNICORN_CMD_ARGS="--workers 1", LOG_LEVEL="ERROR") as service:
        yield service


@pytest.fixture(scope="module")
def account(service: Service) -> Account:
    return service.create_account()


def filled(request: bytes, account: Account) -> bytes:
    names = {
        b"{path}": f"/api/v1/devices/{account.device_id}/readings/",
        b"{device}": str(account.device_id),
        b"{key}": account.key,
        b"{token}": account.token,
        b"{length}": str(len(BODY)),
    }
    for name, text in names.items():
        request = request.replace(name, text.encode())
    return request


def exchange(service: Service, request: bytes, *, half_closed: bool = True) -> bytes:
    """All that is answered to these bytes, until the service closes the connection or the sender has waited long."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        answer = b""
        with suppress(OSError):
            connection.sendall(request)
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                answer += piece
        return answer


def statuses_of(answer: bytes) -> list[int]:
    """The status of every answer on a connection."""
    return [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]


def ask(service: Service, account: Account, method: str, path: str) -> Any:
    """A plain request: its status and its JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    try:
        connection.request(method, f"/api/v1/{path}", headers={"Authorization": f"Token {account.token}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def readings_stored(service: Service, account: Account) -> int:
    """How many there are now; they are deleted, and the device answers as ever."""
    path = f"devices/{account.device_id}/readings/"
    status, page = ask(service, account, "GET", path)
    assert status == 200
    window = "start_time=2000-01-01T00:00:00Z&end_time=2100-01-01T00:00:00Z"
    assert ask(service, account, "DELETE", f"{path}?{window}") == (200, {"deleted": len(page["results"])})
    return len(page["results"])


@pytest.mark.parametrize("raw", [pytest.param(raw, id=raw.name) for raw in WIRES])
def test_rubbish_on_the_wire_is_refused_and_stores_nothing(
    service: Service, account: Account, raw: Raw, record_property: Any
) -> None:
    record_property("hostile_requests", 1)
    statuses: list[int | None] = [*statuses_of(exchange(service, filled(raw.request, account)))]
    assert (statuses or [None])[0] in raw.statuses, statuses
    assert max(status or 0 for status in statuses or [None]) < 500 or statuses == [501]
    assert readings_stored(service, account) == (raw.stores if 201 in statuses else 0)


def test_a_second_request_on_the_connection_is_answered_by_itself(service: Service, account: Account) -> None:
    bad = post(b"Content-Length: 2", body=b"{}")
    good = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    statuses = statuses_of(exchange(service, filled(bad + good, account)))
    assert statuses in ([400, 200], [400])


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(service: Service, account: Account) -> None:
    head, body = filled(sized(b"Expect: 100-continue", b"Connection: close"), account).split(b"\r\n\r\n", 1)
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        answer = connection.recv(65_536)
    assert statuses_of(answer) == [201]
    assert readings_stored(service, account) == 1


def test_a_body_that_comes_slowly_is_taken(service: Service, account: Account) -> None:
    request = filled(sized(b"Connection: close"), account)
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        for start in range(0, len(request), 40):
            connection.sendall(request[start : start + 40])
            time.sleep(0.05)
        assert statuses_of(connection.recv(65_536)) == [201]
    assert readings_stored(service, account) == 1


def test_a_body_that_stops_coming_holds_nobody_else_up(service: Service, account: Account) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(filled(sized(), account)[:-5])
        time.sleep(0.2)
        assert ask(service, account, "GET", "users/me/")[0] == 200
    time.sleep(0.2)  # until the service has seen that the sender is gone
    assert readings_stored(service, account) == 0


def test_a_few_connections_that_say_nothing_hold_nobody_up(service: Service, account: Account) -> None:
    # As many as there are threads would: that is what the buffering proxy in front is for.
    idle = [socket.create_connection(("127.0.0.1", service.port), timeout=10) for _ in range(3)]
    try:
        assert ask(service, account, "GET", "users/me/")[0] == 200
    finally:
        for connection in idle:
            connection.close()


def test_nothing_on_the_wire_was_a_defect(service: Service) -> None:
    assert "Traceback" not in service.log.read_text()
