"""Analyses on several connections at once: who runs one, who ends it, and who makes a run stop."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from analytics import analyses, answers, embedded, running, wakeups
from analytics.embedded import Runner
from analytics.models import Analysis
from devices.models import Device, Figure
from tests.analytics.leases import claimed, outlive
from tests.devices.test_races import Callers
from tests.helpers import client_of, stored
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1e12) SELECT max(n) FROM c",
}
STOPS_WITHIN = 5  # seconds
TIMEOUT = 30
ROUNDS = 10


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callers]:
    with ThreadPoolExecutor(4) as executor:
        yield Callers(executor, monkeypatch)


def status_of(analysis: Analysis) -> str:
    return Analysis.objects.get(pk=analysis.pk).status


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + TIMEOUT
    while not condition():
        assert monotonic() < deadline, "it never came"
        sleep(0.02)


# One of two


@pytest.mark.parametrize("round", range(ROUNDS))
def test_equal_requests_at_once_are_one_analysis(callers: Callers, alice: User, device: Device, round: int) -> None:
    started = callers.all_at_once([partial(analyses.start, alice, device, {}, {})] * 4)
    assert len({analysis.pk for analysis in started}) == 1
    assert Analysis.objects.count() == 1


@pytest.mark.parametrize("round", range(ROUNDS))
def test_one_of_two_gets_an_analysis(callers: Callers, analysis: Analysis, round: int) -> None:
    runs = callers.all_at_once([partial(analyses.claim, analysis.pk)] * 4)
    assert len([run for run in runs if run is not None]) == 1
    assert Analysis.objects.get().attempts == 1


@pytest.mark.parametrize("round", range(ROUNDS))
def test_one_of_two_gets_what_was_lost(callers: Callers, analysis: Analysis, round: int) -> None:
    claimed(analysis)
    outlive(analysis)
    runs = callers.all_at_once([partial(analyses.claim, analysis.pk)] * 3 + [analyses.sweep])
    assert len([run for run in runs if run is not None]) == 1
    assert Analysis.objects.get().attempts == 2


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_late_end_and_the_sweeper_agree(callers: Callers, analysis: Analysis, round: int) -> None:
    late = claimed(analysis)
    outlive(analysis)
    finished, _ = callers.all_at_once([partial(analyses.finish, late, "{}"), analyses.sweep])
    assert status_of(analysis) == ("succeeded" if finished else "pending")


@pytest.mark.parametrize("round", range(ROUNDS))
def test_an_end_and_a_cancel_agree(callers: Callers, analysis: Analysis, round: int) -> None:
    run = claimed(analysis)
    finished, cancelled = callers.all_at_once(
        [partial(analyses.finish, run, "{}"), partial(analyses.cancel, analysis.pk)]
    )
    assert finished != cancelled
    assert status_of(analysis) == ("succeeded" if finished else "cancelled")


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_request_and_the_deletion_of_its_device_agree(
    callers: Callers, alice: User, device: Device, round: int
) -> None:
    apis = [client_of(alice), client_of(alice)]
    path = f"/api/v1/devices/{device.pk}/"
    started, deleted = callers.all_at_once(
        [partial(apis[0].post, f"{path}analyses/", {}), partial(apis[1].delete, path)]
    )
    assert (started.status_code, deleted.status_code) in {(202, 204), (404, 204)}
    assert not Analysis.objects.exists()


# Stopping


def slow_statement(*args: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(SLOW[connection.vendor])
        cursor.fetchall()
    raise AssertionError("nobody stopped it")


def many_statements(*args: Any) -> dict[str, Any]:
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    raise AssertionError("nobody stopped it")


@pytest.fixture(params=[slow_statement, many_statements])
def run(request: Any, callers: Callers, analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> Iterator["Run"]:
    """A run that would take a minute, under way."""
    monkeypatch.setattr(answers, "of_device", request.param)
    stopping = Event()
    future = callers.start(partial(running.run, analysis.pk, stopping))
    wait_until(lambda: status_of(analysis) == "running")
    yield Run(future, stopping)
    stopping.set()


class Run:
    def __init__(self, future: "Future[None]", stopping: Event) -> None:
        self.future, self.stopping = future, stopping


def test_a_cancelled_run_stops_within_seconds(run: Run, analysis: Analysis, alice: User) -> None:
    assert client_of(alice).post(f"/api/v1/analyses/{analysis.pk}/cancel/").status_code == 200
    run.future.result(STOPS_WITHIN)
    assert (status_of(analysis), Analysis.objects.get().attempts) == ("cancelled", 1)


def test_the_run_of_a_deleted_analysis_stops_within_seconds(run: Run, analysis: Analysis, alice: User) -> None:
    assert client_of(alice).delete(f"/api/v1/analyses/{analysis.pk}/").status_code == 204
    run.future.result(STOPS_WITHIN)
    assert not Analysis.objects.exists()


def test_a_run_gives_its_analysis_back_when_the_process_is_to_stop(run: Run, analysis: Analysis) -> None:
    run.stopping.set()
    run.future.result(STOPS_WITHIN)
    assert (status_of(analysis), Analysis.objects.get().attempts) == ("pending", 0)


def test_a_run_that_was_taken_over_stops_and_leaves_the_other_alone(run: Run, analysis: Analysis) -> None:
    outlive(analysis)
    mine = claimed(analysis)
    run.future.result(STOPS_WITHIN)
    assert analyses.finish(mine, '{"count": 1}')


def test_after_a_stop_the_connection_is_as_good_as_new(
    callers: Callers, analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "of_device", slow_statement)
    stopping = Event()

    def run_and_ask() -> int:
        running.run(analysis.pk, stopping)
        return Analysis.objects.count()

    future = callers.start(run_and_ask)
    wait_until(lambda: status_of(analysis) == "running")
    stopping.set()
    assert future.result(STOPS_WITHIN) == 1


def test_a_run_renews_its_lease_and_tells_how_far_it_is(
    callers: Callers, alice: User, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "TICK", 0.01)
    analysis, gate = analyses.start(alice, alice, {"aggregate": False}, {}), Event()

    def answer(user: User, question: object, report: Callable[[float], None]) -> dict[str, Any]:
        report(0.5)
        gate.wait(TIMEOUT)
        return {}

    monkeypatch.setattr(answers, "of_each_device", answer)
    future = callers.start(partial(running.run, analysis.pk))
    wait_until(lambda: status_of(analysis) == "running")
    Analysis.objects.update(lease_until=timezone.now() + timedelta(seconds=5))
    in_a_while = timezone.now() + timedelta(seconds=10)
    wait_until(lambda: Analysis.objects.filter(lease_until__gt=in_a_while, progress=0.5).exists())
    gate.set()
    future.result(TIMEOUT)
    assert Analysis.objects.get().progress == 1


# The service's own runner


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.stopping.set()
    wakeups.woken.set()
    if runner.is_alive():
        runner.join(TIMEOUT)


def test_without_a_broker_the_service_runs_what_is_asked(
    runner: Runner, alice: User, device: Device, other_device: Device
) -> None:
    stored(device, (0, 1, 2, 3))
    api, path = client_of(alice), f"/api/v1/devices/{device.pk}"
    runner.start()
    ids = [api.post(f"{path}/analyses/", parameters).json()["id"] for parameters in ({}, {"interval": "day"})]
    wait_until(lambda: Analysis.objects.filter(status="succeeded").count() == 2)
    results = [result_of(api, id) for id in ids]
    assert results == [api.get(f"{path}/analytics/").json(), api.get(f"{path}/analytics/?interval=day").json()]


def result_of(api: APIClient, id: str) -> Any:
    return api.get(f"/api/v1/analyses/{id}/").json()["result"]


def test_it_takes_back_what_was_lost(runner: Runner, analysis: Analysis) -> None:
    claimed(analysis)
    outlive(analysis)
    runner.start()
    wait_until(lambda: status_of(analysis) == "succeeded")
    assert Analysis.objects.get().attempts == 2


def test_it_goes_on_after_a_fault(runner: Runner, analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    next_pending, faults = analyses.next_pending, iter([RuntimeError("out of the blue")])

    def fail_once() -> Any:
        for fault in faults:
            wakeups.woken.set()
            raise fault
        return next_pending()

    monkeypatch.setattr(analyses, "next_pending", fail_once)
    runner.start()
    wait_until(lambda: status_of(analysis) == "succeeded")


def test_it_keeps_the_figures_of_the_back_office(runner: Runner, device: Device) -> None:
    runner.start()
    wait_until(lambda: Figure.objects.filter(name="devices unknown", value=1).exists())


def test_it_is_one_for_the_process_and_ends_with_it(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "of_device", slow_statement)
    embedded.start()
    first = embedded._runner
    embedded.start()
    assert embedded._runner is first
    wait_until(lambda: status_of(analysis) == "running")
    embedded.stop()
    assert first is not None
    assert not first.is_alive()
    assert (status_of(analysis), Analysis.objects.get().attempts) == ("pending", 0)


def test_with_a_broker_there_is_none(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_runner", None)
    settings.BROKER_URL = "redis://127.0.0.1:1/0"
    embedded.start()
    assert embedded._runner is None


def test_with_a_broker_the_word_of_it_waits_for_nobody(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    published, gate = [], Event()

    def publish(analysis_id: object) -> None:
        gate.wait(TIMEOUT)
        published.append(analysis_id)
        if len(published) == 1:
            raise OSError("the broker is away")

    settings.BROKER_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(wakeups, "publish", publish)
    ids: list[Any] = list(range(wakeups.ROOM + 100))
    for id in ids:
        wakeups.wake(id)
    assert published == []
    gate.set()
    wait_until(lambda: len(published) >= wakeups.ROOM)
    assert published[: wakeups.ROOM] == ids[: wakeups.ROOM]  # what found no room is the sweeper's
