"""Wrong keys, tokens and passwords: refused before the database is asked, by address, in all processes together."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.test import Client
from knox.models import AuthToken
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from config.settings import REDIS_OPTIONS
from devices.models import Device, DeviceKey
from tests.helpers import client_of, client_of_device, codes, fields, send
from tests.once import once
from tests.service import Service, free_port, serving
from tests.valkey import valkey
from users import failures
from users.failures import Attempt, TooManyFailures, address_of
from users.models import User

pytestmark = pytest.mark.django_db

TOO_MANY = (429, {"": "too_many_failures"})


@pytest.fixture(autouse=True)
def early_in_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test meets the end of one."""
    monkeypatch.setattr(failures, "WINDOW_SECONDS", 10**6)


@pytest.fixture(autouse=True)
def low_limits(settings: Any) -> None:
    settings.FAILURE_LIMIT = 3
    settings.FAILURE_LIMIT_PER_ADDRESS = 50


def ask_with(credentials: str, address: str = "192.0.2.1", **headers: Any) -> Any:
    client = APIClient(HTTP_AUTHORIZATION=credentials, REMOTE_ADDR=address, **headers)
    return client.get("/api/v1/devices/")


def sign_in(password: str, username: str = "alice", **extra: Any) -> Any:
    return APIClient(**extra).post("/api/v1/auth/token/", {"username": username, "password": password})


WRONG = ["Device 0123456789ab.wrong", "Token " + "0" * 64]


@pytest.mark.parametrize("credentials", WRONG)
def test_wrong_credentials_are_429_past_the_limit(credentials: str) -> None:
    assert [ask_with(credentials).status_code for _ in range(4)] == [401, 401, 401, 429]


