"""The user in the back office: their devices, the figures of all of them, their tokens."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from knox.models import AuthToken

from devices.models import Device
from tests.helpers import client_of, stored
from users.models import User

pytestmark = pytest.mark.django_db


def page_of(office: Client, user: User) -> str:
    return office.get(f"/admin/users/user/{user.pk}/change/").content.decode()


def test_the_page_of_a_user_leads_to_their_devices(office: Client, alice: User, bob: User, device: Device) -> None:
    (address,) = re.findall(r'href="([^"]+)">Devices of alice', page_of(office, alice))
    assert "Pump 1" in office.get(address).content.decode()
    (address,) = re.findall(r'href="([^"]+)">Devices of bob', page_of(office, bob))
    assert "Pump 1" not in office.get(address).content.decode()


def test_the_figures_of_all_devices_of_a_user_are_taken_together(
    office: Client, alice: User, bob: User, device: Device, other_device: Device
) -> None:
    stored(device, (0, 1, 10, 100), (1, 2, 20, 200))
    stored(other_device, (0, 7, 70, 700))
    stored(Device.objects.create(owner=bob, name="Mill"), (0, 1000, 1000, 1000))
    (address,) = re.findall(r'href="([^"]+)">Analytics of all of them', page_of(office, alice))
    page = office.get(address).content.decode()
    assert "3 readings of 2 devices" in page
    cells = re.findall(r"<td>([^<]*)</td>", page)
    assert [float(cell) for cell in cells[:5]] == [1.0, 2.0, 7.0, 10 / 3, 10.0]  # min, median, max, avg, sum of x
    assert [float(cell) for cell in cells[10:]] == [100.0, 200.0, 700.0, 1000 / 3, 1000.0]


def test_a_user_without_devices_has_no_figures(office: Client, bob: User) -> None:
    page = office.get(f"/admin/analytics/analysis/of-user/{bob.pk}/").content.decode()
    assert "0 readings of 0 devices." in page
    assert "<td>" not in page


@pytest.mark.parametrize(("permission", "status"), [("view_user", 200), ("view_device", 403)])
def test_figures_of_a_user_are_for_who_may_look_at_users(
    staff: User, alice: User, permission: str, status: int
) -> None:
    staff.user_permissions.set(Permission.objects.filter(codename=permission))
    client = Client()
    client.force_login(staff)
    assert client.get(f"/admin/analytics/analysis/of-user/{alice.pk}/").status_code == status


@pytest.mark.parametrize("user_id", ["4711", "99999999999999999999"])
def test_of_a_user_that_is_not_there_are_no_figures(office: Client, user_id: str) -> None:
    assert office.get(f"/admin/analytics/analysis/of-user/{user_id}/").status_code in {400, 404}


def test_the_page_of_a_user_lists_their_tokens_and_each_can_be_revoked(office: Client, alice: User, bob: User) -> None:
    api, other = client_of(alice), client_of(bob)
    (address,) = re.findall(r'href="(/admin/knox/authtoken/[^"]+/delete/)"', page_of(office, alice))
    assert office.post(address, {"post": "yes"}).status_code == 302
    assert api.get("/api/v1/users/me/").status_code == 401
    assert other.get("/api/v1/users/me/").status_code == 200


def test_no_page_has_a_whole_token(office: Client, alice: User) -> None:
    token, text = AuthToken.objects.create(alice)
    pages = page_of(office, alice) + office.get("/admin/knox/authtoken/").content.decode()
    assert token.token_key in pages
    assert text not in pages


def test_tokens_are_not_made_or_changed_here(office: Client, alice: User) -> None:
    token, _ = AuthToken.objects.create(alice)
    assert office.get("/admin/knox/authtoken/add/").status_code == 403
    assert office.post(f"/admin/knox/authtoken/{token.pk}/change/", {"user": 1}).status_code == 403


def test_a_password_set_here_signs_in(office: Client, alice: User) -> None:
    form = {"password1": "a-new-9-secret", "password2": "a-new-9-secret", "usable_password": "true"}
    assert office.post(f"/admin/users/user/{alice.pk}/password/", form).status_code == 302
    assert Client().login(username="alice", password="a-new-9-secret")


def test_the_page_of_a_user_costs_the_same_for_many_devices_and_tokens(
    office: Client, alice: User, django_assert_num_queries: Any
) -> None:
    Device.objects.bulk_create(Device(owner=alice, name=str(number)) for number in range(200))
    for _ in range(10):
        AuthToken.objects.create(alice)
    # 1 session, 1 user who asks, 1 user, 1 of its groups, 1 of its permissions, 1 groups, 1 permissions, 1 tokens
    with django_assert_num_queries(8):
        page_of(office, alice)


def test_the_list_of_tokens_costs_the_same_for_many(
    office: Client, alice: User, django_assert_num_queries: Any
) -> None:
    for _ in range(30):
        AuthToken.objects.create(alice)
    # 1 session, 1 user, 1 page with users
    with django_assert_num_queries(3):
        office.get("/admin/knox/authtoken/")
