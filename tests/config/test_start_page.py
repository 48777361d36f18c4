"""The start page of the back office: what it tells, to whom, and that each number leads to what it counts."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from analytics import analyses
from config import start_page
from devices import figures
from devices.models import Device, Refusal
from devices.rows import Row
from tests.helpers import store_rows
from users.models import User

pytestmark = pytest.mark.django_db

TILE = re.compile(r'<a href="([^"]+)"[^>]*>\s*<div[^>]*>\s*<span[^>]*>([^<]+)</span>\s*<span[^>]*>([^<]+)</span>')
LISTED = re.compile(r'name="_selected_action"')


@pytest.fixture
def busy(alice: User) -> None:
    """Two that report, one silent, three of which nobody can say, one inactive; two refusals; analyses."""
    now = timezone.now()
    intervals = [10, 10, 10, None, None, None]
    devices = [Device.objects.create(owner=alice, name=str(n), expected_interval=i) for n, i in enumerate(intervals)]
    Device.objects.update(created_at=now - timedelta(days=1))
    Device.objects.create(owner=alice, name="off", is_active=False)
    store_rows([Row(device.pk, now - timedelta(seconds=1), 1.0, 2.0, 3.0) for device in devices[:2]])
    for device in devices[:2]:
        Refusal.objects.create(device=device, at=now, status=400, faults=1, size=1, code="x", detail="x")
    for number in range(3):
        analysis = analyses.start(alice, devices[0], {}, number)
    claimed = analyses.claim(analysis.pk)
    assert claimed is not None
    analyses.fail(claimed, "It can't be done.")
    figures.refresh(timezone.now())


def tiles(client: Client) -> dict[str, tuple[str, str]]:
    page = client.get("/admin/").content.decode()
    return {title: (value.strip(), address) for address, title, value in TILE.findall(page)}


def test_it_tells_each_number_at_a_glance(office: Client, busy: None) -> None:
    assert {title: value for title, (value, _) in tiles(office).items()} == {
        "Devices reporting": "2",
        "Devices silent": "1",
        "Devices without an expected interval": "3",
        "Devices inactive": "1",
        "Refused batches": "2",
        "Analyses pending": "2",
        "Analyses failed": "1",
    }


def test_each_number_leads_to_the_list_of_what_it_counts(office: Client, busy: None) -> None:
    for value, address in tiles(office).values():
        listed = LISTED.findall(office.get(address).content.decode())
        assert len(listed) == int(value), address


def test_before_anything_was_computed_it_says_so(office: Client) -> None:
    assert tiles(office)["Devices silent"][0] == "-"
    assert "Not computed yet" in office.get("/admin/").content.decode()


def test_the_readings_of_each_hour_are_a_bar_with_its_number(office: Client, busy: None) -> None:
    page = office.get("/admin/").content.decode()
    bars = re.findall(r'height="([0-9.]+)" .*?<title>[-0-9]+ [0-9]{2}:00: ([0-9,]+)</title>', page)
    assert len(bars) == 24
    assert sum(int(number) for _, number in bars) == 2
    assert max(float(height) for height, _ in bars) == 100


def test_more_analyses_than_a_thousand_are_not_counted_to_the_end(
    office: Client, busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_page, "MOST_COUNTED", 1)
    assert tiles(office)["Analyses pending"][0] == "1+"
    assert tiles(office)["Analyses failed"][0] == "1"


@pytest.mark.parametrize(
    ("permission", "titles"),
    [
        (None, set()),
        ("view_refusal", {"Refused batches"}),
        ("view_analysis", {"Analyses pending", "Analyses failed"}),
        ("change_user", set()),
    ],
)
def test_it_says_nothing_of_what_the_caller_may_not_look_at(
    staff: User, busy: None, permission: str | None, titles: set[str]
) -> None:
    staff.user_permissions.set(Permission.objects.filter(codename=permission))
    client = Client()
    client.force_login(staff)
    assert set(tiles(client)) == titles
    assert "<svg" not in client.get("/admin/").content.decode()


def test_who_is_not_staff_is_sent_to_sign_in(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get("/admin/").status_code == 302


def test_it_costs_the_same_for_many(office: Client, busy: None, alice: User, django_assert_num_queries: Any) -> None:
    Device.objects.bulk_create(Device(owner=alice, name=f"more {number}") for number in range(200))
    figures.refresh(timezone.now())
    # 1 session, 1 user, 1 figures, 1 hours, 2 analyses
    with django_assert_num_queries(6):
        office.get("/admin/")
