"""Accounts, passwords and tokens."""

from typing import Any
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from devices.models import Device, Reading
from tests.helpers import client_of, codes, stored
from users.models import User

pytestmark = pytest.mark.django_db


def sign_in(username: str, password: str) -> Any:
    return APIClient().post("/api/v1/auth/token/", {"username": username, "password": password})


def test_a_name_and_a_password_become_a_token(alice: User) -> None:
    response = sign_in("alice", "alice-9-secret")
    assert response.status_code == 200
    assert response.json().keys() == {"token", "expiry"}
    me = APIClient(HTTP_AUTHORIZATION=f"Token {response.json()['token']}").get("/api/v1/users/me/")
    assert me.json()["username"] == "alice"


def test_a_wrong_password_gets_no_token(alice: User) -> None:
    response = sign_in("alice", "wrong")
    assert (response.status_code, codes(response)) == (400, {"": "authorization"})


def test_a_token_is_kept_only_as_a_hash(alice: User) -> None:
    token = sign_in("alice", "alice-9-secret").json()["token"]
    assert not AuthToken.objects.filter(digest__contains=token[:20]).exists()


def test_a_revoked_token_is_refused(api: APIClient) -> None:
    assert api.delete("/api/v1/auth/token/").status_code == 204
    response = api.get("/api/v1/users/me/")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Device")


def test_an_expired_token_is_refused(api: APIClient) -> None:
    AuthToken.objects.update(expiry=timezone.now())
    assert api.get("/api/v1/users/me/").status_code == 401


def test_who_never_revokes_a_token_can_still_sign_in(alice: User) -> None:
    tokens = [sign_in("alice", "alice-9-secret").json()["token"] for _ in range(22)]
    assert AuthToken.objects.count() == 20
    assert APIClient(HTTP_AUTHORIZATION=f"Token {tokens[-1]}").get("/api/v1/users/me/").status_code == 200


def test_a_changed_password_revokes_all_tokens(alice: User, api: APIClient) -> None:
    other = client_of(alice)
    body = {"old_password": "alice-9-secret", "new_password": "rather-new-9"}
    assert api.post("/api/v1/users/me/password/", body).status_code == 204
    assert other.get("/api/v1/users/me/").status_code == 401
    assert sign_in("alice", "rather-new-9").status_code == 200


def test_a_password_whose_tokens_can_not_be_revoked_is_not_changed(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = APIClient()
    browser.force_login(alice)
    monkeypatch.setattr(AuthToken.objects, "filter", Mock(side_effect=OperationalError("no connection")))
    body = {"old_password": "alice-9-secret", "new_password": "another-9-secret"}
    assert browser.post("/api/v1/users/me/password/", body).status_code == 503
    monkeypatch.undo()
    assert sign_in("alice", "alice-9-secret").status_code == 200


def test_a_password_set_elsewhere_revokes_all_tokens(alice: User, api: APIClient) -> None:
    alice.set_password("by-staff-9")
    alice.save()
    assert api.get("/api/v1/users/me/").status_code == 401


def test_an_account_saved_without_a_new_password_keeps_its_tokens(alice: User, api: APIClient) -> None:
    alice.check_password("alice-9-secret")
    alice.save()
    assert api.get("/api/v1/users/me/").status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("wrong", "rather-new-9", {"/old_password": "wrong_password"}),
        ("alice-9-secret", "short", {"/new_password": "password_too_short"}),
        ("alice-9-secret", "", {"/new_password": "blank"}),
    ],
)
def test_a_bad_change_of_password_is_named(api: APIClient, old: str, new: str, fault: dict[str, str]) -> None:
    response = api.post("/api/v1/users/me/password/", {"old_password": old, "new_password": new})
    assert (response.status_code, codes(response)) == (400, fault)


def test_staff_create_an_account_that_can_sign_in(staff: User) -> None:
    body = {"username": "carol", "email": "carol@example.org", "password": "carol-9-secret"}
    response = client_of(staff).post("/api/v1/users/", body)
    assert response.status_code == 201
    assert "password" not in response.json()
    assert sign_in("carol", "carol-9-secret").status_code == 200