@pytest.mark.parametrize("credentials", WRONG)
def test_past_the_limit_the_database_is_not_asked(credentials: str, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        ask_with(credentials)
    with django_assert_num_queries(0):
        response = ask_with(credentials)
    assert (response.status_code, codes(response)) == TOO_MANY


@pytest.mark.parametrize("credentials", WRONG)
def test_the_answer_says_when_to_come_back(credentials: str) -> None:
    for _ in range(3):
        ask_with(credentials)
    assert 0 < int(ask_with(credentials)["Retry-After"]) <= failures.WINDOW_SECONDS


def test_a_new_window_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        ask_with(WRONG[0])
    later = time.time() + failures.WINDOW_SECONDS
    monkeypatch.setattr("users.failures.time.time", lambda: later)
    assert ask_with(WRONG[0]).status_code == 401


def test_another_address_is_not_held_up() -> None:
    for _ in range(4):
        ask_with(WRONG[0])
    assert ask_with(WRONG[0], "192.0.2.2").status_code == 401


def test_one_bad_device_does_not_hold_up_the_others_of_its_gateway(device: Device, other_device: Device) -> None:
    for _ in range(9):
        ask_with(WRONG[0])
    assert ask_with(f"Device {DeviceKey.issue(other_device)[1]}").status_code == 403  # its key may not list


def test_many_bad_keys_from_one_address_are_refused_together(django_assert_num_queries: Any) -> None:
    for number in range(50):
        ask_with(f"Device {number:012x}.wrong")
    with django_assert_num_queries(0):
        assert ask_with("Device ffffffffffff.wrong").status_code == 429


def test_a_key_that_was_good_goes_on_while_its_address_is_refused(device: Device) -> None:
    key, path = DeviceKey.issue(device)[1], f"/api/v1/devices/{device.pk}/"
    good = APIClient(HTTP_AUTHORIZATION=f"Device {key}", REMOTE_ADDR="192.0.2.1")
    assert good.get(path).status_code == 200
    for number in range(50):
        ask_with(f"Device {number:012x}.wrong")
    assert good.get(path).status_code == 200


def test_a_good_key_that_was_revoked_is_refused_at_once_and_then_counts(device: Device) -> None:
    client = client_of_device(device)
    path = f"/api/v1/devices/{device.pk}/"
    assert client.get(path).status_code == 200
    device.keys.all().delete()
    assert [client.get(path).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_the_right_key_is_refused_too_once_its_name_is(device: Device) -> None:
    key = DeviceKey.issue(device)[1]
    for _ in range(3):
        ask_with(f"Device {key.partition('.')[0]}.wrong")
    assert ask_with(f"Device {key}").status_code == 429


def test_a_single_reading_with_a_bad_key_is_429_past_the_limit(device: Device) -> None:
    key = DeviceKey.issue(device)[0].prefix
    client = APIClient(HTTP_AUTHORIZATION=f"Device {key}.wrong")
    path = f"/api/v1/devices/{device.pk}/readings/"
    assert [send(client, "POST", path, fields()).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_a_single_reading_past_the_limit_does_not_reach_the_database(
    device: Device, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        ask_with(WRONG[0], "127.0.0.1")
    client = APIClient(HTTP_AUTHORIZATION=WRONG[0])
    with django_assert_num_queries(0):
        assert send(client, "POST", f"/api/v1/devices/{device.pk}/readings/", fields()).status_code == 429


def test_good_credentials_count_for_nothing(alice: User, device: Device) -> None:
    person, sensor = client_of(alice), client_of_device(device)
    for _ in range(9):
        assert person.get("/api/v1/users/me/").status_code == 200
        assert sensor.get(f"/api/v1/devices/{device.pk}/").status_code == 200


# Passwords


def test_wrong_passwords_are_429_past_the_limit(alice: User) -> None:
    assert [sign_in("wrong").status_code for _ in range(4)] == [400, 400, 400, 429]


def test_past_the_limit_the_right_password_is_refused_without_the_database(
    alice: User, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        sign_in("wrong")
    with django_assert_num_queries(0):
        response = sign_in("alice-9-secret")
    assert (response.status_code, codes(response)) == TOO_MANY
    assert int(response["Retry-After"]) > 0


def test_another_account_at_the_address_can_sign_in(alice: User, bob: User) -> None:
    for _ in range(4):
        sign_in("wrong")
    assert sign_in("bob-9-secret", "bob").status_code == 200


def test_a_password_tried_on_many_accounts_is_refused() -> None:
    statuses = [sign_in("Summer2026!", f"user{number}").status_code for number in range(6)]
    assert statuses == [400, 400, 400, 400, 400, 429]


def test_the_admins_login_is_limited_by_the_same_count(superuser: User) -> None:
    for _ in range(3):
        sign_in("wrong", "root")
    response = Client().post("/admin/login/", {"username": "root", "password": "root-9-secret"})
    assert (response.status_code, response["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert int(response["Retry-After"]) > 0


def test_wrong_passwords_at_the_admins_login_count(superuser: User) -> None:
    for _ in range(3):
        assert Client().post("/admin/login/", {"username": "root", "password": "wrong"}).status_code == 200
    assert sign_in("root-9-secret", "root").status_code == 429


def test_guesses_of_the_old_password_are_limited(api: APIClient) -> None:
    body = {"old_password": "wrong", "new_password": "a-new-one-9"}
    statuses = [api.post("/api/v1/users/me/password/", body).status_code for _ in range(4)]
    assert statuses == [400, 400, 400, 429]


# Where a request comes from


def test_x_forwarded_for_does_not_help_without_a_proxy() -> None:
    for number in range(3):
        ask_with(WRONG[0], HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
    assert ask_with(WRONG[0], HTTP_X_FORWARDED_FOR="198.51.100.9").status_code == 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "192.0.2.1"),
        (1, None, "192.0.2.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1, 198.51.100.1, 192.0.2.9", "198.51.100.1"),
        (1, "nonsense", "unknown"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_address_is_the_one_that_the_trusted_proxies_saw(
    rf: Any, monkeypatch: pytest.MonkeyPatch, proxies: int, forwarded: str | None, address: str
) -> None:
    monkeypatch.setattr(api_settings, "NUM_PROXIES", proxies)
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert address_of(rf.get("/", REMOTE_ADDR="192.0.2.1", headers=headers)) == address


# Where the counts are


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with valkey() as url:
        yield url


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Redis as the settings have it, for this test."""
    monkeypatch.setattr(failures, "_retry_at", 0.0)
    monkeypatch.setattr(
        failures, "caches", {"default": RedisCache(url, {"OPTIONS": REDIS_OPTIONS}), "process": caches["process"]}
    )


def attempt(name: str, rf: Any) -> Attempt:
    return Attempt(rf.get("/"), "key", name)


def test_counts_in_redis_are_seen_by_every_process(rf: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, redis_url)
    for _ in range(3):
        attempt("one", rf).failed()
    use(monkeypatch, redis_url)  # another process begins with nothing but the address of Redis
    with pytest.raises(TooManyFailures):
        attempt("one", rf).refuse_if_too_many()
    assert caches["process"].get_many(attempt("one", rf)._counters()) == {}


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A port that takes a connection, and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture(params=["nobody listens", "nobody answers"])
def dead_redis(request: pytest.FixtureRequest) -> str:
    if request.param == "nobody listens":
        return f"redis://127.0.0.1:{free_port()}/0"
    return str(request.getfixturevalue("black_hole"))


def statuses_of_a_bad_key(service: Service, requests: int) -> list[int]:
    """Each over a connection of its own, so that every worker gets some. Whatever takes 10 seconds is a failure."""
    if (left := 300 - time.time() % 300) < 30:
        time.sleep(left)  # not over the end of a window
    url, headers = f"{service.url}/api/v1/devices/", {"Authorization": WRONG[0]}
    return [httpx.get(url, headers=headers, timeout=10).status_code for _ in range(requests)]


@once
def test_all_workers_of_a_service_count_together_in_redis(redis_url: str) -> None:
    with serving(CACHE_URL=redis_url, FAILURE_LIMIT="5", GUNICORN_CMD_ARGS="--workers 3") as service:
        assert statuses_of_a_bad_key(service, 15) == [401] * 5 + [429] * 10


@once
def test_a_service_whose_redis_never_answers_goes_on_and_counts(black_hole: str) -> None:
    with serving(CACHE_URL=black_hole, FAILURE_LIMIT="5", GUNICORN_CMD_ARGS="--workers 1") as service:
        assert statuses_of_a_bad_key(service, 10) == [401] * 5 + [429] * 5


def test_without_redis_requests_are_answered(
    alice: User, device: Device, dead_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, dead_redis)
    assert sign_in("alice-9-secret").status_code == 200
    assert client_of_device(device).get(f"/api/v1/devices/{device.pk}/").status_code == 200
    assert client_of(alice).get("/api/v1/users/me/").status_code == 200


def test_without_redis_the_process_counts_by_itself(dead_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, dead_redis)
    assert [ask_with(WRONG[0]).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_a_redis_that_did_not_answer_is_left_alone_for_a_while(
    rf: Any, dead_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, dead_redis)
    attempt("one", rf).failed()
    asked = []
    monkeypatch.setattr(RedisCache, "get_many", lambda *args: asked.append(args))
    attempt("one", rf).refuse_if_too_many()
    assert asked == []


def test_redis_is_asked_again_after_a_while(rf: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"redis://127.0.0.1:{free_port()}/0")
    attempt("back", rf).failed()
    use(monkeypatch, redis_url)
    for _ in range(3):
        attempt("back", rf).failed()
    with pytest.raises(TooManyFailures):
        attempt("back", rf).refuse_if_too_many()


def test_a_token_is_not_held_in_plain(alice: User) -> None:
    token = AuthToken.objects.create(alice)[1]
    assert ask_with(f"Token {token}").status_code == 200
    assert failures._good
    assert all(len(proof) == 16 and token.encode() not in proof for proof in failures._good)
