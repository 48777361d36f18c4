"""The hot path of a fleet: one reading by a device's key. Where anything is unusual, the full path answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from rest_framework.test import APIClient

from devices import single
from devices.models import Device, DeviceKey, Reading
from tests.helpers import client_of_device, codes, fields, send
from users.models import User

pytestmark = pytest.mark.django_db

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="the lean path is PostgreSQL's")


@pytest.fixture
def sensor(device: Device) -> APIClient:
    """The device with its key, which has been used in this minute, over a connection that knows the statement."""
    client = client_of_device(device)
    assert post(client, device, fields(-1)).status_code == 201
    Reading.objects.all().delete()
    return client


def post(client: APIClient, device: Device, body: Any) -> Any:
    return send(client, "POST", f"/api/v1/devices/{device.pk}/readings/", body)


def test_a_reading_costs_one_round_trip_on_postgresql(
    sensor: APIClient, device: Device, django_assert_num_queries: Any
) -> None:
    # PostgreSQL: 1 lock, key, device and insert in one message.
    # SQLite: 1 key with its device, 1 BEGIN (a savepoint in a test), 1 device under the lock, 1 insert, 1 COMMIT.
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 5):
        assert post(sensor, device, fields()).status_code == 201


@on_postgresql
def test_the_full_path_is_not_asked(sensor: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.ingest.receive_one", None)
    assert post(sensor, device, fields()).status_code == 201


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[Any]]:
    """What a request answers by the lean path and by the full one, each on its own state."""

    def ask(request: Callable[[], Any]) -> list[Any]:
        lean = request()
        Reading.objects.all().delete()
        with monkeypatch.context() as patch:
            patch.setattr(single, "_is_usual", lambda request: False)
            return [(answer.status_code, answer.json()) for answer in (lean, request())]

    return ask


@pytest.mark.parametrize(
    "body",
    [
        fields(),
        {**fields(), "recorded_at": "2026-01-01T01:00:00.000001+01:00"},
        {**fields(), "recorded_at": "1900-01-01t00:00:00z", "x": -0.0, "y": 1e15, "z": 5e-324},
        {**fields(), "x": 1, "y": 123456789012345, "z": 1e-7},
    ],
)
def test_both_paths_answer_alike(both_ways: Any, sensor: APIClient, device: Device, body: dict[str, Any]) -> None:
    lean, full = both_ways(lambda: post(sensor, device, body))
    assert lean == full
    assert lean[0] == 201


@pytest.mark.parametrize(
    "body",
    [
        {**fields(), "x": "1"},
        {**fields(), "x": 1e16},
        {**fields(), "x": float("nan")},
        {**fields(), "recorded_at": "2026-01-01T00:00:00"},
        {**fields(), "recorded_at": None},
        {**fields(), "q": 1},
        {"x": 1, "y": 2},
        [],
        "x",
    ],
)
def test_both_paths_refuse_alike(both_ways: Any, sensor: APIClient, device: Device, body: Any) -> None:
    lean, full = both_ways(lambda: post(sensor, device, body))
    assert lean == full
    assert lean[0] == 400


def test_the_same_reading_again_is_200(sensor: APIClient, device: Device) -> None:
    assert [post(sensor, device, fields()).status_code for _ in range(3)] == [201, 200, 200]
    assert Reading.objects.count() == 1


def test_a_wrong_secret_is_401_and_stores_nothing(sensor: APIClient, device: Device) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Device {DeviceKey.objects.get().prefix}.wrong")
    assert post(client, device, fields()).status_code == 401
    assert not Reading.objects.exists()


def test_a_revoked_key_is_refused_at_once(sensor: APIClient, device: Device) -> None:
    DeviceKey.objects.all().delete()
    assert post(sensor, device, fields()).status_code == 401
    assert not Reading.objects.exists()


def test_the_key_of_another_device_is_404_and_stores_nothing(
    sensor: APIClient, device: Device, other_device: Device
) -> None:
    assert post(sensor, other_device, fields()).status_code == 404
    assert not Reading.objects.exists()


def test_an_inactive_device_is_403_and_stores_nothing(sensor: APIClient, device: Device) -> None:
    Device.objects.update(is_active=False)
    response = post(sensor, device, fields())
    assert (response.status_code, codes(response)) == (403, {"": "device_inactive"})
    assert not Reading.objects.exists()


def test_the_key_of_an_inactive_owner_is_401_and_stores_nothing(sensor: APIClient, device: Device) -> None:
    User.objects.update(is_active=False)
    assert post(sensor, device, fields()).status_code == 401
    assert not Reading.objects.exists()


@pytest.mark.parametrize(
    "authorization", ["Device", "Device ", "Device x", "Device \x00.x", "Device \xfc.x", "device x.y"]
)
def test_an_odd_key_is_401(sensor: APIClient, device: Device, authorization: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=authorization)
    assert post(client, device, fields()).status_code == 401


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_has_forgotten_the_statement_still_stores(device: Device) -> None:
    client = client_of_device(device)
    assert post(client, device, fields(0)).status_code == 201
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert post(client, device, fields(1)).status_code == 201
    assert Reading.objects.count() == 2


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_reading_that_is_stored_is_answered_so_though_the_use_of_the_key_can_not_be_noted(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(key_id: int, last_used_at: object) -> None:
        raise OperationalError("the connection is lost")

    client = client_of_device(device)
    monkeypatch.setattr(single, "note_use", fail)
    assert post(client, device, fields()).status_code == 201


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_fault_that_passes_is_503_without_trying_the_other_way(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError("no lock in time")

    client = client_of_device(device)
    monkeypatch.setattr(single, "_execute", fail)
    assert post(client, device, fields()).status_code == 503


def test_a_device_id_beyond_any_is_404(sensor: APIClient) -> None:
    for device_id in (0, 2**31, 2**63, 10**30):
        path = f"/api/v1/devices/{device_id}/readings/"
        assert sensor.generic("POST", path, json.dumps(fields()), content_type="application/json").status_code == 404
