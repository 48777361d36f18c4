"""Analyses as in real life: gunicorn, a Celery worker and a Valkey in processes of their own; and without the two."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest

from tests import kills
from tests.helpers import fields
from tests.once import once
from tests.service import Account, Service, Worker, serving, working
from tests.valkey import Valkey, ValkeyMissing

AT_ONCE = 3  # seconds that a request may take; it takes far less than one
PATIENCE = 60
STOPS_WITHIN = 5
WINDOW = {"start_time": "2026-01-01T00:00:01Z", "end_time": "2026-01-01T00:00:03Z"}


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    try:
        server = Valkey()
    except ValkeyMissing as missing:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(str(missing))
        pytest.skip(f"NOT TESTED with Valkey: {missing}")
    yield server
    server.resume()
    server.kill()


@pytest.fixture(scope="module")
def service(valkey: Valkey) -> Iterator[Service]:
    with serving(BROKER_URL=valkey.url, GUNICORN_CMD_ARGS="--workers 1", LOG_LEVEL="ERROR") as service:
        yield service


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[Worker]:
    with working(service) as worker:
        yield worker


@pytest.fixture(scope="module")
def embedded() -> Iterator[Service]:
    """A service without a broker."""
    with serving(GUNICORN_CMD_ARGS="--workers 1 --preload", LOG_LEVEL="ERROR") as service:
        yield service


class Caller:
    """A new user with a device and three readings."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.account: Account = service.create_account()
        self.device = f"/api/v1/devices/{self.account.device_id}"
        assert self.send("POST", f"{self.device}/readings/", [fields(second, x=second) for second in range(3)])

    def send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Token {self.account.token}", "Content-Type": "application/json"}
        request = Request(self.service.url + path, data, headers, method=method)
        with urlopen(request, timeout=AT_ONCE) as response:
            self.status = response.status
            return json.load(response)

    def start(self, parameters: dict[str, Any], path: str = "") -> str:
        started = self.send("POST", f"{path or self.device}/analyses/", parameters)
        assert self.status == 202
        return f"/api/v1/analyses/{started['id']}/"

    def ended(self, path: str) -> dict[str, Any]:
        wait_until(lambda: self.send("GET", path)["status"] not in {"pending", "running"})
        answer: dict[str, Any] = self.send("GET", path)
        return answer


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.05)


@pytest.mark.parametrize("window", [{}, WINDOW], ids=["all time", "a window"])
def test_what_a_worker_stores_is_what_the_call_answers(
    service: Service, worker: Worker, window: dict[str, str]
) -> None:
    caller = Caller(service)
    answer = caller.ended(caller.start({**window, "percentiles": "5"}))
    query = "&".join(f"{name}={value}" for name, value in window.items())
    assert answer["status"] == "succeeded"
    assert answer["result"] == caller.send("GET", f"{caller.device}/analytics/?percentiles=5&{query}")
    assert answer["result"]["count"] == (2 if window else 3)


def test_a_worker_answers_for_all_devices_of_a_user(service: Service, worker: Worker) -> None:
    caller = Caller(service)
    me = f"/api/v1/users/{caller.send('GET', '/api/v1/users/me/')['id']}"
    answer = caller.ended(caller.start({"aggregate": False}, me))
    assert answer["result"] == caller.send("GET", f"{me}/analytics/?aggregate=false")


def test_what_always_fails_ends_with_its_reason(service: Service, worker: Worker) -> None:
    caller = Caller(service)
    bounds = {"start_time": "1900-01-01T00:00:00Z", "end_time": "2199-01-01T00:00:00Z"}
    answer = caller.ended(caller.start({"interval": "hour", **bounds}))
    assert (answer["status"], answer["result"]) == ("failed", None)
    assert answer["error"].startswith("At most 10000 buckets")


