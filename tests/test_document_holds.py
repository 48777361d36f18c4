"""The OpenAPI document holds: requests made from it, good and bad ones, are answered as it says. By Schemathesis.

In process, through all of the middleware; seeded, so that each run sends the same. SCHEMATHESIS_TIMES says how many
times as many.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.db import connection
from knox.models import AuthToken
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from devices.models import Device, DeviceKey
from tests.helpers import stored
from users.models import User

TIMES = int(os.environ.get("SCHEMATHESIS_TIMES", "1"))
# Who sends what; how many examples of an operation, or chains of operations (coverage follows from the document); and
# how many requests that makes at least: more than 10,000 together, on each database.
CAMPAIGNS = [
    ("examples", "owner", 1, 30),
    ("coverage", "owner", 1, 1_800),
    ("coverage", "staff", 1, 1_800),
    ("coverage", "device", 1, 1_800),
    ("fuzzing", "owner", 70, 2_300),
    ("fuzzing", "staff", 70, 2_300),
    ("stateful", "staff", 100, 300),
]
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "use_after_free",
    "unsupported_method",
]

StartResponse = Callable[..., Any]


class Caller:
    """Somebody with a device and readings, who has them again whatever a request has deleted."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.settle()

    @property
    def authorization(self) -> str:
        return self.key if self.kind == "device" else self.token

    def settle(self) -> None:
        """Make what is missing."""
        rights = dict.fromkeys(("is_staff", "is_superuser"), self.kind == "staff")
        user, _ = User.objects.get_or_create(username="caller", defaults=rights)
        if not AuthToken.objects.filter(user=user).exists():
            self.token = f"Token {AuthToken.objects.create(user)[1]}"
        if not DeviceKey.objects.filter(device__owner=user).exists():
            device, _ = Device.objects.get_or_create(owner=user, name="Pump 1")
            stored(device, *((second, second, 2, 3) for second in range(20)))
            self.key = f"Device {DeviceKey.issue(device)[1]}"


class Service:
    """The service as a WSGI application to which one caller speaks; it counts its answers by their status."""

    def __init__(self, caller: Caller) -> None:
        self.application = get_wsgi_application()
        self.caller = caller
        self.statuses: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            self.statuses[status[:3]] += 1
            return start_response(status, headers)

        answer = self.application(environ | {"HTTP_AUTHORIZATION": self.caller.authorization}, start)
        body = b"".join(answer)
        answer.close()
        if environ["REQUEST_METHOD"] in ("DELETE", "PUT", "PATCH"):
            self.caller.settle()
            connection.close()  # Schemathesis's thread ends without, and a pool would miss it
        return [body]


def failures_of(service: Service, phase: str, examples: int) -> dict[str, str]:
    """The failures of a phase by operation and kind, each with a request that shows it."""
    settings = {
        "seed": 20261121,
        "continue-on-failure": True,
        "max-failures": 1_000_000,
        "generation": {"deterministic": True, "database": "none", "max-examples": examples},
        "checks": {"enabled": False} | {name: {"enabled": True} for name in CHECKS},
        "phases": {name: {"enabled": name == phase} for name, *_ in CAMPAIGNS},
    }
    config = SchemathesisConfig.from_dict(settings)
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", service, config=config)
    failures: dict[str, str] = {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            failures |= dict(_failures_in(event.recorder))
        elif isinstance(event, events.NonFatalError | events.FatalError):
            failures[type(event).__name__] = str(getattr(event, "value", None) or getattr(event, "exception", None))
    return failures


def _failures_in(recorder: Any) -> Iterable[tuple[str, str]]:
    for checks in recorder.checks.values():
        for failed in [check.failure_info for check in checks if check.failure_info is not None]:
            failure = failed.failure
            yield f"{recorder.label}: {failure.title}", f"{failure.message}\n{failed.code_sample}"


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """Or thousands of refused requests would have a line each."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("phase", "kind", "examples", "least"), CAMPAIGNS)
def test_every_answer_is_as_documented(
    phase: str, kind: str, examples: int, least: int, record_property: Callable[[str, float], None]
) -> None:
    service, started = Service(Caller(kind)), time.process_time()
    failures = failures_of(service, phase, examples * TIMES)
    record_property("schemathesis_requests", service.statuses.total())
    record_property("schemathesis_seconds", time.process_time() - started)
    assert not failures, "\n\n".join(f"{name}\n{text}" for name, text in failures.items())
    assert service.statuses.total() >= least