def test_an_account_without_a_password_cannot_sign_in(staff: User) -> None:
    client_of(staff).post("/api/v1/users/", {"username": "carol"})
    assert not User.objects.get(username="carol").has_usable_password()


def test_with_open_registration_anybody_creates_an_account(db: None, settings: Any) -> None:
    settings.OPEN_REGISTRATION = True
    assert APIClient().post("/api/v1/users/", {"username": "carol", "password": "carol-9-secret"}).status_code == 201


@pytest.mark.parametrize("field", ["is_staff", "is_superuser", "groups", "is_active"])
def test_rights_are_never_settable(superuser: User, field: str) -> None:
    response = client_of(superuser).post("/api/v1/users/", {"username": "carol", field: True})
    assert (response.status_code, codes(response)) == (400, {f"/{field}": "unknown_field"})


@pytest.mark.parametrize(
    ("username", "code"),
    [
        ("alice", "unique"),
        ("", "blank"),
        ("a b", "invalid"),
        ("x" * 151, "max_length"),
        ("a\x00", "null_characters_not_allowed"),
    ],
)
def test_a_bad_username_is_named(alice: User, staff: User, username: str, code: str) -> None:
    response = client_of(staff).post("/api/v1/users/", {"username": username})
    assert response.status_code == 400
    assert codes(response)["/username"] in {code, "invalid"}


def test_a_new_name_that_is_taken_is_refused(api: APIClient, alice: User, bob: User) -> None:
    response = api.patch(f"/api/v1/users/{alice.pk}/", {"username": "bob"})
    assert (response.status_code, codes(response)) == (400, {"/username": "unique"})


def test_details_name_the_devices(api: APIClient, alice: User, device: Device, other_device: Device) -> None:
    for path in (f"/api/v1/users/{alice.pk}/", "/api/v1/users/me/"):
        assert api.get(path).json()["devices"] == [
            {"id": device.pk, "name": "Pump 1"},
            {"id": other_device.pk, "name": "Pump 2"},
        ]


def test_what_was_read_can_be_sent_back(api: APIClient, alice: User, device: Device) -> None:
    account = api.get(f"/api/v1/users/{alice.pk}/").json()
    response = api.put(f"/api/v1/users/{alice.pk}/", account)
    assert (response.status_code, response.json()) == (200, account)


def test_a_plain_users_list_holds_only_themself(api: APIClient, alice: User, bob: User) -> None:
    assert [user["username"] for user in api.get("/api/v1/users/").json()["results"]] == ["alice"]


def test_staff_find_an_account_by_a_part_of_its_name(staff: User, alice: User, bob: User) -> None:
    results = client_of(staff).get("/api/v1/users/?search=LIC").json()["results"]
    assert [user["username"] for user in results] == ["alice"]


def test_an_owner_of_devices_is_not_deleted_by_accident(api: APIClient, alice: User, device: Device) -> None:
    response = api.delete(f"/api/v1/users/{alice.pk}/")
    assert (response.status_code, codes(response)) == (409, {"": "owns_devices"})
    assert Device.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_with_cascade_the_devices_and_readings_go_too(api: APIClient, alice: User, bob: User, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    assert api.delete(f"/api/v1/users/{alice.pk}/?cascade=true").status_code == 204
    assert not Device.objects.exists()
    assert not Reading.objects.exists()
    assert list(User.objects.all()) == [bob]


def test_the_list_costs_the_same_for_many(staff: User, django_assert_num_queries: Any) -> None:
    User.objects.bulk_create(User(username=f"user {number}") for number in range(50))
    client = client_of(staff)
    # 1 token, 1 the user's other tokens (knox looks for expired ones), 1 the page
    with django_assert_num_queries(3):
        assert len(client.get("/api/v1/users/").json()["results"]) == 51


def test_the_details_cost_the_same_for_many_devices(
    api: APIClient, alice: User, django_assert_num_queries: Any
) -> None:
    Device.objects.bulk_create(Device(owner=alice, name=str(number)) for number in range(50))
    # 2 token, 1 account, 1 devices
    with django_assert_num_queries(4):
        assert len(api.get(f"/api/v1/users/{alice.pk}/").json()["devices"]) == 50
