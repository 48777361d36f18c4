"""Batches in each format: what becomes of every row, and where a body is refused as a whole."""

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from devices.formats import gunzip
from devices.models import Device, Reading
from tests.helpers import at, client_of, client_of_device, codes, fields, stored
from tests.service import MEDIA_TYPES, encoded
from users.models import User

pytestmark = pytest.mark.django_db

FORMATS = list(MEDIA_TYPES)
HEADER = b"recorded_at,x,y,z\n"
in_each_format = pytest.mark.parametrize("file_format", FORMATS)
plain_and_gzipped = pytest.mark.parametrize("gzipped", [False, True])


def post(
    api: APIClient,
    path: str,
    body: Sequence[dict[str, Any]] | bytes,
    file_format: str = "csv",
    *,
    gzipped: bool = False,
) -> Any:
    """Post rows, or a body as it is."""
    content = body if isinstance(body, bytes) else encoded(body, file_format)
    if gzipped:
        return post_encoded(api, path, gzip.compress(content, 1), file_format)
    return post_bytes(api, path, content, MEDIA_TYPES[file_format])


def post_gzip(api: APIClient, device: Device, compressed: bytes) -> Any:
    return post_encoded(api, f"/api/v1/devices/{device.pk}/readings/", compressed, "csv")


def post_encoded(api: APIClient, path: str, content: bytes, file_format: str, encoding: str = "gzip") -> Any:
    return post_bytes(api, path, content, MEDIA_TYPES[file_format], headers={"Content-Encoding": encoding})


def post_bytes(api: Any, path: str, content: bytes, media_type: str, **extra: Any) -> Any:
    return api.generic("POST", path, content, media_type, **extra)


def of(device: Device | int | str, seconds: float = 0, **values: Any) -> dict[str, Any]:
    """A row of a batch for many devices."""
    return {"device": device.pk if isinstance(device, Device) else device, **fields(seconds, **values)}


def receipt(received: int, created: int, duplicates: int = 0) -> dict[str, Any]:
    """Of a batch without a bad row."""
    return {
        "received": received, "created": created, "duplicates": duplicates, "rejected_count": 0, "rejected": []
    }  # fmt: skip


def rejected(response: Any) -> list[tuple[int, str, str]]:
    assert response.status_code == 200, response.content
    return [(row["index"], row["field"], row["code"]) for row in response.json()["rejected"]]


def times_stored(device: Device) -> list[Any]:
    return list(Reading.objects.filter(device=device).oldest_first().values_list("recorded_at", flat=True))


class Memory:
    peak = 0


@contextmanager
def traced_memory() -> Iterator[Memory]:
    """The most bytes that Python had at once in the block beyond what was there before, when it is over."""
    memory = Memory()
    tracemalloc.start()
    try:
        yield memory
        memory.peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Receipts


@in_each_format
@plain_and_gzipped
def test_a_batch_gets_a_receipt(api: APIClient, device: Device, file_format: str, gzipped: bool) -> None:
    rows = [fields(0), fields(1, x=0.1), fields(2)]
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format, gzipped=gzipped)
    assert (response.status_code, response.json()) == (200, receipt(3, 3))
    assert times_stored(device) == [at(0), at(1), at(2)]


@in_each_format
@plain_and_gzipped
def test_a_batch_for_many_devices_gets_a_receipt(
    api: APIClient, device: Device, other_device: Device, file_format: str, gzipped: bool
) -> None:
    rows = [of(device, 0), of(other_device, 0), of(device, 1)]
    response = post(api, "/api/v1/readings/", rows, file_format, gzipped=gzipped)
    assert (response.status_code, response.json()) == (200, receipt(3, 3))
    assert (times_stored(device), times_stored(other_device)) == ([at(0), at(1)], [at(0)])


@in_each_format
def test_values_are_stored_to_the_bit(api: APIClient, device: Device, file_format: str) -> None:
    values = {"x": 0.1 + 0.2, "y": -1e15, "z": 5e-324}
    post(api, f"/api/v1/devices/{device.pk}/readings/", [fields(0, **values), fields(1)], file_format)
    assert Reading.objects.filter(recorded_at=at(0), **values).count() == 1


@in_each_format
def test_duplicates_in_the_batch_and_of_what_is_stored_are_told_apart_from_new_rows(
    api: APIClient, device: Device, file_format: str
) -> None:
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3))
    rows = [fields(3), fields(0), fields(2), fields(2), fields(1), fields(1), fields(2, x=-0.0), fields(2, x=0.0)]
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format)
    assert response.json() == receipt(8, created=3, duplicates=5)
    assert Reading.objects.count() == 5


@in_each_format
def test_a_batch_sent_again_is_all_duplicates(api: APIClient, device: Device, file_format: str) -> None:
    rows = [fields(second) for second in range(3)]
    post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format)
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format)
    assert response.json() == receipt(3, created=0, duplicates=3)


