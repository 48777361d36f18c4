"""The back office: accounts, devices and background analyses."""

from typing import Any

import pytest
from django.test import Client

from analytics import analyses
from analytics.models import Analysis
from devices.models import Device, DeviceKey, Reading
from tests.helpers import client_of_device, stored
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


@pytest.mark.parametrize(
    "page", ["users/user/", "users/user/add/", "devices/device/", "devices/device/add/", "analytics/analysis/"]
)
def test_a_page_opens(office: Client, device: Device, page: str) -> None:
    assert office.get(f"/admin/{page}").status_code == 200


@pytest.mark.parametrize("page", ["users/user/", "devices/device/", "analytics/analysis/"])
def test_who_is_not_staff_is_sent_to_sign_in(alice: User, page: str) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(f"/admin/{page}").status_code == 302


def test_a_device_is_found_by_a_part_of_its_name(office: Client, device: Device, other_device: Device) -> None:
    page = office.get("/admin/devices/device/?q=ump+2").content.decode()
    assert "Pump 2" in page
    assert "Pump 1" not in page


def test_an_issued_key_is_shown_and_speaks_for_its_device(office: Client, device: Device) -> None:
    page = office.post(
        "/admin/devices/device/", {"action": "issue_key", "_selected_action": [device.pk]}, follow=True
    ).content.decode()
    assert f"New key of Pump 1, shown this once: {DeviceKey.objects.get().prefix}." in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("devices/device/{pk}/delete/", {"post": "yes"}),
        ("devices/device/", {"action": "delete_selected", "_selected_action": "{pk}", "post": "yes"}),
    ],
)
def test_deleting_a_device_takes_its_readings_along(
    office: Client, device: Device, path: str, form: dict[str, str]
) -> None:
    stored(device, (0, 1, 2, 3))
    client_of_device(device)
    office.post(f"/admin/{path.format(pk=device.pk)}", {name: text.format(pk=device.pk) for name, text in form.items()})
    assert not Device.objects.exists()
    assert not Reading.objects.exists()


def test_the_page_that_asks_before_deleting_reads_no_reading(
    office: Client, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(device, (0, 1, 2, 3))
    monkeypatch.setattr(Reading, "from_db", None)  # whoever loads one fails
    assert office.get(f"/admin/devices/device/{device.pk}/delete/").status_code == 200


def test_the_list_of_devices_costs_the_same_for_many(
    office: Client, alice: User, django_assert_num_queries: Any
) -> None:
    Device.objects.bulk_create(Device(owner=alice, name=str(number)) for number in range(50))
    # 1 session, 1 user, 1 count for the pages, 1 page with owners
    with django_assert_num_queries(4):
        office.get("/admin/devices/device/")


@pytest.fixture
def failed(alice: User, device: Device) -> Analysis:
    analysis = analyses.start(alice, device, {}, {})
    run = analyses.claim(analysis.pk)
    assert run is not None
    analyses.fail(run, "It can't be done.")
    return analysis


def test_the_list_of_analyses_shows_what_became_of_them(office: Client, failed: Analysis) -> None:
    page = office.get("/admin/analytics/analysis/").content.decode()
    for text in ("failed", "alice", "Pump 1", " s</td>", "It can&#x27;t be done."):
        assert text in page


def test_an_analysis_is_looked_at_without_its_result(office: Client, failed: Analysis) -> None:
    Analysis.objects.update(result='"a long one"')
    page = office.get(f"/admin/analytics/analysis/{failed.pk}/change/").content.decode()
    assert "It can&#x27;t be done." in page
    assert "a long one" not in page


@pytest.mark.parametrize(
    ("action", "status", "message"),
    [
        ("retry", "pending", "1 analyses tried again; 1 were left as they are."),
        ("cancel", "failed", "1 analyses cancelled; 1 were left as they are."),
    ],
)
def test_selected_analyses_are_tried_again_or_cancelled(
    office: Client, alice: User, failed: Analysis, action: str, status: str, message: str
) -> None:
    pending = analyses.start(alice, alice, {}, {})
    selected = [str(failed.pk), str(pending.pk)]
    page = office.post("/admin/analytics/analysis/", {"action": action, "_selected_action": selected}, follow=True)
    assert message in page.content.decode()
    failed.refresh_from_db()
    assert failed.status == status


def test_an_analysis_is_not_made_in_the_office(office: Client) -> None:
    assert office.get("/admin/analytics/analysis/add/").status_code == 403


def test_the_list_of_analyses_costs_the_same_for_many(
    office: Client, alice: User, device: Device, django_assert_num_queries: Any
) -> None:
    for number in range(20):
        analyses.start(alice, device, {}, number)
    # 1 session, 1 user, 1 count for the pages, 1 page with requesters and targets
    with django_assert_num_queries(4):
        office.get("/admin/analytics/analysis/")
