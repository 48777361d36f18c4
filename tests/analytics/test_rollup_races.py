"""Writers, builders and readers of one device at once: no interleaving gives an answer that the readings do not.

Each test is one interleaving. A gate holds the first caller at a known point; the second goes meanwhile as far as it
can; then the first goes on. Whatever came of it is held against plain Python at once, and again when all is built.
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from rest_framework.test import APIClient

from analytics import building, contents, pools, quarters, reference, summaries, tiling
from analytics.building import build
from analytics.models import Rollup
from analytics.order_statistics import nearest_rank
from analytics.periods import Level
from analytics.reference import Summary
from analytics.summaries import summarize
from analytics.verifying import verify
from devices import ingest, retention, single
from devices import models as device_models
from devices.models import Device, DeviceState, Reading
from devices.querysets import ReadingQuerySet
from devices.retention import prune
from devices.signals import readings_changed, readings_pruned
from devices.transactions import snapshot
from tests.devices.test_races import Callers, Gate, client_at_any_status
from tests.helpers import NEW_YEAR, at, client_of_device, codes, fields, stored
from tests.oracle import Sample, assert_agrees, oracle
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

Place = Callable[[Callers], Gate]
Window = tuple[datetime | None, datetime | None]

LATER = NEW_YEAR + timedelta(days=70)  # all is over
SOON = at(3 * 3600 + 900)  # of the history's hours 0, 1, 2, 19 and 20, the first three are
PRUNED = at(4000)  # no midnight, so that it is within an hour, too
WINDOWS: list[Window] = [
    (None, None),
    (at(0), at(3600)),
    (at(100), at(86_400)),
    (at(620), at(8000)),
]
PERCENTILES = {"5": Decimal(5), "99.9": Decimal("99.9")}


class Watchers(Callers):
    """On SQLite, a builder waits for a lock without BEGIN IMMEDIATE too."""

    def _may_wait(self, sql: str) -> bool:
        return True


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callers]:
    with ThreadPoolExecutor(4) as executor:
        callers = Watchers(executor, monkeypatch)
        try:
            yield callers
        finally:
            for gate in callers.gates:
                gate.opened.set()


@pytest.fixture(autouse=True)
def few_readings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "FEWEST", 4)
    monkeypatch.setattr(building, "FEW", 0)  # a step for each day


@pytest.fixture(autouse=True)
def history(device: Device) -> None:
    """A reading every two minutes, in five hours of a day."""
    times = (hour * 3600 + second for hour in (0, 1, 2, 19, 20) for second in range(0, 3600, 120))
    stored(device, *((s, (s * 7919) % 1009 / 8, -s, s % 17) for s in times))


class Writers:
    """All that changes readings, each with its way into the first hour of the history."""

    def __init__(self, device: Device, owner: User) -> None:
        self.device, self.path = device, f"/api/v1/devices/{device.pk}/"
        self.client, self.key = client_at_any_status(owner), client_of_device(device)
        self.readings = list(Reading.objects.oldest_first())
        self.reading = f"{self.path}readings/{self.readings[1].id}/"

    def batch(self) -> None:
        stored(self.device, (1810.5, 700, 8, 9), (1820.5, -700, 0, 1), (7100.5, 1e6, 2, 3))

    def single(self) -> None:
        self._send(self.client, "post", f"{self.path}readings/", 201, fields(1830.5, x=1e5))

    def single_by_key(self) -> None:
        self._send(self.key, "post", f"{self.path}readings/", 201, fields(1840.5, x=-1e5))

    def replacement(self) -> None:
        self._send(self.client, "put", self.reading, 200, fields(3700.5, x=-5e5))

    def deletion(self) -> None:
        self._send(self.client, "delete", self.reading, 204)

    def deletion_of_a_window(self) -> None:
        assert ingest.delete_window(self.device, at(240), at(4000)) > 30

    def deletion_of_the_device(self) -> None:
        self._send(self.client, "delete", self.path, 204)

    def builder(self) -> None:
        roll_up(self.device, LATER)

    def pruner(self, step: int = 1000) -> None:
        list(prune(self.device.pk, PRUNED, step))

    def named(self, name: str) -> Callable[[], None]:
        writer: Callable[[], None] = getattr(self, name)
        return writer

    @staticmethod
    def _send(client: APIClient, method: str, path: str, status: int, body: Any = None) -> None:
        response = getattr(client, method)(path, body)
        assert response.status_code == status, response.content


OF_READINGS = ["batch", "single", "replacement", "deletion", "deletion_of_a_window"]
ALL = [*OF_READINGS, "single_by_key", "deletion_of_the_device", "builder", "pruner"]


@pytest.fixture
def writers(device: Device, alice: User) -> Writers:
    return Writers(device, alice)


def write(writers: Writers, name: str) -> None:
    """A writer does its work, and what it did is answered at once."""
    writers.named(name)()
    all_agrees(writers.device)


def roll_up(device: Device, now: datetime) -> None:
    list(build(device, now))


def samples_of(device: Device) -> list[Sample]:
    return list(Reading.objects.filter(device=device.pk).values_list("recorded_at", "x", "y", "z"))


def all_agrees(device: Device) -> None:
    """Every window is answered as plain Python answers it, and as the plain path does."""
    samples = samples_of(device)
    for start, stop in WINDOWS:
        answers(summarize([device], start, stop, PERCENTILES), samples, start, stop)
        answers(reference.summarize([device.pk], start, stop, PERCENTILES), samples, start, stop)


def answers(summary: Summary, samples: list[Sample], start: datetime | None, stop: datetime | None) -> None:
    assert_agrees(summary, oracle(samples, start, stop))
    inside = [s for s in samples if (start is None or start <= s[0]) and (stop is None or s[0] < stop)]
    for axis, values in zip("xyz", list(zip(*inside, strict=True))[1:], strict=True) if inside else ():
        ranks = {text: nearest_rank(number, len(values)) for text, number in PERCENTILES.items()}
        assert getattr(summary, axis).percentiles == {text: sorted(values)[rank] for text, rank in ranks.items()}


def everything_is_true(device: Device) -> None:
    """Now; when a late reading comes; and when all is built."""
    all_agrees(device)
    if Device.objects.filter(pk=device.pk).exists():
        stored(device, (20 * 3600 + 0.5, 3e6, 3e6, 3e6))
        all_agrees(device)
        roll_up(device, LATER)
        unready = Rollup.objects.exclude(status=Rollup.Status.READY)
        assert not unready.exists()
        assert Rollup.objects.count() > 3
    else:
        assert not Reading.objects.exists()
        assert not Rollup.objects.exists()
        assert not DeviceState.objects.exists()
    assert [rollup for rollup, agrees in verify(device.pk) if not agrees] == []
    all_agrees(device)


# Where the first caller is held


def before(owner: Any, name: str) -> Place:
    return lambda callers: callers.gate(owner, name)


def after(owner: Any, name: str) -> Place:
    return lambda callers: callers.gate(owner, name, after=True)


def after_the_readings_of_the_day(callers: Callers) -> Gate:
    return gate_if(callers, "content_of", lambda device_id, level, start: level == Level.DAY, after=True)


def before_the_day(callers: Callers) -> Gate:
    return gate_if(callers, "_build", lambda device_id, period, token: period[0] == Level.DAY, after=False)


def gate_if(callers: Callers, name: str, condition: Callable[..., bool], *, after: bool) -> Gate:
    """A gate at a function of the builder that holds the first of some calls only."""
    gate, function = Gate(), getattr(building, name)
    callers.gates.append(gate)

    def held(*args: Any) -> Any:
        if not after and condition(*args):
            gate.pass_through()
        result = function(*args)
        if after and condition(*args):
            gate.pass_through()
        return result

    callers.monkeypatch.setattr(building, name, held)
    return gate


def after_the_snapshot_ended(callers: Callers) -> Gate:
    gate = Gate()
    callers.gates.append(gate)

    @contextmanager
    def held() -> Iterator[None]:
        with snapshot():
            yield
        gate.pass_through()

    callers.monkeypatch.setattr(building, "snapshot", held)
    return gate


BUILDING_PLACES: dict[str, Place] = {
    "marked_but_without_a_snapshot": before(building, "_build"),
    "in_the_middle_of_its_snapshot": before(contents, "raw_parts"),
    "with_the_readings_of_its_snapshot": after(building, "content_of"),
    "after_its_snapshot_and_before_ready": after_the_snapshot_ended,
    "after_ready": after(building, "_build"),
}
CLOSING_PLACES = {"before_closing": before(building, "_close_step"), **BUILDING_PLACES}
MENDING_PLACES = {"before_its_mark": before(secrets, "randbits"), **BUILDING_PLACES}
DAY_PLACES: dict[str, Place] = {
    "before_the_day_is_made_of_its_hours": before_the_day,
    "after_the_day_is_made_of_its_hours": after_the_readings_of_the_day,
}


# A builder is held, and a writer comes


@pytest.mark.parametrize("writer", ALL)
@pytest.mark.parametrize("place", CLOSING_PLACES)
def test_a_builder_that_closes_is_held(callers: Callers, writers: Writers, place: str, writer: str) -> None:
    gate = CLOSING_PLACES[place](callers)
    callers.meanwhile(gate, partial(roll_up, writers.device, SOON), partial(write, writers, writer))
    everything_is_true(writers.device)


@pytest.mark.parametrize("writer", ALL)
def test_a_builder_that_holds_the_lock_is_waited_for(callers: Callers, writers: Writers, writer: str) -> None:
    gate = callers.gate(building, "_mark")
    callers.in_a_queue(gate, partial(roll_up, writers.device, SOON), partial(write, writers, writer))
    everything_is_true(writers.device)


@pytest.mark.parametrize("writer", ALL)
@pytest.mark.parametrize("place", MENDING_PLACES)
def test_a_builder_that_mends_is_held(callers: Callers, writers: Writers, place: str, writer: str) -> None:
    roll_up(writers.device, LATER)
    stored(writers.device, (1800.5, -1e6, 5, 5))
    gate = MENDING_PLACES[place](callers)
    callers.meanwhile(gate, partial(roll_up, writers.device, LATER), partial(write, writers, writer))
    everything_is_true(writers.device)


@pytest.mark.parametrize("writer", ALL)
@pytest.mark.parametrize("place", DAY_PLACES)
def test_a_builder_of_a_day_is_held(callers: Callers, writers: Writers, place: str, writer: str) -> None:
    gate = DAY_PLACES[place](callers)
    callers.meanwhile(gate, partial(roll_up, writers.device, LATER), partial(write, writers, writer))
    everything_is_true(writers.device)


def test_a_builder_that_was_overtaken_does_not_open_again_what_is_closed(callers: Callers, writers: Writers) -> None:
    gate = callers.gate(building, "_close_step")
    callers.meanwhile(gate, partial(roll_up, writers.device, SOON), partial(roll_up, writers.device, LATER))
    assert DeviceState.objects.get().closed_until > at(20 * 3600)


def test_a_period_that_is_not_over_is_not_built_when_a_late_reading_comes_into_it(writers: Writers) -> None:
    roll_up(writers.device, SOON)
    writers.batch()
    roll_up(writers.device, SOON)
    assert set(Rollup.objects.filter(status=Rollup.Status.READY).values_list("level", flat=True)) == {Level.HOUR}
    everything_is_true(writers.device)


# A writer is held, and a builder comes

WRITING_PLACES: dict[str, Place] = {
    "before_it_has_the_lock": before(ingest, "shared_device_locks"),
    "with_the_lock_before_it_looks": before(ingest, "_states"),
    "after_it_looked": after(ingest, "_states"),
}
LATE_PLACES = {
    **WRITING_PLACES,
    "before_it_tells": before(readings_changed, "send"),
    "before_it_commits": after(readings_changed, "send"),
}


@pytest.mark.parametrize("writer", OF_READINGS)
@pytest.mark.parametrize("place", WRITING_PLACES)
def test_a_builder_that_closes_comes_while_a_writer_is_held(
    callers: Callers, writers: Writers, place: str, writer: str
) -> None:
    gate = WRITING_PLACES[place](callers)
    run = callers.meanwhile if place == "before_it_has_the_lock" else callers.in_a_queue
    run(gate, partial(write, writers, writer), partial(roll_up, writers.device, SOON))
    everything_is_true(writers.device)


@pytest.mark.parametrize("writer", OF_READINGS)
@pytest.mark.parametrize("place", LATE_PLACES)
def test_a_builder_that_mends_comes_while_a_writer_is_held(
    callers: Callers, writers: Writers, place: str, writer: str
) -> None:
    roll_up(writers.device, LATER)
    stored(writers.device, (1800.5, -1e6, 5, 5))
    gate = LATE_PLACES[place](callers)
    callers.meanwhile(gate, partial(write, writers, writer), partial(roll_up, writers.device, LATER))
    everything_is_true(writers.device)


def test_a_builder_mends_what_another_writer_marked_while_a_deletion_is_held(
    callers: Callers, other_device: Device
) -> None:
    """There are too few readings for a rollup that the deletion could mark: another writer makes the first marks."""
    stored(other_device, (1, 1e3, 1e3, 1e3), (2, 1e3, 1e3, 1e3), (3, 1e3, 1e3, 1e3))
    roll_up(other_device, LATER)

    def more_in_the_hour() -> None:
        stored(other_device, *((second, second, 0, 0) for second in range(600, 900, 60)))
        roll_up(other_device, LATER)

    gate = callers.gate(readings_changed, "send", after=True)
    deletion = partial(ingest.delete_window, other_device, at(0), at(60))
    deleted, _ = callers.meanwhile(gate, deletion, more_in_the_hour)
    assert deleted == 3
    everything_is_true(other_device)


@pytest.mark.parametrize("place", ["before_its_round_trip", "after_its_round_trip"])
@pytest.mark.parametrize("now", [SOON, LATER], ids=["soon", "later"])
def test_a_builder_comes_while_a_device_is_held_in_one_round_trip(
    callers: Callers, writers: Writers, place: str, now: datetime
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no path of one round trip")
    gate = callers.gate(single, "_execute", after=place == "after_its_round_trip")
    callers.meanwhile(gate, partial(write, writers, "single_by_key"), partial(roll_up, writers.device, now))
    everything_is_true(writers.device)


DELETING_PLACES: dict[str, Place] = {
    "before_it_has_the_lock": before(device_models, "exclusive_device_lock"),
    "before_it_commits": after(Model, "delete"),
    "before_it_purges_the_readings": before(ReadingQuerySet, "purge"),
}


@pytest.mark.parametrize("place", DELETING_PLACES)
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_builder_comes_while_the_deletion_of_the_device_is_held(
    callers: Callers, writers: Writers, place: str, closed: bool
) -> None:
    if closed:
        roll_up(writers.device, LATER)
        stored(writers.device, (1800.5, -1e6, 5, 5))
    gate = DELETING_PLACES[place](callers)
    callers.meanwhile(gate, writers.deletion_of_the_device, partial(roll_up, writers.device, LATER))
    everything_is_true(writers.device)


# A pruner is held, and somebody comes

PRUNING_PLACES: dict[str, Place] = {
    "before_its_bound": before(retention, "exclusive_device_lock"),
    "after_its_bound": before(retention, "_delete_some"),
    "before_it_commits": after(readings_pruned, "send"),
    "between_two_steps": after(retention, "_delete_some"),
}


def a_builder_closes(writers: Writers) -> None:
    roll_up(writers.device, SOON)


def a_builder_mends(writers: Writers) -> None:
    roll_up(writers.device, LATER)


def a_late_reading_comes_and_is_rolled_up(writers: Writers) -> None:
    """It marks the day and the thirty days, after the pruner has deleted what was there, and they are built."""
    stored(writers.device, (7300.5, 1e6, 2, 3))
    roll_up(writers.device, LATER)


def another_pruner_comes(writers: Writers) -> None:
    writers.pruner()


def the_device_is_deleted(writers: Writers) -> None:
    writers.deletion_of_the_device()


@pytest.mark.parametrize(
    "other",
    [
        a_builder_closes, a_builder_mends, a_late_reading_comes_and_is_rolled_up, another_pruner_comes,
        the_device_is_deleted,
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", PRUNING_PLACES)
def test_a_pruner_is_held(callers: Callers, writers: Writers, place: str, other: Callable[[Writers], None]) -> None:
    if other is not a_builder_closes:
        roll_up(writers.device, LATER)
    if other is a_late_reading_comes_and_is_rolled_up:
        Rollup.objects.filter(level__gt=Level.HOUR).delete()  # as an earlier step leaves it
    if other is a_builder_mends:
        stored(writers.device, (7100.5, -1e6, 5, 5))
    gate = PRUNING_PLACES[place](callers)
    step = 20 if place == "between_two_steps" else 1000
    callers.meanwhile(gate, partial(writers.pruner, step), partial(other, writers))
    assert not Reading.objects.filter(recorded_at__lt=PRUNED).exists()
    everything_is_true(writers.device)


@pytest.mark.parametrize("by_key", [False, True], ids=["by_a_person", "by_key"])
@pytest.mark.parametrize("method", ["post", "put"])
def test_a_writer_that_waited_for_a_pruner_is_refused(
    callers: Callers, writers: Writers, method: str, by_key: bool
) -> None:
    if by_key and method == "put":
        pytest.skip("a device changes no readings")
    client = writers.key if by_key else writers.client
    last = Reading.objects.newest_first()[0].id
    path = f"{writers.path}readings/" if method == "post" else f"{writers.path}readings/{last}/"
    gate = callers.gate(DeviceState, "save", after=True)
    _, response = callers.in_a_queue(gate, writers.pruner, lambda: getattr(client, method)(path, fields(3999.5)))
    assert codes(response) == {"/recorded_at": "before_retention"}
    everything_is_true(writers.device)


def test_a_batch_that_waited_for_a_pruner_is_refused(callers: Callers, writers: Writers) -> None:
    gate = callers.gate(DeviceState, "save", after=True)
    batch = [fields(4000), fields(3999.5)]
    _, response = callers.in_a_queue(
        gate, writers.pruner, lambda: writers.client.post(f"{writers.path}readings/", batch)
    )
    assert codes(response) == {"/1/recorded_at": "before_retention"}
    everything_is_true(writers.device)


@pytest.mark.parametrize("writer", OF_READINGS)
def test_a_pruner_waits_for_a_writer_and_takes_what_it_wrote(callers: Callers, writers: Writers, writer: str) -> None:
    roll_up(writers.device, LATER)
    gate = callers.gate(ingest, "_states", after=True)
    callers.in_a_queue(gate, writers.named(writer), writers.pruner)
    assert not Reading.objects.filter(recorded_at__lt=PRUNED).exists()
    everything_is_true(writers.device)


@pytest.mark.parametrize("place", ["before_its_round_trip", "after_its_round_trip"])
def test_a_pruner_comes_while_a_device_is_held_in_one_round_trip(
    callers: Callers, writers: Writers, place: str
) -> None:
    """Either it is stored, and goes again, or the round trip does not take it, and the full path refuses it."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no path of one round trip")
    gate = callers.gate(single, "_execute", after=place == "after_its_round_trip")
    response, _ = callers.meanwhile(
        gate, lambda: writers.key.post(f"{writers.path}readings/", fields(1840.5)), writers.pruner
    )
    assert response.status_code == (201 if place == "after_its_round_trip" else 400)
    assert not Reading.objects.filter(recorded_at__lt=PRUNED).exists()
    everything_is_true(writers.device)


