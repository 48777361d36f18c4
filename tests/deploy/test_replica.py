"""A read replica: a real streaming standby, which analytics are answered from and nothing else."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import psycopg
import pytest

from tests.bodies import fields
from tests.once import once
from tests.outages import Answer, Door, wait_until
from tests.postgresql import Cluster
from tests.service import Account, Service, manage, serving

pytestmark = once


@dataclass
class Copied:
    """A primary with a standby, and a service that knows of both."""

    primary: Cluster
    standby: Cluster
    service: Service
    account: Account

    def on_standby(self, statement: str) -> Any:
        with psycopg.connect(self.standby.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def let_answers_end(self, within: str = "-1") -> None:
        """What comes from the primary waits for what is read, for so long; -1: for ever."""
        self.on_standby(f"ALTER SYSTEM SET max_standby_streaming_delay = {within}")
        self.on_standby("SELECT pg_reload_conf()")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The standby stays as it is."""
        self.catch_up()
        self.on_standby("SELECT pg_wal_replay_pause()")
        wait_until(lambda: self.on_standby("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        try:
            yield
        finally:
            self.on_standby("SELECT pg_wal_replay_resume()")

    def catch_up(self) -> None:
        """Also with what is not committed, such as a lock: somebody else's commit takes it along."""
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            connection.execute("SELECT pg_logical_emit_message(true, '', '')")
            (position,) = connection.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",)
        wait_until(lambda: self.on_standby(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == [(True,)])


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    with ExitStack() as stack:
        primary = Cluster()
        stack.callback(primary.stop)
        standby = primary.standby()
        stack.callback(standby.stop)
        urls = {"DATABASE_URL": primary.url, "REPLICA_DATABASE_URL": standby.url}
        service = stack.enter_context(serving(**urls, GUNICORN_CMD_ARGS="--workers 1", METRICS_TOKEN="m" * 32))
        copied = Copied(primary, standby, service, service.create_account())
        copied.let_answers_end()
        yield copied


class Caller:
    """A user with a new device, of which the standby knows."""

    def __init__(self, copied: Copied) -> None:
        self.copied = copied
        self.me = f"/api/v1/users/{self.json('GET', '/api/v1/users/me/')['id']}"
        self.device = f"/api/v1/devices/{self.json('POST', '/api/v1/devices/', {'name': token_hex(8)})['id']}"
        copied.catch_up()

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"Authorization": f"Token {self.copied.account.token}", "Content-Type": "application/json"}
        return Door(method, path, headers, b"" if body is None else json.dumps(body).encode()).ask(self.copied.service)

    def json(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status < 300, answer
        return json.loads(answer.body)

    def store(self, number: int) -> None:
        self.json("POST", f"{self.device}/readings/", [fields(second) for second in range(number)])

    def count(self, whose: str = "") -> int:
        return int(self.json("GET", f"{whose or self.device}/analytics/")["count"])


@pytest.fixture
def caller(copied: Copied) -> Caller:
    return Caller(copied)


def test_an_answer_is_as_far_as_the_replica_has_come(copied: Copied, caller: Caller) -> None:
    of_all = caller.count(caller.me)
    with copied.paused():
        caller.store(3)
        assert len(caller.json("GET", f"{caller.device}/readings/")["results"]) == 3
        assert (caller.count(), caller.count(caller.me)) == (0, of_all)
    copied.catch_up()
    assert (caller.count(), caller.count(caller.me)) == (3, of_all + 3)


def test_who_may_ask_is_decided_by_the_primary(copied: Copied, caller: Caller) -> None:
    with copied.paused():
        caller.ask("DELETE", caller.device + "/")
        assert caller.ask("GET", f"{caller.device}/analytics/").status == 404


def test_a_background_analysis_reads_the_replica_and_is_kept_by_the_primary(copied: Copied, caller: Caller) -> None:
    with copied.paused():
        caller.store(3)
        path = f"/api/v1/analyses/{caller.json('POST', f'{caller.device}/analyses/', {})['id']}/"
        wait_until(lambda: caller.json("GET", path)["status"] == "succeeded")
        assert caller.json("GET", path)["result"]["count"] == 0


def test_rollups_are_built_and_verified_by_the_primary(copied: Copied, caller: Caller) -> None:
    with copied.paused():
        caller.store(600)
        manage(copied.service.environment, "rollup")
        told = manage(copied.service.environment, "verify_rollups")
    (agree,) = re.findall(r"^(\d+) rollups agree with their readings, 0 do not.", told)
    assert int(agree) > 0
    copied.catch_up()
    assert caller.count() == 600


def test_the_lag_is_a_metric(copied: Copied, caller: Caller) -> None:
    headers = {"Authorization": f"Bearer {'m' * 32}"}
    text = Door("GET", "/metrics", headers).ask(copied.service).body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith("monitoring_replica_lag_seconds "))
    assert 0 <= float(line.split()[1]) < 300


def test_a_conflict_with_what_comes_from_the_primary_is_503(copied: Copied, caller: Caller) -> None:
    """The statement waits for a lock of the primary's, and what it has read before is locked there too."""
    with psycopg.connect(copied.primary.url) as first, psycopg.connect(copied.primary.url) as second:
        first.execute("LOCK TABLE analytics_rollup")
        copied.catch_up()
        with ThreadPoolExecutor(1) as executor:
            asked = executor.submit(caller.ask, "GET", f"{caller.me}/analytics/")
            wait_until(lambda: bool(copied.on_standby("SELECT 1 FROM pg_locks WHERE NOT granted")))
            copied.let_answers_end(within="0")
            second.execute("LOCK TABLE devices_device")
            second.commit()
            answer = asked.result()
            copied.let_answers_end()
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    assert "conflict with recovery" in copied.service.log.read_text()
    wait_until(lambda: caller.ask("GET", f"{caller.me}/analytics/").status == 200)


def test_while_the_replica_is_away_the_primary_answers(copied: Copied, caller: Caller) -> None:
    copied.standby.shut_down("fast")
    try:
        caller.store(3)
        assert caller.count() == 3
        ready = caller.json("GET", "/health/ready")
        assert (ready["status"], ready["replica"]) == ("ok", "no answer")
        assert "replica does not answer" in copied.service.log.read_text()
    finally:
        copied.standby.start()
    wait_until(lambda: caller.json("GET", "/health/ready")["replica"] == "ok", 30)
