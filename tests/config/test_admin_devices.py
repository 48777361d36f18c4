"""The device in the back office: its list, its page, and its keys, whose secrets are shown once."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from devices import figures
from devices.models import Device, DeviceKey, Refusal
from tests.helpers import NEW_YEAR, at, client_of_device, stored
from users.models import User

pytestmark = pytest.mark.django_db

KEY = re.compile(r"shown this once: <code>([0-9a-f]{12}\.[\w-]+)</code>")


def with_key(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Device {key}")
    return client


def keys_shown(response: Any) -> list[str]:
    assert response.status_code == 200
    return KEY.findall(response.content.decode())


def may_read(key: str, device: Device) -> bool:
    return bool(with_key(key).get(f"/api/v1/devices/{device.pk}/").status_code == 200)


def test_an_issued_key_speaks_for_its_device_beside_the_others(office: Client, device: Device) -> None:
    _, old = DeviceKey.issue(device)
    (new,) = keys_shown(office.post(f"/admin/devices/device/{device.pk}/key/"))
    assert may_read(new, device)
    assert may_read(old, device)


def test_a_rotated_key_replaces_all_others(office: Client, device: Device) -> None:
    _, old = DeviceKey.issue(device)
    (new,) = keys_shown(office.post(f"/admin/devices/device/{device.pk}/rotate/"))
    assert may_read(new, device)
    assert not may_read(old, device)


def test_each_selected_device_gets_a_key(office: Client, device: Device, other_device: Device) -> None:
    selected = [device.pk, other_device.pk]
    keys = keys_shown(office.post("/admin/devices/device/", {"action": "issue_key", "_selected_action": selected}))
    assert len(keys) == 2
    assert {may_read(key, device) for key in keys} == {True, False}


@pytest.mark.parametrize("page", ["{pk}/key/", "{pk}/rotate/", ""])
def test_the_secret_is_in_that_answer_and_nowhere_else(
    office: Client, device: Device, page: str, capfd: pytest.CaptureFixture[str]
) -> None:
    form = {"action": "issue_key", "_selected_action": [device.pk]}
    response = office.post(f"/admin/devices/device/{page.format(pk=device.pk)}", form)
    secret = keys_shown(response)[0].partition(".")[2]
    assert secret not in response.cookies.output()
    assert "no-store" in response["Cache-Control"]
    assert secret not in str(dict(office.session))
    assert secret not in str(LogEntry.objects.values_list())
    assert secret not in str(DeviceKey.objects.values_list())
    assert secret not in office.get(f"/admin/devices/device/{device.pk}/change/").content.decode()
    assert secret not in "".join(capfd.readouterr())


def test_a_new_key_is_in_the_history_of_its_device(office: Client, device: Device) -> None:
    office.post(f"/admin/devices/device/{device.pk}/key/")
    assert "Issued a key." in office.get(f"/admin/devices/device/{device.pk}/history/").content.decode()


@pytest.mark.parametrize("page", ["key", "rotate"])
def test_looking_at_an_address_issues_no_key(office: Client, device: Device, page: str) -> None:
    assert office.get(f"/admin/devices/device/{device.pk}/{page}/").status_code == 405
    assert not DeviceKey.objects.exists()


@pytest.mark.parametrize("page", ["key", "rotate"])
def test_a_form_of_another_site_issues_no_key(superuser: User, device: Device, page: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(superuser)
    assert client.post(f"/admin/devices/device/{device.pk}/{page}/").status_code == 403
    assert not DeviceKey.objects.exists()


@pytest.fixture
def onlooker(staff: User) -> Client:
    """Staff who may look at devices, and change nothing."""
    staff.user_permissions.set(Permission.objects.filter(codename="view_device"))
    client = Client()
    client.force_login(staff)
    return client


@pytest.mark.parametrize("page", ["key", "rotate"])
def test_who_may_only_look_gets_no_key(onlooker: Client, device: Device, page: str) -> None:
    assert onlooker.post(f"/admin/devices/device/{device.pk}/{page}/").status_code == 403
    assert not DeviceKey.objects.exists()


@pytest.mark.parametrize("action", ["issue_key", "deactivate", "delete_selected"])
def test_who_may_only_look_has_no_action_that_changes(onlooker: Client, device: Device, action: str) -> None:
    onlooker.post("/admin/devices/device/", {"action": action, "_selected_action": [device.pk], "post": "yes"})
    assert Device.objects.filter(is_active=True).exists()
    assert not DeviceKey.objects.exists()


def test_who_may_only_look_finds_no_buttons_for_keys(onlooker: Client, office: Client, device: Device) -> None:
    assert "Rotate" in office.get(f"/admin/devices/device/{device.pk}/change/").content.decode()
    assert "Rotate" not in onlooker.get(f"/admin/devices/device/{device.pk}/change/").content.decode()


@pytest.mark.parametrize("page", ["key/", "rotate/", "readings/"])
@pytest.mark.parametrize(("who", "status"), [("alice", 302), ("staff", 403)])
def test_who_may_not_look_at_devices_gets_no_page_of_one(
    request: pytest.FixtureRequest, device: Device, page: str, who: str, status: int
) -> None:
    client = Client()
    client.force_login(request.getfixturevalue(who))
    method = client.get if page == "readings/" else client.post
    assert method(f"/admin/devices/device/{device.pk}/{page}").status_code == status
    assert not DeviceKey.objects.exists()


@pytest.mark.parametrize("page", ["key/", "rotate/", "readings/"])
def test_of_a_device_that_is_not_there_is_no_page(office: Client, page: str) -> None:
    method = office.get if page == "readings/" else office.post
    assert method(f"/admin/devices/device/4711/{page}").status_code == 404


def test_a_key_taken_out_of_the_form_is_revoked(office: Client, alice: User, device: Device) -> None:
    key, text = DeviceKey.issue(device)
    form = {
        "name": device.name, "owner": alice.pk, "is_active": "on", "keys-TOTAL_FORMS": 1, "keys-INITIAL_FORMS": 1,
        "keys-0-id": key.pk, "keys-0-device": device.pk, "keys-0-DELETE": "on",
    }  # fmt: skip
    assert office.post(f"/admin/devices/device/{device.pk}/change/", form).status_code == 302
    assert not may_read(text, device)


def test_selected_devices_take_no_readings_any_more(office: Client, device: Device, other_device: Device) -> None:
    form = {"action": "deactivate", "_selected_action": [device.pk]}
    assert (
        "1 devices take no readings any more."
        in office.post("/admin/devices/device/", form, follow=True).content.decode()
    )
    assert list(Device.objects.filter(is_active=True)) == [other_device]


def test_the_readings_of_selected_devices_are_a_link_away(office: Client, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    form = {"action": "export", "_selected_action": [device.pk]}
    page = office.post("/admin/devices/device/", form, follow=True).content.decode()
    (link,) = re.findall(r'href="(/api/v1/devices/\d+/readings/export/\?file_format=csv)"', page)
    assert b"2026-01-01T00:00:00Z,1.0,2.0,3.0" in office.get(link).getvalue()


def test_a_name_of_markup_is_a_name(office: Client, device: Device) -> None:
    Device.objects.update(name="<script>alert(1)</script>{{ 7*7 }}")
    for page in ("", f"{device.pk}/change/", f"{device.pk}/readings/"):
        assert "<script>alert" not in office.get(f"/admin/devices/device/{page}").content.decode()
    form = {"action": "export", "_selected_action": [device.pk]}
    assert "<script>alert" not in office.post("/admin/devices/device/", form, follow=True).content.decode()


@pytest.mark.parametrize(
    ("status", "names"), [("silent", {"Pump 1"}), ("reporting", {"Pump 2"}), ("inactive", set()), ("nowhere", set())]
)
def test_the_list_is_filtered_by_whether_devices_report(
    office: Client, device: Device, other_device: Device, status: str, names: set[str]
) -> None:
    Device.objects.update(expected_interval=10)
    stored(device, (0, 1, 2, 3))
    stored(other_device, (3600, 1, 2, 3))
    figures.refresh(at(3605))
    Device.objects.update(created_at=NEW_YEAR)
    page = office.get(f"/admin/devices/device/?status={status}").content.decode()
    assert {name for name in ("Pump 1", "Pump 2") if name in page} == names


def test_the_list_is_filtered_by_owner(office: Client, device: Device, alice: User, bob: User) -> None:
    assert device.name in office.get(f"/admin/devices/device/?owner__id__exact={alice.pk}").content.decode()
    assert device.name not in office.get(f"/admin/devices/device/?owner__id__exact={bob.pk}").content.decode()


def test_the_list_tells_when_a_device_was_heard_of_last(office: Client, device: Device) -> None:
    stored(device, (90, 1, 2, 3))
    figures.refresh(at(100))
    assert "Jan. 1, 2026, 12:01 a.m." in office.get("/admin/devices/device/").content.decode()


def test_the_list_costs_the_same_for_many(office: Client, alice: User, django_assert_num_queries: Any) -> None:
    Device.objects.bulk_create(Device(owner=alice, name=str(number)) for number in range(150))
    figures.refresh(NEW_YEAR)
    # 1 session, 1 user, 1 page with owners and activities
    with django_assert_num_queries(3):
        office.get("/admin/devices/device/")


def test_the_readings_of_a_device_are_paged_from_the_newest_on_without_a_gap(office: Client, device: Device) -> None:
    stored(device, *[(number // 3, number, 0, 0) for number in range(250)])  # three a second
    shown, address = [], f"/admin/devices/device/{device.pk}/readings/"
    for _ in range(3):
        page = office.get(address).content.decode()
        shown += re.findall(r"<td>(\d+)\.0</td><td>0\.0</td>", re.sub(r"\s*\n\s*", "", page))
        address = f"/admin/devices/device/{device.pk}/readings/" + "".join(
            re.findall(r'rel="next" href="([^"]+)"', page)
        )
    assert sorted(map(int, shown), reverse=True) == list(map(int, shown)) == list(range(249, -1, -1))


@pytest.mark.parametrize("cursor", ["x", "%00", "A" * 43, "9" * 5000])
def test_a_cursor_that_was_made_up_leads_nowhere(office: Client, device: Device, cursor: str) -> None:
    assert office.get(f"/admin/devices/device/{device.pk}/readings/?before={cursor}").status_code in {200, 404}


def test_the_readings_cost_the_same_for_many(office: Client, device: Device, django_assert_num_queries: Any) -> None:
    stored(device, *[(number, number, 0, 0) for number in range(250)])
    # 1 session, 1 user, 1 device, 1 what was pruned, 1 page
    with django_assert_num_queries(5):
        office.get(f"/admin/devices/device/{device.pk}/readings/")


def test_the_page_of_a_device_shows_its_last_readings_and_what_was_refused(office: Client, device: Device) -> None:
    stored(device, *[(number, number, 0, 0) for number in range(20)])
    client_of_device(device).post(f"/api/v1/devices/{device.pk}/readings/", [{"x": "no"}])
    page = office.get(f"/admin/devices/device/{device.pk}/change/").content.decode()
    assert "2026-01-01 00:00:19.000000" in page
    assert "2026-01-01 00:00:09.000000" not in page
    assert Refusal.objects.get().detail in page


def test_the_page_of_a_device_costs_the_same_for_many_readings(
    office: Client, device: Device, other_device: Device
) -> None:
    """From a thousand readings on, which are no points of their own any more."""
    stored(device, *[(number, number, 0, 0) for number in range(1000)])
    stored(other_device, *[(number, number, 0, 0) for number in range(3000)])
    queries = []
    for each in (device, other_device):
        with CaptureQueriesContext(connection) as captured:
            office.get(f"/admin/devices/device/{each.pk}/change/?span=all")
        queries.append(len(captured))
    # 1 session, 1 user, 1 device, 1 keys, 1 readings, 1 refusals, and 8 to 12 of the curve
    assert queries[0] == queries[1] <= 18


def test_the_list_of_refusals_costs_the_same_for_many(
    office: Client, device: Device, alice: User, django_assert_num_queries: Any
) -> None:
    Refusal.objects.bulk_create(
        Refusal(device=device, sender=alice, at=at(n), status=400, faults=1, size=1, code="x", detail="y")
        for n in range(150)
    )
    # 1 session, 1 user, 1 page with devices and senders
    with django_assert_num_queries(3):
        assert "Pump 1" in office.get("/admin/devices/refusal/").content.decode()


def test_a_refusal_of_a_device_that_is_gone_is_still_listed(office: Client, device: Device) -> None:
    Refusal.objects.create(device=device, at=NEW_YEAR, status=400, faults=1, size=1, code="odd_code", detail="y")
    Device.objects.filter(pk=device.pk)._raw_delete("default")  # as when it goes while a refusal is written
    assert "odd_code" in office.get("/admin/devices/refusal/").content.decode()


def test_refusals_are_only_read(office: Client, device: Device) -> None:
    refusal = Refusal.objects.create(device=device, at=NEW_YEAR, status=400, faults=1, size=1, code="x", detail="y")
    assert office.get("/admin/devices/refusal/add/").status_code == 403
    assert office.post(f"/admin/devices/refusal/{refusal.pk}/change/", {"code": "z"}).status_code == 403


def test_no_page_of_a_device_loads_its_analyses_to_delete_it(
    office: Client, device: Device, django_assert_num_queries: Any
) -> None:
    # 1 session, 1 user, 1 device
    with django_assert_num_queries(3):
        assert office.get(f"/admin/devices/device/{device.pk}/delete/").status_code == 200