def test_with_valkey_down_an_analysis_is_accepted_and_done_later(
    service: Service, worker: Worker, valkey: Valkey
) -> None:
    caller = Caller(service)
    valkey.kill()
    try:
        paths = [caller.start({"percentiles": str(number)}) for number in range(5)]
        assert caller.send("POST", f"{caller.device}/readings/", fields(9))  # readings come in as ever
        assert {caller.send("GET", path)["status"] for path in paths} == {"pending"}
    finally:
        valkey.start()
    assert {caller.ended(path)["status"] for path in paths} == {"succeeded"}


def test_with_valkey_stopped_an_analysis_is_accepted_and_done_later(
    service: Service, worker: Worker, valkey: Valkey
) -> None:
    caller = Caller(service)
    valkey.pause()
    try:
        paths = [caller.start({"percentiles": str(number)}) for number in range(5)]
        assert caller.send("POST", f"{caller.device}/readings/", fields(9))
        time.sleep(7)  # longer than the clients wait for an answer
    finally:
        valkey.resume()
    assert {caller.ended(path)["status"] for path in paths} == {"succeeded"}


def test_a_cancelled_analysis_stops_in_the_worker_within_seconds(service: Service, worker: Worker) -> None:
    url = service.environment["DATABASE_URL"]
    if not url.startswith("postgresql"):
        pytest.skip("SQLite's readers wait for nobody; its interrupt is tried in test_analyses_races")
    caller = Caller(service)
    with psycopg.connect(url) as blocker, psycopg.connect(url, autocommit=True) as watcher:
        blocker.execute("LOCK TABLE devices_reading")  # so the run waits, without an end of its own within 10 seconds
        path = caller.start({})
        wait_until(lambda: waiting(watcher) == 1)
        assert caller.send("POST", f"{path}cancel/")["status"] == "cancelled"
        wait_until(lambda: waiting(watcher) == 0, STOPS_WITHIN)
        blocker.rollback()
    assert caller.send("GET", path)["status"] == "cancelled"
    assert caller.ended(caller.start({}))["status"] == "succeeded"  # the worker is as good as new


def waiting(watcher: "psycopg.Connection[Any]") -> int:
    row = watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    assert row is not None
    return int(row[0])


def test_without_its_clock_a_worker_ends_so_that_it_is_started_again(service: Service, worker: Worker) -> None:
    caller = Caller(service)
    caller.ended(caller.start({}))  # the worker is up
    (clock,) = worker.clocks()
    os.kill(clock, signal.SIGKILL)
    try:
        assert worker.process.wait(PATIENCE) != 0
    finally:
        worker.kill()
        worker.start()


@once
def test_whatever_is_killed_every_accepted_analysis_ends_once(valkey: Valkey) -> None:
    """A few; `make kills` has hundreds."""
    report = kills.run(6, seed=int(os.environ.get("KILLS_SEED", "6")), stacks=2)
    assert (report.done, report.ends) == (8, {"succeeded": 3 * 8})


# Without a broker


def test_without_a_broker_the_service_itself_runs_what_it_accepts(embedded: Service) -> None:
    caller = Caller(embedded)
    answer = caller.ended(caller.start(WINDOW))
    query = "&".join(f"{name}={value}" for name, value in WINDOW.items())
    assert answer["result"] == caller.send("GET", f"{caller.device}/analytics/?{query}")


def test_without_a_broker_a_killed_process_loses_no_analysis(embedded: Service) -> None:
    caller = Caller(embedded)
    paths = [caller.start({"percentiles": str(number)}) for number in range(10)]
    for process in embedded.workers():
        os.kill(process, signal.SIGKILL)
    embedded.wait_until_ready()
    assert {caller.ended(path)["status"] for path in paths} == {"succeeded"}


def test_without_a_broker_the_service_ends_when_it_is_told_to() -> None:
    with serving(GUNICORN_CMD_ARGS="--workers 1 --preload", LOG_LEVEL="ERROR") as service:  # nobody else's
        Caller(service)
        service.process.terminate()
        assert service.process.wait(PATIENCE) == 0
