"""Analytics over HTTP: windows in, summaries out."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from devices.models import Device
from devices.rows import Row
from tests.helpers import at, codes, store_rows, stored
from users.models import User

pytestmark = pytest.mark.django_db

NOTHING = dict.fromkeys(("min", "max", "sum", "avg", "median"))
EMPTY = {"count": 0, "first_at": None, "last_at": None, "x": NOTHING, "y": NOTHING, "z": NOTHING}


def test_a_device_is_answered_with_the_figures_of_its_readings(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 10, -1.0), (1.5, 2, 20, 0.0), (3, 3, 60, 0.5))
    response = api.get(f"/api/v1/devices/{device.pk}/analytics/")
    assert response.status_code == 200
    assert response.json() == {
        "device": device.pk,
        "start_time": None,
        "end_time": None,
        "count": 3,
        "first_at": "2026-01-01T00:00:00Z",
        "last_at": "2026-01-01T00:00:03Z",
        "x": {"min": 1.0, "max": 3.0, "sum": 6.0, "avg": 2.0, "median": 2.0},
        "y": {"min": 10.0, "max": 60.0, "sum": 90.0, "avg": 30.0, "median": 20.0},
        "z": {"min": -1.0, "max": 0.5, "sum": -0.5, "avg": -0.5 / 3, "median": 0.0},
    }


def test_the_window_is_answered_in_utc(api: APIClient, device: Device) -> None:
    query = {"start_time": "2026-01-01T01:00:00+01:00", "end_time": "2026-01-01T00:00:09.5Z"}
    answer = api.get(f"/api/v1/devices/{device.pk}/analytics/", query).json()
    assert answer["start_time"] == "2026-01-01T00:00:00Z"
    assert answer["end_time"] == "2026-01-01T00:00:09.500000Z"


def test_a_reading_at_the_start_is_in_the_window_and_one_at_the_end_is_not(api: APIClient, device: Device) -> None:
    stored(device, *((second, second, 0, 0) for second in range(4)))
    query = {"start_time": "2026-01-01T00:00:01Z", "end_time": "2026-01-01T00:00:03Z"}
    answer = api.get(f"/api/v1/devices/{device.pk}/analytics/", query).json()
    assert (answer["count"], answer["x"]["min"], answer["x"]["max"]) == (2, 1.0, 2.0)


def test_the_window_is_exact_to_the_microsecond(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 0, 0), (0.000001, 2, 0, 0), (0.000002, 3, 0, 0))
    query = {"start_time": "2026-01-01T00:00:00.000001Z", "end_time": "2026-01-01T00:00:00.000002Z"}
    answer = api.get(f"/api/v1/devices/{device.pk}/analytics/", query).json()
    assert (answer["count"], answer["x"]["sum"]) == (1, 2.0)


@pytest.mark.parametrize(
    ("start_time", "end_time"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:01Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:01Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_an_empty_window_has_count_0_and_nulls(api: APIClient, device: Device, start_time: str, end_time: str) -> None:
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3))
    query = {"start_time": start_time, "end_time": end_time}
    response = api.get(f"/api/v1/devices/{device.pk}/analytics/", query)
    assert response.status_code == 200
    assert response.json() == {"device": device.pk, **query, **EMPTY}


@pytest.mark.parametrize("path", ["devices/{device}", "users/{user}"])
def test_a_window_may_reach_from_the_first_year_to_the_last(
    api: APIClient, alice: User, device: Device, path: str
) -> None:
    stored(device, (0, 1, 2, 3))
    query = {"start_time": "0001-01-01T00:00:00Z", "end_time": "9999-12-31T23:59:59.999999Z"}
    response = api.get(f"/api/v1/{path}/analytics/".format(device=device.pk, user=alice.pk), query)
    assert (response.status_code, response.json()["count"]) == (200, 1)
    assert {name: response.json()[name] for name in query} == query


def test_the_devices_of_a_user_are_pooled(
    api: APIClient, alice: User, device: Device, other_device: Device, bob: User
) -> None:
    stored(device, (0, 1, 1, 1), (1, 2, 1, 1))
    stored(other_device, (0, 1, 1, 1), (2, 8, 1, 1))
    stored(Device.objects.create(owner=bob, name="Not hers"), (3, 100, 100, 100))
    response = api.get(f"/api/v1/users/{alice.pk}/analytics/")
    same = {"min": 1.0, "max": 1.0, "sum": 4.0, "avg": 1.0, "median": 1.0}
    assert response.status_code == 200
    assert response.json() == {
        "user": alice.pk,
        "devices": 2,
        "start_time": None,
        "end_time": None,
        "count": 4,
        "first_at": "2026-01-01T00:00:00Z",
        "last_at": "2026-01-01T00:00:02Z",
        "x": {"min": 1.0, "max": 8.0, "sum": 12.0, "avg": 3.0, "median": 1.5},
        "y": same,
        "z": same,
    }


def test_the_pooled_median_is_not_the_mean_of_medians(
    api: APIClient, alice: User, device: Device, other_device: Device
) -> None:
    stored(device, (0, 0, 0, 0))
    stored(other_device, *((second, 10, 10, 10) for second in range(3)))
    assert api.get(f"/api/v1/users/{alice.pk}/analytics/").json()["x"]["median"] == 10.0  # and not 5.0


def test_a_user_without_devices_has_an_empty_pool(api: APIClient, alice: User) -> None:
    response = api.get(f"/api/v1/users/{alice.pk}/analytics/")
    assert response.status_code == 200
    assert response.json() == {"user": alice.pk, "devices": 0, "start_time": None, "end_time": None, **EMPTY}


def test_a_pool_counts_devices_without_readings_too(
    api: APIClient, alice: User, device: Device, other_device: Device
) -> None:
    stored(device, (0, 1, 2, 3))
    answer = api.get(f"/api/v1/users/{alice.pk}/analytics/", {"aggregate": "true"}).json()
    assert (answer["devices"], answer["count"]) == (2, 1)


def test_without_aggregation_each_device_is_answered_as_it_would_be_alone(
    api: APIClient, alice: User, device: Device, other_device: Device
) -> None:
    stored(device, (0, 1, 2, 3), (5, 2, 3, 4))
    stored(other_device, (0, 9, 9, 9), (4, 8, 8, 8))
    query = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:05Z"}
    alone = [api.get(f"/api/v1/devices/{pk}/analytics/", query).json() for pk in (device.pk, other_device.pk)]
    response = api.get(f"/api/v1/users/{alice.pk}/analytics/", {**query, "aggregate": "false"})
    assert response.status_code == 200
    assert response.json() == {"user": alice.pk, "results": alone}


def test_without_aggregation_devices_come_by_id_those_without_readings_too(
    api: APIClient, alice: User, bob: User
) -> None:
    ids = [Device.objects.create(owner=alice, name=name).pk for name in "CAB"]
    stored(Device.objects.get(pk=ids[2]), (0, 1, 2, 3))
    Device.objects.create(owner=bob, name="Not hers")
    results = api.get(f"/api/v1/users/{alice.pk}/analytics/", {"aggregate": "false"}).json()["results"]
    assert [(result["device"], result["count"]) for result in results] == [(ids[0], 0), (ids[1], 0), (ids[2], 1)]
    assert results[0] == {"device": ids[0], "start_time": None, "end_time": None, **EMPTY}


def test_without_aggregation_a_user_without_devices_has_no_results(api: APIClient, alice: User) -> None:
    response = api.get(f"/api/v1/users/{alice.pk}/analytics/", {"aggregate": "false"})
    assert (response.status_code, response.json()) == (200, {"user": alice.pk, "results": []})


BAD_QUERIES = [
    ("start_time=2026-01-02T00:00:00Z&end_time=2026-01-01T00:00:00Z", {"/end_time": "end_before_start"}),
    ("start_time=2026-01-01T00:00:00.000001Z&end_time=2026-01-01T00:00:00Z", {"/end_time": "end_before_start"}),
    ("start_time=2026-01-01T00:00:00", {"/start_time": "no_offset"}),
    ("end_time=2026-01-01T00:00:00", {"/end_time": "no_offset"}),
    ("start_time=2026-01-01T00:00:00+01:00", {"/start_time": "invalid_time"}),
    ("start_time=2026-01-01", {"/start_time": "invalid_time"}),
    ("start_time=1767225600", {"/start_time": "invalid_time"}),
    ("start_time=", {"/start_time": "invalid_time"}),
    ("start_time=now%00", {"/start_time": "invalid_time"}),
    ("end_time=10000-01-01T00:00:00Z", {"/end_time": "invalid_time"}),
    ("end_time=0000-01-01T00:00:00Z", {"/end_time": "invalid_time"}),
    ("start_time=0001-01-01T00:00:00%2B01:00", {"/start_time": "invalid_time"}),
    ("end_time=9999-12-31T23:59:59-01:00", {"/end_time": "invalid_time"}),
    ("end_time=2026-01-01T00:00:00.0000001Z", {"/end_time": "too_precise"}),
    ("start_time=x&end_time=2026-01-01T00:00:00", {"/start_time": "invalid_time", "/end_time": "no_offset"}),
]


@pytest.mark.parametrize(("query", "faults"), BAD_QUERIES)
@pytest.mark.parametrize("path", ["devices/{device}", "users/{user}"])
def test_a_bad_window_is_refused_by_the_name_of_the_parameter(
    api: APIClient, alice: User, device: Device, path: str, query: str, faults: dict[str, str]
) -> None:
    response = api.get(f"/api/v1/{path}/analytics/?{query}".format(device=device.pk, user=alice.pk))
    assert (response.status_code, codes(response)) == (400, faults)


@pytest.mark.parametrize("aggregate", ["maybe", "", "True", "1"])
def test_aggregate_is_true_or_false(api: APIClient, alice: User, aggregate: str) -> None:
    response = api.get(f"/api/v1/users/{alice.pk}/analytics/", {"aggregate": aggregate})
    assert (response.status_code, codes(response)) == (400, {"/aggregate": "invalid_choice"})


def test_a_plus_that_arrived_as_a_space_is_explained(api: APIClient, device: Device) -> None:
    response = api.get(f"/api/v1/devices/{device.pk}/analytics/?start_time=2026-01-01T00:00:00+01:00")
    assert response.status_code == 400
    assert "arrives as a space: write %2B for it" in response.json()["detail"]


@pytest.mark.parametrize(("devices", "readings"), [(1, 1), (1, 50), (50, 1), (50, 50)])
@pytest.mark.parametrize(
    ("path", "queries"),
    [
        # the token with its user, the user's tokens (knox looks for expired ones), the device; then what was pruned,
        # the rollups of each of the four levels, and what they leave of the readings
        ("devices/{device}/analytics/", 9),
        # the token with its user, the user's tokens, the user, the devices; then the same
        ("users/{user}/analytics/", 10),
        ("users/{user}/analytics/?aggregate=false", 10),
    ],
)
def test_the_queries_do_not_grow_with_devices_or_readings(
    api: APIClient,
    alice: User,
    django_assert_num_queries: DjangoAssertNumQueries,
    path: str,
    queries: int,
    devices: int,
    readings: int,
) -> None:
    ids = [Device.objects.create(owner=alice, name=str(number)).pk for number in range(devices)]
    store_rows([Row(id, at(second), 1.0, 2.0, 3.0) for id in ids for second in range(readings)])
    with django_assert_num_queries(queries):
        response = api.get(f"/api/v1/{path}".format(device=ids[0], user=alice.pk))
    assert count_of(response) == readings * (1 if path.startswith("devices") else devices)


def test_an_empty_window_asks_for_nothing(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    start = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}
    with CaptureQueriesContext(connection) as queries:
        api.get(f"/api/v1/devices/{device.pk}/analytics/", start)
    assert len(queries) == 3  # the token with its user, the user's tokens, the device


def count_of(response: Any) -> int:
    """How many readings the answer is about, pooled or not."""
    answer = response.json()
    return sum(result["count"] for result in answer.get("results", [answer]))
