"""Readings one at a time and in arrays."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.test import APIClient

from devices.models import Device, Reading
from tests.helpers import codes, fields, send, stored

pytestmark = pytest.mark.django_db


def test_a_single_reading_is_stored_and_answered(api: APIClient, device: Device) -> None:
    body = {"x": 1.0, "y": 2.0, "z": 3.0, "recorded_at": "2026-01-01T01:00:00.5+01:00"}
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", body)
    assert response.status_code == 201
    reading = Reading.objects.get()
    assert response.json() == {
        "id": reading.id,
        "device": device.pk,
        "recorded_at": "2026-01-01T00:00:00.500000Z",
        "x": 1.0,
        "y": 2.0,
        "z": 3.0,
    }


def test_the_same_reading_again_is_200_and_stored_once(api: APIClient, device: Device) -> None:
    first = api.post(f"/api/v1/devices/{device.pk}/readings/", fields())
    again = api.post(f"/api/v1/devices/{device.pk}/readings/", fields())
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert Reading.objects.count() == 1


def test_two_readings_of_one_moment_both_stay(api: APIClient, device: Device) -> None:
    for x in (1, 2):
        assert api.post(f"/api/v1/devices/{device.pk}/readings/", fields(x=x)).status_code == 201
    assert Reading.objects.count() == 2


def test_without_a_time_it_is_the_time_of_receipt(api: APIClient, device: Device) -> None:
    before = datetime.now(UTC)
    api.post(f"/api/v1/devices/{device.pk}/readings/", {"x": 1, "y": 2, "z": 3})
    assert before <= Reading.objects.get().recorded_at <= datetime.now(UTC)


def test_without_a_time_equal_readings_of_one_microsecond_both_stay(
    api: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(3):
        assert api.post(f"/api/v1/devices/{device.pk}/readings/", {"x": 1, "y": 2, "z": 3}).status_code == 201
    times = Reading.objects.oldest_first().values_list("recorded_at", flat=True)
    assert [time.microsecond for time in times] == [0, 1, 2]


def test_negative_zero_is_zero(api: APIClient, device: Device) -> None:
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", fields(x=-0.0))
    assert str(response.json()["x"]) == "0.0"
    assert api.post(f"/api/v1/devices/{device.pk}/readings/", fields(x=0)).status_code == 200


def test_an_array_gets_a_receipt(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", [fields(0), fields(1), fields(1), fields(2)])
    assert response.status_code == 200
    assert response.json() == {"received": 4, "created": 2, "duplicates": 2, "rejected_count": 0, "rejected": []}


def test_an_empty_array_is_refused(api: APIClient, device: Device) -> None:
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", [])
    assert (response.status_code, codes(response)) == (400, {"": "empty"})


def test_one_bad_row_refuses_the_batch_and_is_named(api: APIClient, device: Device) -> None:
    batch = [fields(second) for second in range(5)]
    batch[3]["x"] = "1.0"
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", batch)
    assert (response.status_code, codes(response)) == (400, {"/3/x": "not_a_number"})
    assert response.json()["detail"] == "1 of 5 rows are bad; nothing was stored."
    assert not Reading.objects.exists()


def test_of_many_bad_rows_the_first_hundred_are_named_and_all_are_counted(api: APIClient, device: Device) -> None:
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", [fields(second, x=None) for second in range(250)])
    assert list(codes(response)) == [f"/{index}/x" for index in range(100)]
    assert response.json()["detail"].startswith("250 of 250 rows")


BAD_VALUES = [
    ("x", "1.0", "not_a_number"),
    ("x", True, "not_a_number"),
    ("y", None, "not_a_number"),
    ("y", [], "not_a_number"),
    ("z", float("nan"), "not_finite"),
    ("z", float("inf"), "not_finite"),
    ("x", 1.0000000000000002e15, "too_large"),
    ("x", -(10**16), "too_large"),
    ("x", 10**400, "too_large"),
    ("recorded_at", None, "invalid_time"),
    ("recorded_at", 1767225600, "invalid_time"),
    ("recorded_at", "2026-01-01T00:00:00", "no_offset"),
    ("recorded_at", "2026-01-01", "invalid_time"),
    ("recorded_at", "2026-02-30T00:00:00Z", "invalid_time"),
    ("recorded_at", "2026-01-01T24:00:00Z", "invalid_time"),
    ("recorded_at", "2026-01-01T00:00:60Z", "invalid_time"),
    ("recorded_at", "2026-01-01T00:00:00+25:00", "invalid_time"),
    ("recorded_at", "2026-01-01T00:00:00.1234567Z", "too_precise"),
    ("recorded_at", "0001-01-01T00:00:00+05:00", "invalid_time"),
    ("recorded_at", "0001-01-01T00:00:00Z", "time_out_of_range"),
    ("recorded_at", "1899-12-31T23:59:59.999999Z", "time_out_of_range"),
    ("recorded_at", "2200-01-01T00:00:00Z", "time_out_of_range"),
    ("recorded_at", "\u0661026-01-01T00:00:00Z", "invalid_time"),
    ("q", 1, "unknown_field"),
    ("device", 1, "unknown_field"),
    ("id", "A", "unknown_field"),
    ("\ud800", 1, "unknown_field"),
]


@pytest.mark.parametrize(("field", "value", "code"), BAD_VALUES)
@pytest.mark.parametrize("in_array", [False, True])
def test_a_bad_value_is_refused_by_name(
    api: APIClient, device: Device, field: str, value: Any, code: str, in_array: bool
) -> None:
    body = {**fields(), field: value}
    response = post_json(api, device, [fields(1), body] if in_array else body)
    pointer = f"/1/{field}" if in_array else f"/{field}"
    assert response.status_code == 400
    assert codes(response) == {pointer.replace("\ud800", "?"): code}
    assert not Reading.objects.exists()


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_a_number_that_no_double_holds_is_named(api: APIClient, device: Device, number: str) -> None:
    body = f'[{{"recorded_at": "2026-01-01T00:00:00Z", "x": {number}, "y": 1, "z": 1}}]'
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", body, content_type="application/json")
    assert (response.status_code, codes(response)) == (400, {"/0/x": "not_finite"})


@pytest.mark.parametrize("value", [1e15, -1e15, 5e-324, 0, 12345678901234])
def test_numbers_up_to_the_bounds_are_kept_to_the_bit(api: APIClient, device: Device, value: float) -> None:
    assert post_json(api, device, fields(x=value)).status_code == 201
    assert Reading.objects.get().x == value


@pytest.mark.parametrize(
    "time",
    [
        "1900-01-01T00:00:00Z",
        "2199-12-31T23:59:59.999999Z",
        "2026-06-01t12:00:00.123456z",
        "2026-06-01T00:00:00-00:00",
    ],
)
def test_times_up_to_the_bounds_are_kept_to_the_microsecond(api: APIClient, device: Device, time: str) -> None:
    assert post_json(api, device, {**fields(), "recorded_at": time}).status_code == 201
    assert Reading.objects.get().recorded_at == datetime.fromisoformat(time.upper())


@pytest.mark.parametrize(
    "body", ["", "{", "[1,]", "nul", "[" * 100_000, '{"x": 1' + "0" * 5000 + "}", b"\xff\xfe", "3", '"x"', "null"]
)
def test_a_body_that_holds_no_reading_is_400(api: APIClient, device: Device, body: Any) -> None:
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", body, content_type="application/json")
    assert response.status_code == 400
    assert codes(response)


def test_a_missing_field_is_named(api: APIClient, device: Device) -> None:
    response = post_json(api, device, [{"x": 1, "y": 2}])
    assert codes(response) == {"/0/recorded_at": "required", "/0/z": "required"}


def test_another_media_type_is_415(api: APIClient, device: Device) -> None:
    response = api.post(f"/api/v1/devices/{device.pk}/readings/", "x=1", content_type="application/xml")
    assert (response.status_code, codes(response)) == (415, {"": "unsupported_media_type"})


def test_an_inactive_device_takes_no_readings(api: APIClient, device: Device) -> None:
    Device.objects.update(is_active=False)
    for body in (fields(), [fields()]):
        response = post_json(api, device, body)
        assert (response.status_code, codes(response)) == (403, {"": "device_inactive"})
    assert not Reading.objects.exists()


def post_json(api: APIClient, device: Device, body: Any) -> Any:
    return send(api, "POST", f"/api/v1/devices/{device.pk}/readings/", body)
