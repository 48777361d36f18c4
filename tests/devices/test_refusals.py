"""What is kept of refused readings, and that keeping it is nobody's burden."""

import gzip
import json
from threading import Event, Thread
from typing import Any, Self

import pytest
from django.core.cache import caches
from django.db import DatabaseError, connection, transaction
from rest_framework.test import APIClient

from devices import refusals
from devices.models import Device, Reading, Refusal
from tests.helpers import client_of, client_of_device, fields
from users.models import User

pytestmark = pytest.mark.django_db

SENT = "TOP-SECRET-42"
BAD: dict[str, Any] = {"x": "no number"}


@pytest.fixture
def sender(device: Device) -> APIClient:
    return client_of_device(device)


def post(api: APIClient, path: str, body: Any) -> Any:
    return api.post(f"/api/v1/{path}", body)


def test_a_refused_batch_of_a_device_is_noted_with_its_first_fault(device: Device, sender: APIClient) -> None:
    body = [fields(1), fields(2) | BAD, fields(3) | BAD]
    assert post(sender, f"devices/{device.pk}/readings/", body).status_code == 400
    refusal = Refusal.objects.get()
    assert (refusal.device, refusal.sender, refusal.status, refusal.faults) == (device, None, 400, 2)
    assert (refusal.pointer, refusal.code) == ("/1/x", "not_a_number")
    assert refusal.detail == "This must be a JSON number."
    assert refusal.size == len(json.dumps(body, separators=(",", ":")))


def test_a_person_who_sends_for_a_device_is_named(device: Device, alice: User, api: APIClient) -> None:
    post(api, f"devices/{device.pk}/readings/", [BAD])
    refusal = Refusal.objects.get()
    assert (refusal.device, refusal.sender) == (device, alice)


def test_a_refused_batch_for_many_devices_is_noted_with_its_sender(alice: User, api: APIClient) -> None:
    post(api, "readings/", [fields(1) | {"device": 10**15}])
    refusal = Refusal.objects.get()
    assert (refusal.device, refusal.sender, refusal.code, refusal.pointer) == (
        None, alice, "unknown_device", "/0/device",
    )  # fmt: skip


def test_a_refused_batch_for_many_devices_by_a_device_is_noted_with_it(device: Device, sender: APIClient) -> None:
    post(sender, "readings/", [fields(1) | {"device": 10**15}])
    assert Refusal.objects.get().device == device


def test_one_bad_reading_is_noted(device: Device, sender: APIClient) -> None:
    post(sender, f"devices/{device.pk}/readings/", fields(1) | BAD)
    assert Refusal.objects.get().pointer == "/x"


def test_rows_that_a_partial_batch_leaves_out_are_noted(device: Device, sender: APIClient) -> None:
    post(sender, f"devices/{device.pk}/readings/?partial=true", [fields(1), fields(2) | BAD])
    refusal = Refusal.objects.get()
    assert (refusal.status, refusal.faults, refusal.pointer, refusal.code) == (200, 1, "/1/x", "not_a_number")


def test_readings_of_an_inactive_device_are_noted(device: Device, sender: APIClient) -> None:
    Device.objects.update(is_active=False)
    post(sender, f"devices/{device.pk}/readings/", [fields(1)])
    assert (Refusal.objects.get().status, Refusal.objects.get().code) == (403, "device_inactive")


