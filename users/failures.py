"""How often credentials may be wrong, counted in the cache, so that guessing does not reach the database.

Two counts in each window of five minutes: by address and name (of an account, or the beginning of a key), and by
address alone, much higher: behind one address there may be a gateway with a thousand good devices and one bad key.
Where Redis is set the counts hold over all processes; without it, and while it is away, each process has its own.
"""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, TypeVar

from django.conf import settings
from django.core.cache import BaseCache, caches
from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled
from rest_framework.throttling import BaseThrottle

WINDOW_SECONDS = 300
PASSWORD_WEIGHT = 10  # by address a wrong password counts for ten: checking one takes a fifth of a second
RETRY_SECONDS = 10  # how long a cache that did not answer is left alone
REMEMBERED = 10_000

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class TooManyFailures(Throttled):
    """429: wait until the window is over."""

    default_code = "too_many_failures"
    default_detail = "Too many wrong credentials have come from here. Wait, then send the right ones."
    extra_detail_singular = extra_detail_plural = ""


class Attempt:
    """One try of credentials of a kind ("key", "token" or "password") under a name, with or without a random secret.

    A secret that was right a moment ago, in this process, is not held up by what others at its address do, and costs no
    question to the cache. (The database decides, as ever, whether it still is right.)
    """

    def __init__(self, request: Any, kind: str, name: str, secret: str = "") -> None:
        self.request = request
        self.kind = kind
        self.name = name
        self.proof = _digest(f"{kind} {name} {secret}") if secret else b""

    def refuse_if_too_many(self) -> None:
        """Raise TooManyFailures if the limit by name or by address has been reached."""
        if self.proof in _good:
            return
        by_name, by_address = self._counters()
        counts = _with_cache(lambda cache: cache.get_many([by_name, by_address]))
        if (
            counts.get(by_name, 0) >= settings.FAILURE_LIMIT
            or counts.get(by_address, 0) >= settings.FAILURE_LIMIT_PER_ADDRESS
        ):
            raise TooManyFailures(wait=math.ceil(WINDOW_SECONDS - time.time() % WINDOW_SECONDS))

    def failed(self) -> None:
        """Count it."""
        _good.pop(self.proof, None)
        by_name, by_address = self._counters()
        weight = PASSWORD_WEIGHT if self.kind == "password" else 1
        _with_cache(lambda cache: _add(cache, {by_name: 1, by_address: weight}))

    def succeeded(self) -> None:
        """Remember a secret that was right."""
        if self.proof and self.proof not in _good:
            if len(_good) >= REMEMBERED:
                _good.clear()
            _good[self.proof] = None

    def _counters(self) -> tuple[str, str]:
        """The cache keys of this window. A new window has new ones, so that none has to be set back."""
        window, address = int(time.time() // WINDOW_SECONDS), address_of(self.request)
        by_name = _digest(f"{address} {self.name}").hex()
        return f"failures:{window}:{self.kind}:{by_name}", f"failures:{window}:{self.kind}:{_digest(address).hex()}"


def address_of(request: Any) -> str:
    """Where a request comes from: an IPv4 address, or the /64 of an IPv6 one, as one customer has all of it.

    With `TRUSTED_PROXIES` it is the entry of X-Forwarded-For that the first of them wrote; what a caller has written
    before it does not count.
    """
    return _network(str(BaseThrottle().get_ident(request) or ""))


@lru_cache(4096)
def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)


_good: dict[bytes, None] = {}
_retry_at = 0.0


def _with_cache(ask: Callable[[BaseCache], Answer]) -> Answer:
    """The answer of the shared cache or, while that is away, of the process's own: never an error, nor a long wait."""
    global _retry_at  # noqa: PLW0603  # one clock for all threads
    if time.monotonic() >= _retry_at:
        try:
            return ask(caches["default"])
        except (RedisError, OSError) as error:
            _retry_at = time.monotonic() + RETRY_SECONDS
            logger.warning("the cache does not answer, this process counts by itself: %s", type(error).__name__)
    return ask(caches["process"])


def _add(cache: BaseCache, weights: dict[str, int]) -> None:
    for counter, weight in weights.items():
        cache.add(counter, 0, 2 * WINDOW_SECONDS)
        with suppress(ValueError):  # thrown out meanwhile, to make room
            cache.incr(counter, weight)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="backslashreplace")).digest()[:16]
