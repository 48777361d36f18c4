"""Devices and their keys."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from devices.models import Device, DeviceKey, Reading
from tests.helpers import client_of, client_of_device, codes, fields, send, stored
from users.models import User

pytestmark = pytest.mark.django_db


def test_a_new_device_belongs_to_the_caller_and_shows_its_key_once(api: APIClient, alice: User) -> None:
    response = api.post(
        "/api/v1/devices/", {"name": "Pump 1", "timezone": "Asia/Kathmandu", "expected_interval": 0.03125}
    )
    assert response.status_code == 201
    created = response.json()
    device = Device.objects.get()
    assert created.pop("key").startswith(f"{device.keys.get().prefix}.")
    assert api.get(f"/api/v1/devices/{device.pk}/").json() == created
    assert created | {"created_at": None} == {
        "id": device.pk,
        "name": "Pump 1",
        "owner": alice.pk,
        "description": "",
        "timezone": "Asia/Kathmandu",
        "expected_interval": 0.03125,
        "retention_days": None,
        "is_active": True,
        "created_at": None,
    }


def test_the_shown_key_speaks_for_the_device(api: APIClient) -> None:
    created = api.post("/api/v1/devices/", {"name": "Pump 1"}).json()
    client = APIClient(HTTP_AUTHORIZATION=f"Device {created['key']}")
    assert client.post(f"/api/v1/devices/{created['id']}/readings/", fields()).status_code == 201


def test_a_name_is_unique_per_owner(api: APIClient, bob: User, device: Device) -> None:
    response = api.post("/api/v1/devices/", {"name": "Pump 1"})
    assert (response.status_code, codes(response)) == (400, {"/name": "unique"})
    assert client_of(bob).post("/api/v1/devices/", {"name": "Pump 1"}).status_code == 201


def test_a_device_cannot_take_the_name_of_another(api: APIClient, device: Device, other_device: Device) -> None:
    response = api.patch(f"/api/v1/devices/{device.pk}/", {"name": "Pump 2"})
    assert (response.status_code, codes(response)) == (400, {"/name": "unique"})


def test_staff_create_a_device_for_somebody(staff: User, alice: User) -> None:
    response = client_of(staff).post("/api/v1/devices/", {"name": "Pump 1", "owner": alice.pk})
    assert response.json()["owner"] == alice.pk


def test_a_user_cannot_give_a_device_to_somebody(api: APIClient, bob: User, device: Device) -> None:
    created = api.post("/api/v1/devices/", {"name": "Pump 3", "owner": bob.pk})
    changed = api.patch(f"/api/v1/devices/{device.pk}/", {"owner": bob.pk})
    assert codes(created) == codes(changed) == {"/owner": "does_not_exist"}


def test_a_superuser_who_changes_a_device_leaves_it_with_its_owner(
    superuser: User, alice: User, device: Device
) -> None:
    response = client_of(superuser).put(f"/api/v1/devices/{device.pk}/", {"name": "Pump 9"})
    assert (response.json()["name"], response.json()["owner"]) == ("Pump 9", alice.pk)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", "", "blank"),
        ("name", None, "null"),
        ("name", "x" * 201, "max_length"),
        ("timezone", "Mars/Olympus", "unknown_timezone"),
        ("timezone", "../../etc/passwd", "unknown_timezone"),
        ("expected_interval", 0, "min_value"),
        ("expected_interval", float("nan"), "invalid"),
        ("expected_interval", 1e300, "max_value"),
        ("retention_days", 0, "min_value"),
        ("retention_days", 36_501, "max_value"),
        ("retention_days", 1.5, "invalid"),
        ("is_active", "perhaps", "invalid"),
        ("owner", 2**70, "does_not_exist"),
        ("owner", [], "incorrect_type"),
        ("colour", "red", "unknown_field"),
        ("\ud800", "", "unknown_field"),
    ],
)
def test_a_bad_field_is_named(api: APIClient, field: str, value: Any, code: str) -> None:
    response = send(api, "POST", "/api/v1/devices/", {"name": "Pump 1", field: value})
    assert (response.status_code, codes(response)) == (400, {f"/{field}".replace("\ud800", "?"): code})
    assert not Device.objects.exists()


@pytest.mark.parametrize("name", ["a\x00b", "\ud800"])
def test_a_name_that_no_database_holds_is_refused(api: APIClient, name: str) -> None:
    assert send(api, "POST", "/api/v1/devices/", {"name": name}).status_code == 400


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Pump 1", "Pump 2"]),
        ("search=ump 2", ["Pump 2"]),
        ("is_active=false", ["Pump 2"]),
        ("is_active=true", ["Pump 1"]),
        ("ordering=-name", ["Pump 2", "Pump 1"]),
        ("ordering=-created_at", ["Pump 2", "Pump 1"]),
    ],
)
def test_the_list_filters(api: APIClient, device: Device, other_device: Device, query: str, names: list[str]) -> None:
    Device.objects.filter(pk=other_device.pk).update(is_active=False)
    response = api.get(f"/api/v1/devices/?{query}")
    assert [device["name"] for device in response.json()["results"]] == names


def test_staff_filter_by_owner(staff: User, alice: User, bob: User, device: Device) -> None:
    Device.objects.create(owner=bob, name="Bob's")
    results = client_of(staff).get(f"/api/v1/devices/?owner={bob.pk}").json()["results"]
    assert [device["name"] for device in results] == ["Bob's"]


@pytest.mark.parametrize(
    "query",
    ["owner=x", "owner=0", "owner=1.5", f"owner={2**63}", "is_active=perhaps", "ordering=colour", "search=%00",
     "cursor=x", "cursor=WzFd", "cursor=WyJ4IiwieCJd", "cursor=%F0%9F%98%80", "page_size=0", "page_size=x"],
)  # fmt: skip
def test_nonsense_in_the_query_is_named(api: APIClient, device: Device, query: str) -> None:
    response = api.get(f"/api/v1/devices/?{query}")
    assert response.status_code == 400
    assert list(codes(response)) == ["/" + query.split("=", maxsplit=1)[0]]


@pytest.mark.parametrize("path", ["0", "9223372036854775808", "99999999999999999999999", "-1", "x", "1.0", "%00"])
def test_an_id_that_no_device_has_is_404(api: APIClient, device: Device, path: str) -> None:
    for tail in ("", "latest/", "analytics/", "keys/", "readings/"):
        assert api.get(f"/api/v1/devices/{path}/{tail}").status_code == 404


def test_the_latest_reading(api: APIClient, device: Device, other_device: Device) -> None:
    stored(device, (5, 1, 2, 3), (7, 4, 5, 6), (6, 7, 8, 9))
    stored(other_device, (8, 0, 0, 0))
    response = api.get(f"/api/v1/devices/{device.pk}/latest/")
    assert (response.json()["recorded_at"], response.json()["x"]) == ("2026-01-01T00:00:07Z", 4)


def test_no_reading_yet_is_404(api: APIClient, device: Device) -> None:
    assert api.get(f"/api/v1/devices/{device.pk}/latest/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_deleted_device_takes_its_readings_and_keys_along(
    api: APIClient, device: Device, other_device: Device
) -> None:
    stored(device, (0, 1, 2, 3))
    stored(other_device, (0, 1, 2, 3))
    DeviceKey.issue(device)
    assert api.delete(f"/api/v1/devices/{device.pk}/").status_code == 204
    assert [reading.device_id for reading in Reading.objects.all()] == [other_device.pk]
    assert not DeviceKey.objects.exists()


def test_an_id_is_never_used_again(api: APIClient, device: Device) -> None:
    api.delete(f"/api/v1/devices/{device.pk}/")
    assert api.post("/api/v1/devices/", {"name": "Pump 1"}).json()["id"] > device.pk


def test_keys_rotate_without_a_gap(api: APIClient, device: Device) -> None:
    old = api.post(f"/api/v1/devices/{device.pk}/keys/").json()
    new = api.post(f"/api/v1/devices/{device.pk}/keys/").json()
    for key in (old, new):
        client = APIClient(HTTP_AUTHORIZATION=f"Device {key['key']}")
        assert client.get(f"/api/v1/devices/{device.pk}/").status_code == 200
    assert api.delete(f"/api/v1/devices/{device.pk}/keys/{old['prefix']}/").status_code == 204
    listed = api.get(f"/api/v1/devices/{device.pk}/keys/").json()["results"]
    assert [key["prefix"] for key in listed] == [new["prefix"]]


def test_the_list_of_keys_shows_no_secret(api: APIClient, device: Device) -> None:
    DeviceKey.issue(device)
    listed = api.get(f"/api/v1/devices/{device.pk}/keys/").json()["results"]
    assert listed[0].keys() == {"prefix", "created_at", "last_used_at"}


def test_a_secret_is_kept_only_as_a_hash(device: Device) -> None:
    key, text = DeviceKey.issue(device)
    assert text.partition(".")[2] not in str(vars(key))


def test_a_key_of_another_device_is_not_revoked_through_this_one(
    api: APIClient, device: Device, other_device: Device
) -> None:
    prefix = DeviceKey.issue(other_device)[0].prefix
    assert api.delete(f"/api/v1/devices/{device.pk}/keys/{prefix}/").status_code == 404


def test_use_of_a_key_is_noted_at_most_once_a_minute(device: Device) -> None:
    client = client_of_device(device)
    client.get(f"/api/v1/devices/{device.pk}/")
    first = DeviceKey.objects.get().last_used_at
    client.get(f"/api/v1/devices/{device.pk}/")
    assert first is not None
    assert DeviceKey.objects.get().last_used_at == first
    DeviceKey.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    client.get(f"/api/v1/devices/{device.pk}/")
    assert DeviceKey.objects.filter(last_used_at__gte=first).exists()


def test_the_list_costs_the_same_for_many(api: APIClient, alice: User, django_assert_num_queries: Any) -> None:
    Device.objects.bulk_create(Device(owner=alice, name=str(number)) for number in range(50))
    # 2 token, 1 page
    with django_assert_num_queries(3):
        assert len(api.get("/api/v1/devices/").json()["results"]) == 50


def test_the_list_of_keys_costs_the_same_for_many(
    api: APIClient, device: Device, django_assert_num_queries: Any
) -> None:
    for _ in range(20):
        DeviceKey.issue(device)
    # 2 token, 1 device, 1 page
    with django_assert_num_queries(4):
        assert len(api.get(f"/api/v1/devices/{device.pk}/keys/").json()["results"]) == 20
