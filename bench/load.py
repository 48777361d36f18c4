"""A client that costs as little as it can: whole requests as bytes, over connections that stay open."""

import selectors
import socket
import time
from collections.abc import Iterator


def closed_loop(address: tuple[str, int], requests: list[bytes], connections: int) -> float:
    """Send the requests, each connection the next when it has its answer; returns seconds. Fails unless all are 2xx."""
    pending = iter(requests)
    started = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            client = socket.create_connection(address)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _send_next(selector, client, pending)
        while selector.get_map():
            for key, _ in selector.select(timeout=30):
                _receive(selector, key, pending)
    return time.perf_counter() - started


def _send_next(selector: selectors.BaseSelector, client: socket.socket, pending: Iterator[bytes]) -> None:
    if (request := next(pending, None)) is None:
        client.close()
        return
    client.sendall(request)
    selector.register(client, selectors.EVENT_READ, bytearray())


def _receive(selector: selectors.BaseSelector, key: selectors.SelectorKey, pending: Iterator[bytes]) -> None:
    client, answer = key.fileobj, key.data
    assert isinstance(client, socket.socket)
    answer += client.recv(1 << 16)
    head, separator, body = bytes(answer).partition(b"\r\n\r\n")
    if not separator or len(body) < _content_length(head):
        return
    assert head.startswith(b"HTTP/1.1 2"), bytes(answer)
    selector.unregister(client)
    _send_next(selector, client, pending)


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def post(path: str, body: bytes, content_type: str, authorization: str) -> bytes:
    """A POST request as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