def test_the_same_content_on_another_device_is_another_reading(
    api: APIClient, device: Device, other_device: Device
) -> None:
    stored(device, (0, 1, 2, 3))
    assert post(api, "/api/v1/readings/", [of(device), of(other_device)], "json").json() == receipt(2, 1, 1)


@in_each_format
def test_one_moment_in_two_offsets_is_a_duplicate(api: APIClient, device: Device, file_format: str) -> None:
    rows = [{**fields(), "recorded_at": time} for time in ("2026-01-01T01:00:00+01:00", "2025-12-31T19:00:00.0-05:00")]
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format)
    assert response.json() == receipt(2, 1, 1)


@in_each_format
def test_an_empty_batch_is_refused(api: APIClient, device: Device, file_format: str) -> None:
    content = {"json": b"[]", "ndjson": b"\n \n", "csv": HEADER}[file_format]
    for query in ("", "?partial=true"):
        response = post(api, f"/api/v1/devices/{device.pk}/readings/{query}", content, file_format)
        assert (response.status_code, codes(response)) == (400, {"": "empty"})


@in_each_format
def test_an_empty_body_is_refused(api: APIClient, device: Device, file_format: str) -> None:
    for path in (f"/api/v1/devices/{device.pk}/readings/", "/api/v1/readings/"):
        for gzipped in (False, True):
            assert post(api, path, b"", file_format, gzipped=gzipped).status_code == 400


@pytest.mark.parametrize("body", [b"{", b"[1,]", b"[{}", b"[NaN", b'["\xff"]', b"\xef\xbb\xbf[]", b"[" * 100_000])
def test_json_that_does_not_parse_is_refused_with_partial_too(api: APIClient, device: Device, body: bytes) -> None:
    for path in (f"/api/v1/devices/{device.pk}/readings/?partial=true", "/api/v1/readings/?partial=true"):
        response = post(api, path, body, "json")
        assert (response.status_code, codes(response)) == (400, {"": "parse_error"})


@pytest.mark.parametrize("body", [b"{}", b"1", b'"x"', b"null"])
def test_a_batch_for_many_devices_must_be_an_array(api: APIClient, body: bytes) -> None:
    response = post(api, "/api/v1/readings/", body, "json")
    assert (response.status_code, codes(response)) == (400, {"": "not_an_array"})


def test_partial_is_true_or_false(api: APIClient, device: Device) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=maybe", [fields()], "json")
    assert (response.status_code, list(codes(response))) == (400, ["/partial"])


# Bad rows