# A reader is held: its answer is that of the moment its snapshot was taken

ALL_TIME, RAGGED = WINDOWS[0], WINDOWS[-1]  # ragged: parts of the first and the third hour
READING_PLACES: dict[str, tuple[Place, Window]] = {
    "after_its_rollups_of_one_level": (after(tiling, "_tiles_within"), ALL_TIME),
    "before_its_parts_of_hours": (before(quarters, "_known"), RAGGED),
    "before_the_values_of_its_parts": (before(quarters, "_read"), RAGGED),
    "before_its_raw_readings": (before(pools, "raw_readings"), ALL_TIME),
    "before_its_slices": (before(summaries, "read_slices"), RAGGED),
}


@pytest.mark.parametrize("writer", ALL)
@pytest.mark.parametrize("place", READING_PLACES)
def test_a_reader_is_held_within_its_snapshot(callers: Callers, writers: Writers, place: str, writer: str) -> None:
    device, samples = writers.device, with_some_rollups_stale(writers.device)
    hold, window = READING_PLACES[place]
    gate = hold(callers)
    summary, _ = callers.meanwhile(gate, partial(summarize, [device], *window, PERCENTILES), writers.named(writer))
    answers(summary, samples, *window)
    everything_is_true(device)


@pytest.mark.parametrize("writer", ALL)
def test_a_reader_is_held_before_its_snapshot(callers: Callers, writers: Writers, writer: str) -> None:
    device, _ = writers.device, with_some_rollups_stale(writers.device)
    gate = callers.gate(summaries, "pools_of")
    summary, _ = callers.meanwhile(
        gate, partial(summarize, [device], None, None, PERCENTILES), getattr(writers, writer)
    )
    answers(summary, samples_of(device), None, None)
    everything_is_true(device)


@pytest.mark.parametrize("writer", OF_READINGS)
@pytest.mark.parametrize("place", LATE_PLACES)
def test_a_reader_comes_while_a_writer_is_held(callers: Callers, writers: Writers, place: str, writer: str) -> None:
    device, samples = writers.device, with_some_rollups_stale(writers.device)
    gate = LATE_PLACES[place](callers)
    _, summary = callers.meanwhile(
        gate, writers.named(writer), partial(summarize, [device], at(0), at(7200), PERCENTILES)
    )
    answers(summary, samples, at(0), at(7200))
    everything_is_true(device)


@pytest.mark.parametrize("place", CLOSING_PLACES)
def test_a_reader_comes_while_a_builder_is_held(callers: Callers, writers: Writers, place: str) -> None:
    gate = CLOSING_PLACES[place](callers)
    callers.meanwhile(gate, partial(roll_up, writers.device, LATER), partial(all_agrees, writers.device))
    everything_is_true(writers.device)


def with_some_rollups_stale(device: Device) -> list[Sample]:
    """All is rolled up but the second hour, and so the day and the month; returns the readings."""
    roll_up(device, LATER)
    stored(device, (3600.5, -1e6, 5, 5))
    return samples_of(device)
