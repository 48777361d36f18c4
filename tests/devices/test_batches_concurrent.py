"""Batches that arrive on several connections at once, each in a thread with a connection of its own."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from devices.models import Device, Reading
from tests.helpers import client_of, fields, stored
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 16
TIMEOUT = 60  # seconds; nothing here takes ten
ROUNDS = 25


@pytest.fixture
def clients(alice: User) -> Iterator[list[APIClient]]:
    """Alice, at sixteen machines, and a connection to the database for each of them."""
    clients = [client_of(alice) for _ in range(CONNECTIONS)]
    for client in clients:
        client.raise_request_exception = False  # as over the wire: a defect is a 500
    pool: Any = getattr(connection, "pool", None)  # PostgreSQL alone has one
    if pool is None:
        yield clients
        return
    size = pool.min_size, pool.max_size
    pool.resize(size[0], CONNECTIONS + 1)
    yield clients
    pool.resize(*size)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What all return, started together."""
    barrier = Barrier(len(calls), timeout=TIMEOUT)

    def started_together(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as executor:
        return [future.result(TIMEOUT) for future in [executor.submit(started_together, call) for call in calls]]


def created(responses: Sequence[Any]) -> int:
    """How many rows several receipts call new."""
    assert [response.status_code for response in responses] == [200] * len(responses)
    return sum(response.json()["created"] for response in responses)


def in_any_order(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    return random.Random(seed).sample(rows, len(rows))


def test_the_same_batch_on_sixteen_connections_is_stored_once(clients: list[APIClient], device: Device) -> None:
    rows = [fields(second) for second in range(2_000)]
    answers = at_once(*(partial(client.post, f"/api/v1/devices/{device.pk}/readings/", rows) for client in clients))
    assert created(answers) == Reading.objects.count() == 2_000
    assert sum(answer.json()["duplicates"] for answer in answers) == 15 * 2_000


def test_the_same_rows_in_sixteen_orders_are_stored_once(clients: list[APIClient], device: Device) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(0, 1_000, 7)))
    there = Reading.objects.count()
    rows = [fields(second) for second in range(1_000)]
    path = f"/api/v1/devices/{device.pk}/readings/"
    answers = at_once(*(partial(clients[seed].post, path, in_any_order(rows, seed)) for seed in range(CONNECTIONS)))
    assert created(answers) == 1_000 - there
    assert Reading.objects.count() == 1_000


def test_the_same_batch_for_many_devices_on_sixteen_connections_is_stored_once(
    clients: list[APIClient], alice: User
) -> None:
    devices = Device.objects.bulk_create([Device(owner=alice, name=str(number)) for number in range(200)])
    rows = [{"device": device.pk, **fields(second)} for device in devices for second in range(5)]
    answers = at_once(
        *(partial(clients[seed].post, "/api/v1/readings/", in_any_order(rows, seed)) for seed in range(CONNECTIONS))
    )
    assert created(answers) == Reading.objects.count() == 1_000


def test_overlapping_batches_in_opposite_orders_never_stop_each_other(clients: list[APIClient], device: Device) -> None:
    path = f"/api/v1/devices/{device.pk}/readings/"
    for start in range(0, ROUNDS * 1_000, 1_000):
        rows = [fields(second) for second in range(start, start + 600)]
        one, other = rows[:400], rows[:199:-1]
        answers = at_once(partial(clients[0].post, path, one), partial(clients[1].post, path, other))
        assert created(answers) == 600
    assert Reading.objects.count() == ROUNDS * 600


def test_overlapping_batches_with_what_is_stored_never_stop_each_other(
    clients: list[APIClient], device: Device
) -> None:
    """One finds its duplicate first in its batch, one last: they leave the straight way at different moments."""
    path = f"/api/v1/devices/{device.pk}/readings/"
    for start in range(0, ROUNDS * 1_000, 1_000):
        stored(device, (start, 1, 2, 3), (start + 599, 1, 2, 3))
        rows = [fields(second) for second in range(start, start + 600)]
        batches = rows[:400], rows[:199:-1], rows[300:]
        answers = at_once(*(partial(client.post, path, batch) for client, batch in zip(clients, batches, strict=False)))
        assert created(answers) == 598
    assert Reading.objects.count() == ROUNDS * 600


def test_overlapping_batches_for_devices_in_opposite_orders_never_stop_each_other(
    clients: list[APIClient], alice: User
) -> None:
    devices = Device.objects.bulk_create([Device(owner=alice, name=str(number)) for number in range(40)])
    for second in range(ROUNDS):
        rows = [{"device": device.pk, **fields(second, x=x)} for device in devices for x in range(5)]
        answers = at_once(
            partial(clients[0].post, "/api/v1/readings/", rows[:150]),
            partial(clients[1].post, "/api/v1/readings/", rows[:49:-1]),
        )
        assert created(answers) == 200
    assert Reading.objects.count() == ROUNDS * 200


@pytest.mark.parametrize("partial_batch", [False, True])
def test_a_batch_beside_the_deletion_of_one_of_its_devices_leaves_no_orphan(
    clients: list[APIClient], alice: User, partial_batch: bool
) -> None:
    kept = Device.objects.bulk_create([Device(owner=alice, name=str(number)) for number in range(20)])
    path = f"/api/v1/readings/?partial={str(partial_batch).lower()}"
    outcomes = set()
    for second in range(ROUNDS):
        gone = Device.objects.create(owner=alice, name="Fan")
        rows = [{"device": device.pk, **fields(second, x=x)} for device in [*kept, gone] for x in range(5)]
        batch, deletion = at_once(
            partial(clients[0].post, path, rows),
            partial(clients[1].delete, f"/api/v1/devices/{gone.pk}/"),
        )
        assert deletion.status_code == 204
        outcomes.add((batch.status_code, batch.json().get("rejected_count")))
    assert outcomes <= {(200, 0), (200, 5) if partial_batch else (400, None)}
    assert not Reading.objects.exclude(device__in=Device.objects.all()).exists()
