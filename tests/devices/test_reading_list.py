"""Lists of readings, one reading by its id, and the deletion of a window."""

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from devices import reading_ids, values
from devices.models import Device, Reading
from tests.helpers import at, client_of_device, codes, fields, stored

pytestmark = pytest.mark.django_db


def follow(api: APIClient, url: str | None, link: str) -> list[list[dict[str, Any]]]:
    """The pages from a URL on, by their `next` or `previous`."""
    pages = []
    while url:
        page = api.get(url).json()
        pages.append(page["results"])
        url = page[link]
    return pages


@pytest.mark.parametrize("ordering", ["recorded_at", "-recorded_at"])
def test_pages_hold_each_reading_once_also_past_thousands_of_one_time(
    api: APIClient, device: Device, ordering: str
) -> None:
    stored(device, *((0, x, 0, 0) for x in range(2500)), *((second, 0, 0, 0) for second in range(1, 50)))
    pages = follow(api, f"/api/v1/devices/{device.pk}/readings/?page_size=1000&ordering={ordering}", "next")
    seen = [(reading["recorded_at"], reading["x"]) for page in pages for reading in page]
    assert [len(page) for page in pages] == [1000, 1000, 549]
    assert seen == sorted(set(seen), reverse=ordering.startswith("-"))


@pytest.mark.parametrize("ordering", ["recorded_at", "-recorded_at"])
def test_previous_leads_back_over_the_same_pages(api: APIClient, device: Device, ordering: str) -> None:
    stored(device, *((second // 3, second, 0, 0) for second in range(20)))
    url = f"/api/v1/devices/{device.pk}/readings/?page_size=4&ordering={ordering}"
    forward = follow(api, url, "next")
    last = url
    while following := api.get(last).json()["next"]:
        last = following
    assert follow(api, last, "previous")[::-1] == forward


def test_the_window_is_half_open(api: APIClient, device: Device) -> None:
    stored(device, *((second, 0, 0, 0) for second in range(4)))
    response = api.get(
        f"/api/v1/devices/{device.pk}/readings/",
        {"start_time": at(1).isoformat(), "end_time": at(3).isoformat()},
    )
    assert [reading["recorded_at"][-3:] for reading in response.json()["results"]] == ["01Z", "02Z"]


def test_a_page_beyond_the_limit_is_cut_to_it(api: APIClient, device: Device) -> None:
    stored(device, *((second, 0, 0, 0) for second in range(1001)))
    page = api.get(f"/api/v1/devices/{device.pk}/readings/?page_size=5000").json()
    assert len(page["results"]) == 1000
    assert page["next"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("start_time=2026-01-01", "/start_time"),
        ("start_time=2026-01-01T00:00:00 01:00", "/start_time"),
        ("start_time=2026-01-02T00:00:00Z&end_time=2026-01-01T00:00:00Z", "/end_time"),
        ("start_time=0001-01-01T00:00:00%2B23:59", "/start_time"),
        ("end_time=9999-12-31T23:59:59-23:59", "/end_time"),
        ("ordering=x", "/ordering"),
        ("cursor=x", "/cursor"),
        ("cursor=%00", "/cursor"),
        ("cursor=~", ""),
        ("page_size=-1", "/page_size"),
    ],
)
def test_nonsense_in_the_query_is_named(api: APIClient, device: Device, query: str, pointer: str) -> None:
    response = api.get(f"/api/v1/devices/{device.pk}/readings/?{query}")
    if pointer:
        assert (response.status_code, list(codes(response))) == (400, [pointer])
    else:
        assert response.status_code == 200


def test_a_space_for_a_plus_is_explained(api: APIClient, device: Device) -> None:
    response = api.get(f"/api/v1/devices/{device.pk}/readings/?start_time=2026-01-01T00:00:00+01:00")
    assert "%2B" in response.json()["detail"]


def test_a_reading_is_found_by_its_id(api: APIClient, device: Device) -> None:
    created = api.post(f"/api/v1/devices/{device.pk}/readings/", fields()).json()
    assert api.get(f"/api/v1/devices/{device.pk}/readings/{created['id']}/").json() == created


@given(
    recorded_at=st.datetimes(
        min_value=values.FIRST_TIME.replace(tzinfo=None), max_value=values.END_OF_TIME.replace(tzinfo=None)
    ).filter(lambda time: time.year < 2200),
    axes=st.tuples(*[st.floats(-1e15, 1e15)] * 3),
)
def test_an_id_holds_the_reading_and_only_that(recorded_at: Any, axes: tuple[float, float, float]) -> None:
    content = reading_ids.Content(recorded_at.replace(tzinfo=UTC), *(value + 0.0 for value in axes))
    assert reading_ids.decode(reading_ids.encode(*content)) == content


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name[:-1],
        lambda name: name + "A",
        lambda name: name + "=",
        lambda name: name[:-1] + chr(ord(name[-1]) + 1),
        lambda name: "!" + name,
        lambda name: name[:20] + "." + name[20:],
        lambda name: "x",
        lambda name: "%00",
        lambda name: "\u00fc" * 43,
        lambda name: "A" * 43,
        lambda name: "_" * 43,
    ],
)
def test_an_id_that_is_not_exactly_one_of_ours_is_404(api: APIClient, device: Device, change: Any) -> None:
    stored(device, (0, 1, 2, 3))
    path = f"/api/v1/devices/{device.pk}/readings/{change(Reading.objects.get().id)}/"
    assert [api.generic(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert api.put(path, fields()).status_code == api.patch(path, {"x": 1}).status_code == 404


def test_put_replaces_the_reading_and_its_id(api: APIClient, device: Device) -> None:
    created = api.post(f"/api/v1/devices/{device.pk}/readings/", fields()).json()
    path = f"/api/v1/devices/{device.pk}/readings/"
    response = api.put(f"{path}{created['id']}/", {**created, "x": 9.5})
    assert (response.status_code, response.json()["x"]) == (200, 9.5)
    assert response.json()["id"] == Reading.objects.get().id != created["id"]
    assert api.get(f"{path}{created['id']}/").status_code == 404


def test_put_needs_every_field(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    response = api.put(f"/api/v1/devices/{device.pk}/readings/{Reading.objects.get().id}/", {"x": 1, "y": 2, "z": 3})
    assert (response.status_code, codes(response)) == (400, {"/recorded_at": "required"})


def test_patch_changes_what_it_names(api: APIClient, device: Device) -> None:
    stored(device, (0.000001, 1, 2, 3))
    response = api.patch(f"/api/v1/devices/{device.pk}/readings/{Reading.objects.get().id}/", {"y": -2})
    assert response.json() == {
        "id": Reading.objects.get().id,
        "device": device.pk,
        "recorded_at": "2026-01-01T00:00:00.000001Z",
        "x": 1,
        "y": -2,
        "z": 3,
    }


def test_a_reading_that_becomes_equal_to_another_merges_with_it(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3), (0, 9, 2, 3))
    first = Reading.objects.get(x=1)
    response = api.patch(f"/api/v1/devices/{device.pk}/readings/{first.id}/", {"x": 9})
    assert (response.status_code, response.json()["id"]) == (200, Reading.objects.get().id)


def test_a_reading_replaced_by_itself_stays(api: APIClient, device: Device) -> None:
    created = api.post(f"/api/v1/devices/{device.pk}/readings/", fields()).json()
    response = api.put(f"/api/v1/devices/{device.pk}/readings/{created['id']}/", created)
    assert (response.status_code, response.json()) == (200, created)


@pytest.mark.parametrize(
    "body", [{"x": "1"}, {"recorded_at": "2026"}, {"q": 1}, {"device": 0}, {"device": True}, [], 3]
)
def test_a_bad_change_changes_nothing(api: APIClient, device: Device, body: Any) -> None:
    stored(device, (0, 1, 2, 3))
    reading = Reading.objects.get()
    response = api.patch(f"/api/v1/devices/{device.pk}/readings/{reading.id}/", body)
    assert response.status_code == 400
    assert Reading.objects.get().id == reading.id


def test_the_deletion_of_a_window_tells_how_many(api: APIClient, device: Device, other_device: Device) -> None:
    for owner in (device, other_device):
        stored(owner, *((second, 0, 0, 0) for second in range(5)))
    query = "start_time=2026-01-01T00:00:01Z&end_time=2026-01-01T00:00:03Z"
    response = api.delete(f"/api/v1/devices/{device.pk}/readings/?{query}")
    assert response.json() == {"deleted": 2}
    assert Reading.objects.count() == 8


@pytest.mark.parametrize("query", ["", "start_time=2026-01-01T00:00:00Z", "end_time=2026-01-01T00:00:00Z"])
def test_the_deletion_of_a_window_needs_both_bounds(api: APIClient, device: Device, query: str) -> None:
    stored(device, (0, 1, 2, 3))
    assert api.delete(f"/api/v1/devices/{device.pk}/readings/?{query}").status_code == 400
    assert Reading.objects.exists()


def test_a_page_costs_the_same_wherever_it_lies(api: APIClient, device: Device, django_assert_num_queries: Any) -> None:
    stored(device, *((second, 0, 0, 0) for second in range(300)))
    url = f"/api/v1/devices/{device.pk}/readings/?page_size=100"
    while url:
        # 2 token, 1 device, 1 what was pruned, 1 page
        with django_assert_num_queries(5):
            url = api.get(url).json()["next"]


def test_a_devices_own_page_costs_three_queries(device: Device, django_assert_num_queries: Any) -> None:
    client = client_of_device(device)
    client.get(f"/api/v1/devices/{device.pk}/")  # notes the use of the key
    # 1 key with its device, 1 what was pruned, 1 page
    with django_assert_num_queries(3):
        client.get(f"/api/v1/devices/{device.pk}/readings/")