MANY = 10_000
in_each_place = pytest.mark.parametrize("place", [0, MANY // 2, MANY - 1])


@cache
def many_rows() -> list[dict[str, Any]]:
    return [fields(second) for second in range(MANY)]


def with_a_bad_row(place: int) -> list[dict[str, Any]]:
    rows = list(many_rows())
    rows[place] = {**rows[place], "y": 1e16}
    return rows


@in_each_format
@in_each_place
def test_one_bad_row_among_ten_thousand_refuses_the_batch_and_is_named(
    api: APIClient, device: Device, file_format: str, place: int
) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", with_a_bad_row(place), file_format)
    assert (response.status_code, codes(response)) == (400, {f"/{place}/y": "too_large"})
    assert response.json()["detail"] == "1 of 10000 rows are bad; nothing was stored."
    assert not Reading.objects.exists()


@in_each_format
@in_each_place
def test_with_partial_the_other_9999_rows_are_stored(
    api: APIClient, device: Device, file_format: str, place: int
) -> None:
    path = f"/api/v1/devices/{device.pk}/readings/?partial=true"
    response = post(api, path, with_a_bad_row(place), file_format)
    assert rejected(response) == [(place, "y", "too_large")]
    counts = {name: response.json()[name] for name in ("received", "created", "duplicates", "rejected_count")}
    assert counts == {"received": 10_000, "created": 9_999, "duplicates": 0, "rejected_count": 1}
    assert Reading.objects.count() == 9_999


@in_each_format
def test_of_many_bad_rows_the_first_hundred_are_listed_and_all_are_counted(
    api: APIClient, device: Device, file_format: str
) -> None:
    rows = [fields(second, x="one" if second % 2 else 1) for second in range(500)]
    refused = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format)
    assert list(codes(refused)) == [f"/{index}/x" for index in range(1, 200, 2)]
    assert refused.json()["detail"] == "250 of 500 rows are bad; nothing was stored."
    assert not Reading.objects.exists()


@in_each_format
def test_with_partial_the_first_hundred_bad_rows_are_listed_and_all_are_counted(
    api: APIClient, device: Device, file_format: str
) -> None:
    rows = [fields(second // 4, x="one" if second % 2 else 1) for second in range(500)]
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", rows, file_format)
    assert [row[0] for row in rejected(response)] == list(range(1, 200, 2))
    counts = {name: response.json()[name] for name in ("received", "created", "duplicates", "rejected_count")}
    assert counts == {"received": 500, "created": 125, "duplicates": 125, "rejected_count": 250}


@in_each_format
def test_with_partial_a_batch_of_bad_rows_alone_is_200(api: APIClient, device: Device, file_format: str) -> None:
    rows = [fields(second, z="?") for second in range(3)]
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", rows, file_format)
    assert rejected(response) == [(index, "z", "not_a_number") for index in range(3)]
    assert not Reading.objects.exists()


def test_with_partial_a_row_with_several_faults_is_counted_once(api: APIClient, device: Device) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", [{"x": 1, "y": None}], "json")
    assert set(rejected(response)) == {
        (0, "recorded_at", "required"), (0, "y", "not_a_number"), (0, "z", "required")
    }  # fmt: skip
    assert response.json()["rejected_count"] == 1


@pytest.mark.parametrize("row", [None, 1, "x", [], True])
def test_a_row_that_is_no_object_is_a_bad_one(api: APIClient, device: Device, row: Any) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", [fields(), row], "json")
    assert rejected(response) == [(1, "", "not_an_object")]


def test_ndjson_does_not_count_blank_lines(api: APIClient, device: Device) -> None:
    good, bad = encoded([fields()], "ndjson"), encoded([fields(x=None)], "ndjson")
    body = b"\n" + good + b"  \r\n" + bad + b"\n\n" + good.strip()
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", body, "ndjson")
    assert rejected(response) == [(1, "x", "not_a_number")]
    assert response.json()["received"] == 3


@pytest.mark.parametrize(
    "line", [b"{", b"}", b"{} {}", b"[", b"x", b'{"x": 1', b"\xff", b'{"\xff": 1}', b"[" * 100_000]
)
def test_a_bad_line_of_ndjson_is_a_bad_row(api: APIClient, device: Device, line: bytes) -> None:
    body = encoded([fields(0)], "ndjson") + line + b"\n" + encoded([fields(1)], "ndjson")
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", body, "ndjson")
    assert rejected(response) == [(1, "", "invalid_json")]
    assert times_stored(device) == [at(0), at(1)]


@pytest.mark.parametrize("space", [b"\n", b"\r\n", b"\r"])
def test_an_object_over_two_lines_of_ndjson_is_two_bad_rows(api: APIClient, device: Device, space: bytes) -> None:
    body = encoded([fields()], "ndjson").replace(b", ", b"," + space, 1)
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", body, "ndjson")
    assert (response.status_code, codes(response)) == (400, {"/0": "invalid_json", "/1": "invalid_json"})


def test_two_objects_on_one_line_of_ndjson_are_one_bad_row(api: APIClient, device: Device) -> None:
    body = b" ".join(encoded([fields(second)], "ndjson").strip() for second in range(2))
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", body, "ndjson")
    assert (response.status_code, codes(response)) == (400, {"/0": "invalid_json"})


@pytest.mark.parametrize("file_format", ["json", "ndjson"])
def test_a_field_whose_name_is_no_utf_8_is_no_500(api: APIClient, device: Device, file_format: str) -> None:
    body = encoded([fields()], file_format).replace(b'"x"', b'"x\xff"')
    assert post(api, f"/api/v1/devices/{device.pk}/readings/", body, file_format).status_code == 400


@pytest.mark.parametrize("file_format", ["json", "ndjson"])
def test_the_device_is_no_field_on_its_own_path(api: APIClient, device: Device, file_format: str) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", [fields(), of(device)], file_format)
    assert (response.status_code, codes(response)) == (400, {"/1/device": "unknown_field"})


def test_the_device_is_no_column_on_its_own_path(api: APIClient, device: Device) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", [of(device)], "csv")
    assert (response.status_code, codes(response)) == (400, {"/device": "unknown_field"})


# Whose devices


@in_each_format
@pytest.mark.parametrize("device_id", [0, 2**31, 2**63 - 1, 2**63])
def test_a_device_that_is_not_there_is_named_on_its_row(
    api: APIClient, device: Device, file_format: str, device_id: int
) -> None:
    response = post(api, "/api/v1/readings/", [of(device), of(device_id)], file_format)
    assert (response.status_code, codes(response)) == (400, {"/1/device": "unknown_device"})
    assert not Reading.objects.exists()


@in_each_format
def test_a_device_of_somebody_else_is_named_like_one_that_is_not_there(
    device: Device, bob: User, file_format: str
) -> None:
    own = Device.objects.create(owner=bob, name="Fan")
    rows = [of(own), of(device), of(10**9)]
    response = post(client_of(bob), "/api/v1/readings/", rows, file_format)
    assert (response.status_code, codes(response)) == (
        400, {"/1/device": "unknown_device", "/2/device": "unknown_device"}
    )  # fmt: skip
    assert len({error["detail"] for error in response.json()["errors"]}) == 1
    assert not Reading.objects.exists()


@in_each_format
def test_with_partial_the_rows_of_own_devices_are_stored(device: Device, bob: User, file_format: str) -> None:
    own = Device.objects.create(owner=bob, name="Fan")
    response = post(client_of(bob), "/api/v1/readings/?partial=true", [of(device), of(own)], file_format)
    assert rejected(response) == [(0, "device", "unknown_device")]
    assert list(Reading.objects.values_list("device", flat=True)) == [own.pk]


@pytest.mark.parametrize("device_id", [None, True, 1.0, "1", [], {}])
def test_a_device_must_be_named_by_a_number(api: APIClient, device_id: Any) -> None:
    response = post(api, "/api/v1/readings/", [of(device_id)], "json")
    assert (response.status_code, codes(response)) == (400, {"/0/device": "not_an_id"})


@pytest.mark.parametrize("device_id", ["", "one", "1.0", "-1", "+1", "1 2", "\u00b2", "\u0663", "1" * 5000])
def test_a_device_must_be_named_by_a_number_in_csv(api: APIClient, device_id: str) -> None:
    response = post(api, "/api/v1/readings/", encoded([of(device_id)], "csv"))
    assert (response.status_code, codes(response)) == (400, {"/0/device": "not_an_id"})


def test_a_row_without_its_device_is_a_bad_one(api: APIClient, device: Device) -> None:
    response = post(api, "/api/v1/readings/", [of(device), fields()], "json")
    assert (response.status_code, codes(response)) == (400, {"/1/device": "required"})


@in_each_format
def test_rows_of_an_inactive_device_are_bad_ones(
    api: APIClient, device: Device, other_device: Device, file_format: str
) -> None:
    Device.objects.filter(pk=device.pk).update(is_active=False)
    response = post(api, "/api/v1/readings/", [of(other_device), of(device)], file_format)
    assert (response.status_code, codes(response)) == (400, {"/1/device": "device_inactive"})
    assert not Reading.objects.exists()


def test_with_partial_the_rows_of_active_devices_are_stored(
    api: APIClient, device: Device, other_device: Device
) -> None:
    Device.objects.filter(pk=device.pk).update(is_active=False)
    rows = [of(device), of(other_device, 0), of(device, x=None), of(other_device, 1)]
    response = post(api, "/api/v1/readings/?partial=true", rows, "json")
    assert rejected(response) == [(0, "device", "device_inactive"), (2, "x", "not_a_number")]
    assert times_stored(other_device) == [at(0), at(1)]


def test_an_inactive_device_takes_no_batch_with_partial_either(api: APIClient, device: Device) -> None:
    Device.objects.update(is_active=False)
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", [fields(), fields(x=None)], "json")
    assert (response.status_code, codes(response)) == (403, {"": "device_inactive"})


@in_each_format
def test_a_device_key_adds_to_its_own_device_and_to_no_other(
    device: Device, other_device: Device, file_format: str
) -> None:
    rows = [of(device), of(other_device)]
    response = post(client_of_device(device), "/api/v1/readings/?partial=true", rows, file_format)
    assert rejected(response) == [(1, "device", "unknown_device")]
    assert list(Reading.objects.values_list("device", flat=True)) == [device.pk]


def test_staff_without_the_permission_add_nothing_to_what_is_not_theirs(device: Device, staff: User) -> None:
    own = Device.objects.create(owner=staff, name="Fan")
    response = post(client_of(staff), "/api/v1/readings/?partial=true", [of(device), of(own)], "json")
    assert rejected(response) == [(0, "device", "unknown_device")]
    assert list(Reading.objects.values_list("device", flat=True)) == [own.pk]


def test_staff_with_the_permission_add_readings_to_any_device(device: Device, staff: User) -> None:
    staff.user_permissions.add(Permission.objects.get(codename="add_reading"))
    own = Device.objects.create(owner=staff, name="Fan")
    assert post(client_of(staff), "/api/v1/readings/", [of(device), of(own)], "json").json() == receipt(2, 2)


def test_nobody_adds_nothing(device: Device) -> None:
    assert post(APIClient(), "/api/v1/readings/", [of(device)], "json").status_code == 401


def test_a_batch_may_be_of_more_devices_than_the_database_has_locks(api: APIClient, alice: User) -> None:
    devices = Device.objects.bulk_create([Device(owner=alice, name=str(number)) for number in range(20_000)])
    response = post(api, "/api/v1/readings/", [of(device) for device in devices])
    assert response.json() == receipt(20_000, 20_000)


def test_a_batch_of_as_many_unknown_devices_as_it_has_rows_is_refused(api: APIClient, device: Device) -> None:
    rows = b"".join(b"%d,2026-01-01T00:00:00Z,1,2,3\n" % (device.pk + number) for number in range(100_000))
    response = post(api, "/api/v1/readings/", b"device," + HEADER + rows)
    assert response.status_code == 400
    assert response.json()["detail"] == "99999 of 100000 rows are bad; nothing was stored."


# CSV in the wild

GOOD_FILES = {
    "a byte order mark": b"\xef\xbb\xbf" + HEADER + b"2026-01-01T00:00:00Z,1,2,3\n2026-01-01T00:00:01Z,1,2,3\n",
    "CRLF": b"recorded_at,x,y,z\r\n2026-01-01T00:00:00Z,1,2,3\r\n2026-01-01T00:00:01Z,1,2,3\r\n",
    "lone CR": b"recorded_at,x,y,z\r2026-01-01T00:00:00Z,1,2,3\r2026-01-01T00:00:01Z,1,2,3\r",
    "no end of the last line": HEADER + b"2026-01-01T00:00:00Z,1,2,3\n2026-01-01T00:00:01Z,1,2,3",
    "quoted fields": b'"recorded_at","x","y","z"\n"2026-01-01T00:00:00Z","1","2","3"\n2026-01-01T00:00:01Z,"1",2,3\n',
    "another order": b"z,x,recorded_at,y\n3,1,2026-01-01T00:00:00Z,2\n3,1,2026-01-01T00:00:01Z,2\n",
    "blank lines": HEADER + b"\n2026-01-01T00:00:00Z,1,2,3\n\r\n  \n2026-01-01T00:00:01Z,1,2,3\n\n",
    "spaces": b"recorded_at, x, y, z\n2026-01-01T00:00:00Z, 1, 2, 3\n 2026-01-01T00:00:01Z ,1 ,2 ,3 \n",
    "exponents": HEADER + b"2026-01-01T00:00:00Z,1e0,+2,3.\n2026-01-01T00:00:01Z,1E+0,.2e1,03\n",
}


@pytest.mark.parametrize("name", GOOD_FILES)
@plain_and_gzipped
def test_csv_as_it_comes_is_read(api: APIClient, device: Device, name: str, gzipped: bool) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", GOOD_FILES[name], gzipped=gzipped)
    assert (response.status_code, response.json()) == (200, receipt(2, 2))
    assert list(Reading.objects.oldest_first().values_list("recorded_at", "x", "y", "z")) == [
        (at(0), 1.0, 2.0, 3.0),
        (at(1), 1.0, 2.0, 3.0),
    ]


ROW = b"2026-01-01T00:00:00Z,1,2,3\n"
BAD_FILES = [
    ("a missing column", b"recorded_at,x,y\n2026-01-01T00:00:00Z,1,2\n", {"/z": "missing_column"}),
    ("no header", ROW + ROW, None),
    ("an unknown column", b"recorded_at,x,y,z,q\n2026-01-01T00:00:00Z,1,2,3,4\n", {"/q": "unknown_field"}),
    ("a column twice", b"recorded_at,x,y,z,x\n2026-01-01T00:00:00Z,1,2,3,4\n", {"": "duplicate_column"}),
    ("a trailing separator in each line", b"recorded_at,x,y,z,\n2026-01-01T00:00:00Z,1,2,3,\n", {"/": "unknown_field"}),
    ("a trailing separator in the rows", HEADER + b"2026-01-01T00:00:00Z,1,2,3,\n", {"/0": "invalid_csv"}),
    ("a decimal comma", HEADER + b"2026-01-01T00:00:00Z,1,5,2,3\n", {"/0": "invalid_csv"}),
    ("a quoted decimal comma", HEADER + b'2026-01-01T00:00:00Z,"1,5",2,3\n', {"/0/x": "not_a_number"}),
    ("a row that is too short", HEADER + ROW + b"2026-01-01T00:00:00Z,1\n", {"/1": "invalid_csv"}),
    ("an empty cell", HEADER + b"2026-01-01T00:00:00Z,1,,3\n", {"/0/y": "not_a_number"}),
    ("an open quote", HEADER + ROW + b'2026-01-01T00:00:00Z,"1,2,3\n' + ROW, {"/1": "invalid_csv"}),
    ("an open quote in the header", b'recorded_at,x,y,"z\n' + ROW, None),
    ("no UTF-8", HEADER + b"2026-01-01T00:00:00Z,1,2,\xe9\n", {"/0/z": "not_a_number"}),
    ("no UTF-8 in the header", b"recorded_at,x,y,z\xe9\n" + ROW, None),
    ("a NUL", HEADER + b"2026-01-01T00:00:00Z,1,2,3\0\n", {"/0/z": "not_a_number"}),
    ("UTF-16", (HEADER + ROW).decode().encode("utf-16"), None),
    ("digits that only Python knows", HEADER + "2026-01-01T00:00:00Z,1_0,\u0663,3\n".encode(),
     {"/0/x": "not_a_number", "/0/y": "not_a_number"}),
    ("words for numbers", HEADER + b"2026-01-01T00:00:00Z,nan,-inf,true\n",
     {"/0/x": "not_finite", "/0/y": "not_finite", "/0/z": "not_a_number"}),
    ("a bad row after blank lines", HEADER + b"\n" + ROW + b"\n\r\n2026-01-01T00:00:00Z,1,2,q\n",
     {"/1/z": "not_a_number"}),
    ("a comment", HEADER + b"# made by hand\n" + ROW, {"/0": "invalid_csv"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_csv_that_is_not_as_it_should_be_is_refused_by_name(
    api: APIClient, device: Device, body: bytes, expected: dict[str, str] | None
) -> None:
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", body)
    assert response.status_code == 400
    assert codes(response) == (expected or codes(response))
    assert not Reading.objects.exists()


@pytest.mark.parametrize("separator", [b";", b"\t", b"|"])
def test_csv_with_another_separator_is_refused(api: APIClient, device: Device, separator: bytes) -> None:
    body = (HEADER + b"2026-01-01T00:00:00Z,1,2,3\n").replace(b",", separator)
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", body)
    assert response.status_code == 400
    assert set(codes(response).values()) == {"missing_column", "unknown_field"}


def test_an_open_quote_spoils_no_other_row(api: APIClient, device: Device) -> None:
    body = HEADER + b'2026-01-01T00:00:00Z,"1,2,3\n2026-01-01T00:00:01Z,1,2,3\n'
    response = post(api, f"/api/v1/devices/{device.pk}/readings/?partial=true", body)
    assert rejected(response) == [(0, "", "invalid_csv")]
    assert times_stored(device) == [at(1)]


@pytest.mark.parametrize(
    ("media_type", "file_format"),
    [
        ("text/csv; charset=utf-8", "csv"),
        ("text/csv; header=present", "csv"),
        ("application/x-ndjson; charset=utf-8", "ndjson"),
        ("Application/JSON; charset=utf-8", "json"),
    ],
)
def test_a_media_type_may_have_parameters(api: APIClient, device: Device, media_type: str, file_format: str) -> None:
    path, body = f"/api/v1/devices/{device.pk}/readings/", encoded([fields()], file_format)
    assert post_bytes(api, path, body, media_type).json() == receipt(1, 1)


# Limits


@in_each_format
def test_a_batch_may_have_as_many_rows_as_the_settings_say(
    api: APIClient, device: Device, file_format: str, settings: Settings
) -> None:
    settings.MAX_BATCH_ROWS = 3
    rows = [fields(second) for second in range(3)]
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format)
    assert response.json() == receipt(3, 3)


@in_each_format
@pytest.mark.parametrize("x", [1, "one"])
def test_a_batch_with_more_rows_is_413(
    api: APIClient, device: Device, file_format: str, settings: Settings, x: Any
) -> None:
    settings.MAX_BATCH_ROWS = 3
    rows = [fields(second, x=x) for second in range(4)]
    for path in (f"/api/v1/devices/{device.pk}/readings/", f"/api/v1/devices/{device.pk}/readings/?partial=true"):
        response = post(api, path, rows, file_format)
        assert (response.status_code, codes(response)) == (413, {"": "too_large"})
    assert not Reading.objects.exists()


@in_each_format
@plain_and_gzipped
def test_a_body_of_just_the_allowed_size_is_stored(
    api: APIClient, device: Device, file_format: str, settings: Settings, gzipped: bool
) -> None:
    rows = [fields(second) for second in range(20)]
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(encoded(rows, file_format))
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format, gzipped=gzipped)
    assert response.json() == receipt(20, 20)


@in_each_format
@plain_and_gzipped
def test_a_body_of_one_byte_more_is_413(
    api: APIClient, device: Device, file_format: str, settings: Settings, gzipped: bool
) -> None:
    rows = [fields(second) for second in range(20)]
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(encoded(rows, file_format)) - 1
    response = post(api, f"/api/v1/devices/{device.pk}/readings/", rows, file_format, gzipped=gzipped)
    assert (response.status_code, codes(response)) == (413, {"": "too_large"})
    assert not Reading.objects.exists()


TINY = 2**16  # rows or fields in a quarter of a megabyte
TINY_PIECES = {
    "CSV with as many columns": ("csv", HEADER + b",,,\n" * TINY),
    "CSV with less columns": ("csv", HEADER + b"1,1\n" * TINY),
    "NDJSON": ("ndjson", b"{}\n" * TINY),
    "JSON": ("json", b"[" + b"{}," * TINY + b"{}]"),
    "JSON with unknown fields": ("json", b"[{" + b",".join(b'"%x":0' % number for number in range(TINY // 2)) + b"}]"),
}


@pytest.mark.parametrize("name", TINY_PIECES)
def test_a_body_of_tiny_pieces_takes_no_memory_beyond_all_proportion(
    api: APIClient, device: Device, name: str, settings: Settings
) -> None:
    settings.MAX_BATCH_ROWS = 25_000
    file_format, body = TINY_PIECES[name]
    with traced_memory() as memory:
        response = post(api, f"/api/v1/devices/{device.pk}/readings/", body, file_format)
    assert response.status_code in (400, 413)
    assert memory.peak < 2**24


# Compression


EMPTY_MEMBER = gzip.compress(b"")


def processor_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def gigabyte_in_one_member() -> bytes:
    compress = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    start = compress.compress(bytes(2**20)) + compress.flush(zlib.Z_FULL_FLUSH)
    again = compress.compress(bytes(2**20)) + compress.flush(zlib.Z_FULL_FLUSH)
    return start + again * 1023 + compress.flush()  # after a full flush, a piece stands for itself


def gigabyte_in_many_members() -> bytes:
    return gzip.compress(bytes(2**20)) * 1024


@pytest.mark.parametrize("bomb", [gigabyte_in_one_member, gigabyte_in_many_members])
def test_a_gzip_that_inflates_without_end_is_cut_off(api: APIClient, device: Device, bomb: Any) -> None:
    compressed = bomb()
    with traced_memory() as memory:
        response = post_gzip(api, device, compressed)
    assert (response.status_code, codes(response)) == (413, {"": "too_large"})
    assert memory.peak < 100 * 2**20


def test_a_gzip_with_four_times_the_members_takes_not_many_times_as_long() -> None:
    """Where the rest is copied for each member it is sixteen times as long, and 16 MiB hold a worker up for minutes."""
    few, many = (processor_seconds(partial(gunzip, EMPTY_MEMBER * number, 1)) for number in (25_000, 100_000))
    assert many < 8 * few


def test_a_gzip_may_have_several_members(api: APIClient, device: Device) -> None:
    members = HEADER, b"2026-01-01T00:00:00Z,1,", b"", b"2,3\n2026-01-01T00:00:01Z,1,2,3\n"
    assert post_gzip(api, device, b"".join(map(gzip.compress, members))).json() == receipt(2, 2)


def test_a_gzip_that_is_cut_short_is_refused_wherever_it_is_cut(api: APIClient, device: Device) -> None:
    compressed = gzip.compress(encoded([fields(second) for second in range(3)], "csv"))
    for length in range(len(compressed)):
        assert post_gzip(api, device, compressed[:length]).status_code == 400
    assert not Reading.objects.exists()


@pytest.mark.parametrize("garbage", [b"\0", b"x", HEADER, b"\x1f\x8b"])
def test_a_gzip_with_something_behind_it_is_refused(api: APIClient, device: Device, garbage: bytes) -> None:
    response = post_gzip(api, device, gzip.compress(encoded([fields()], "csv")) + garbage)
    assert (response.status_code, codes(response)) == (400, {"": "parse_error"})
    assert not Reading.objects.exists()


def test_a_gzip_with_a_wrong_checksum_is_refused(api: APIClient, device: Device) -> None:
    compressed = bytearray(gzip.compress(encoded([fields()], "csv")))
    compressed[-8] ^= 1
    assert post_gzip(api, device, bytes(compressed)).status_code == 400
    assert not Reading.objects.exists()


@in_each_format
def test_what_is_no_gzip_at_all_is_refused(api: APIClient, device: Device, file_format: str) -> None:
    content = encoded([fields()], file_format)
    response = post_encoded(api, f"/api/v1/devices/{device.pk}/readings/", content, file_format)
    assert (response.status_code, codes(response)) == (400, {"": "parse_error"})


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "zstd"])
def test_another_encoding_of_the_content_is_415(api: APIClient, device: Device, encoding: str) -> None:
    for path in (f"/api/v1/devices/{device.pk}/readings/", "/api/v1/readings/"):
        response = post_encoded(api, path, b"[]", "json", encoding)
        assert (response.status_code, codes(response)) == (415, {"": "unsupported_media_type"})


@pytest.mark.parametrize("encoding", ["GZIP", "Gzip"])
def test_the_name_of_an_encoding_may_be_in_capitals(api: APIClient, device: Device, encoding: str) -> None:
    content = gzip.compress(encoded([fields()], "csv"))
    response = post_encoded(api, f"/api/v1/devices/{device.pk}/readings/", content, "csv", encoding)
    assert response.json() == receipt(1, 1)


@pytest.mark.parametrize("length", ["1" * 5000, "-1", "1e3", "\u0663"])
def test_a_length_that_is_none_is_no_500(api: APIClient, device: Device, length: str) -> None:
    path = f"/api/v1/devices/{device.pk}/readings/"
    response = post_bytes(api, path, b"[]", "application/json", CONTENT_LENGTH=length)
    assert response.status_code in (400, 413)


# Export

in_each_export_format = pytest.mark.parametrize("file_format", ["csv", "ndjson"])
EXTREMES = [
    (0, 0.1, 5e-324, 1e15),
    (0, 0.1 + 0.2, -5e-324, -1e15),
    (1.000001, -1.5, 0, 1 / 3),
    (86_400, 1e-7, 1e22 / 1e8, 3),
]


def exported(api: APIClient, device: Device, file_format: str, query: str = "") -> bytes:
    response = api.get(f"/api/v1/devices/{device.pk}/readings/export/?file_format={file_format}{query}")
    assert response.status_code == 200
    return b"".join(response.streaming_content)  # type: ignore[attr-defined]


@in_each_export_format
def test_what_is_exported_can_be_posted_to_another_device(
    api: APIClient, device: Device, other_device: Device, file_format: str
) -> None:
    stored(device, *EXTREMES)
    content = exported(api, device, file_format)
    response = post(api, f"/api/v1/devices/{other_device.pk}/readings/", content, file_format)
    assert response.json() == receipt(len(EXTREMES), len(EXTREMES))
    one, other = (
        [(*reading[:1], *(value.hex() for value in reading[1:])) for reading in readings]
        for readings in (
            Reading.objects.filter(device=owner).oldest_first().values_list("recorded_at", "x", "y", "z")
            for owner in (device, other_device)
        )
    )
    assert one == other


@in_each_export_format
def test_what_is_exported_and_posted_back_is_all_duplicates(api: APIClient, device: Device, file_format: str) -> None:
    stored(device, *EXTREMES)
    path = f"/api/v1/devices/{device.pk}/readings/"
    response = post(api, path, exported(api, device, file_format), file_format)
    assert response.json() == receipt(len(EXTREMES), 0, len(EXTREMES))


def test_an_export_as_csv_is_what_it_says(api: APIClient, device: Device) -> None:
    stored(device, (1.5, 1, 2, 3), (0, 1, 2, 3))
    assert exported(api, device, "csv") == (
        b"recorded_at,x,y,z\n2026-01-01T00:00:00Z,1.0,2.0,3.0\n2026-01-01T00:00:01.500000Z,1.0,2.0,3.0\n"
    )


def test_an_export_as_ndjson_is_what_it_says(api: APIClient, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    assert exported(api, device, "ndjson") == b'{"recorded_at":"2026-01-01T00:00:00Z","x":1.0,"y":2.0,"z":3.0}\n'


@in_each_export_format
def test_an_export_may_be_of_a_window(api: APIClient, device: Device, other_device: Device, file_format: str) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(5)))
    stored(other_device, (2, 7, 8, 9))
    window = "&start_time=2026-01-01T00:00:01Z&end_time=2026-01-01T00:00:03Z"
    content = exported(api, device, file_format, window)
    assert content.count(b"2026-01-01") == 2
    assert b"00:00:01Z" in content
    assert b"00:00:02Z" in content


@pytest.mark.parametrize(("file_format", "content"), [("csv", HEADER), ("ndjson", b"")])
def test_an_export_may_be_of_nothing(api: APIClient, device: Device, file_format: str, content: bytes) -> None:
    assert exported(api, device, file_format) == content


@pytest.mark.parametrize("query", ["file_format=xml", "file_format=", "file_format=CSV", "file_format=json"])
def test_an_export_in_another_format_is_refused(api: APIClient, device: Device, query: str) -> None:
    response = api.get(f"/api/v1/devices/{device.pk}/readings/export/?{query}")
    assert (response.status_code, list(codes(response))) == (400, ["/file_format"])


def test_an_export_takes_one_query_for_each_5000_readings(api: APIClient, device: Device) -> None:
    queries = []
    for seconds in (range(1), range(1, 10_001)):
        stored(device, *((second, 1, 2, 3) for second in seconds))
        with CaptureQueriesContext(connection) as captured:
            exported(api, device, "ndjson")
        queries.append(len(captured))
    assert queries[1] - queries[0] == 2


def test_an_export_begins_before_it_has_read_everything(api: APIClient, device: Device) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(10_001)))
    response = api.get(f"/api/v1/devices/{device.pk}/readings/export/?file_format=ndjson")
    with CaptureQueriesContext(connection) as captured:
        content = iter(response.streaming_content)  # type: ignore[attr-defined]
        first, queries = next(content), len(captured)
        rest = list(content)
    assert first.count(b"\n") == 5_000
    assert queries == 0  # the first page was read before there was a status
    assert sum(piece.count(b"\n") for piece in rest) == 5_001


def test_an_export_passes_over_more_than_a_page_of_readings_of_one_time(api: APIClient, device: Device) -> None:
    stored(device, *((0, number, 2, 3) for number in range(5_500)))
    assert len(set(exported(api, device, "csv").splitlines())) == 5_501


def test_a_device_key_exports_its_own_device_alone(device: Device, other_device: Device) -> None:
    api = client_of_device(device)
    assert exported(api, device, "csv") == HEADER
    assert api.get(f"/api/v1/devices/{other_device.pk}/readings/export/?file_format=csv").status_code == 404