def test_a_body_that_is_too_large_once_it_is_unpacked_is_noted(
    device: Device, sender: APIClient, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = gzip.compress(b" " * 2000)
    sender.post(f"/api/v1/devices/{device.pk}/readings/", body, content_type="text/csv", HTTP_CONTENT_ENCODING="gzip")
    assert (Refusal.objects.get().status, Refusal.objects.get().code) == (413, "too_large")


def test_stored_readings_are_not_noted(device: Device, sender: APIClient) -> None:
    post(sender, f"devices/{device.pk}/readings/", [fields(1)])
    post(sender, f"devices/{device.pk}/readings/", [fields(1), fields(2)])
    post(sender, f"devices/{device.pk}/readings/?partial=true", [fields(3)])
    assert Reading.objects.count() == 3
    assert not Refusal.objects.exists()


def test_strangers_leave_no_note(device: Device, bob: User) -> None:
    path = f"devices/{device.pk}/readings/"
    assert post(client_of(bob), path, [BAD]).status_code == 404
    assert post(APIClient(), path, [BAD]).status_code == 401
    assert not Refusal.objects.exists()


def test_staff_who_may_not_write_leave_no_note(device: Device, staff: User) -> None:
    assert post(client_of(staff), f"devices/{device.pk}/readings/", [BAD]).status_code == 403
    assert not Refusal.objects.exists()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (f'[{{"{SENT}": 1}}]', "application/json"),
        (f'[{{"x": "{SENT}", "recorded_at": "{SENT}"}}]', "application/json"),
        (f"[{SENT}", "application/json"),
        (f'"{SENT}"', "application/json"),
        (f"{SENT}\n", "application/x-ndjson"),
        (f"{SENT},x\n1,2\n", "text/csv"),
        (f"recorded_at,x,y,z\n{SENT},{SENT},1,\n", "text/csv"),
        ("[]", f"text/{SENT}"),
        ("[]", f"application/json; header={SENT}"),
    ],
)
@pytest.mark.parametrize("query", ["", f"?partial={SENT}", f"?{SENT}=1"])
def test_nothing_that_was_sent_is_kept(
    device: Device, sender: APIClient, body: str, media_type: str, query: str
) -> None:
    sender.generic("POST", f"/api/v1/devices/{device.pk}/readings/{query}", body, content_type=media_type)
    kept = list(Refusal.objects.values_list())
    assert kept
    assert SENT.lower() not in str(kept).lower()


@pytest.fixture
def any_number_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "SECONDS_BETWEEN", 0)


def test_of_each_device_the_newest_are_kept(
    device: Device, other_device: Device, sender: APIClient, any_number_a_second: None
) -> None:
    post(client_of_device(other_device), f"devices/{other_device.pk}/readings/", [BAD])
    for number in range(25):
        post(sender, f"devices/{device.pk}/readings/", [*[fields(n) for n in range(number)], BAD])
    kept = Refusal.objects.filter(device=device).order_by("-at")
    assert [refusal.pointer for refusal in kept] == [f"/{number}/recorded_at" for number in range(24, 4, -1)]
    assert Refusal.objects.filter(device=other_device).exists()


def test_of_each_sender_for_many_devices_the_newest_are_kept(
    api: APIClient, device: Device, any_number_a_second: None
) -> None:
    post(api, f"devices/{device.pk}/readings/", [BAD])
    for _ in range(25):
        post(api, "readings/", [BAD])
    assert Refusal.objects.filter(device=None).count() == 20
    assert Refusal.objects.filter(device=device).count() == 1


def test_of_a_device_that_sends_nothing_else_one_a_second_is_noted(device: Device, sender: APIClient) -> None:
    for _ in range(5):
        post(sender, f"devices/{device.pk}/readings/", [BAD])
    assert Refusal.objects.count() == 1
    caches["process"].clear()  # a second later
    post(sender, f"devices/{device.pk}/readings/", [BAD])
    assert Refusal.objects.count() == 2


def test_a_note_that_can_not_be_written_changes_no_answer(
    device: Device, sender: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**values: object) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(Refusal.objects, "create", fail)
    assert post(sender, f"devices/{device.pk}/readings/", [BAD]).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_nothing_waits_for_a_note(device: Device, sender: APIClient) -> None:
    """While somebody else writes, on PostgreSQL the very table, the answer comes, and nothing is noted."""
    sender.get(f"/api/v1/devices/{device.pk}/")  # the use of a key is noted once a minute
    with Writer() as writer:
        assert post(sender, f"devices/{device.pk}/readings/", [BAD]).status_code == 400
        assert writer.is_writing
    assert not Refusal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_after_a_note_the_connection_waits_as_before(device: Device, sender: APIClient) -> None:
    setting = "PRAGMA busy_timeout" if connection.vendor == "sqlite" else "SHOW lock_timeout"

    def patience() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(setting)
            return cursor.fetchone()

    before = patience()
    post(sender, f"devices/{device.pk}/readings/", [BAD])
    assert patience() == before


class Writer:
    """Another connection in the middle of a transaction that keeps others from writing, as long as they would wait."""

    is_writing = False

    def __enter__(self) -> Self:
        self.began, self.done = Event(), Event()
        self.thread = Thread(target=self._write)
        self.thread.start()
        assert self.began.wait(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self.thread.join()

    def _write(self) -> None:
        try:
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    connection.cursor().execute("LOCK TABLE devices_refusal")
                self.is_writing = True
                self.began.set()
                self.done.wait(2.5)
                self.is_writing = False
        finally:
            connection.close()
