"""Several callers at once, each in a thread with a connection of its own.

The order of events is made, not hoped for: a gate holds the first caller at a known point of its transaction until
the second one waits for a lock.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event, Lock, get_ident
from time import monotonic, sleep
from typing import Any, TypeVar

import pytest
from django.contrib.auth.forms import AuthenticationForm
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.models import Model
from django.db.models.sql import DeleteQuery
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.models import AuthToken
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.test import APIClient

from analytics import pools
from devices import ingest
from devices.models import Device, DeviceKey, Reading
from devices.querysets import ReadingQuerySet
from devices.rows import Row
from devices.serializers import DeviceSerializer
from devices.transactions import exclusive_device_lock, snapshot
from tests.helpers import NEW_YEAR, at, client_of, codes, fields, store_rows, stored
from users.models import User, UserManager
from users.serializers import PasswordSerializer, UserSerializer
from users.views import TokenView

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
Call = Callable[[], Any]
TIMEOUT = 30  # seconds; nothing here takes one
STUCK = 0.1  # seconds in one statement: it waits for a lock


class Gate:
    """Holds the first who comes until it is opened, and nobody else."""

    def __init__(self) -> None:
        self.first, self.reached, self.opened = Lock(), Event(), Event()

    def pass_through(self) -> None:
        if self.first.acquire(blocking=False):
            self.reached.set()
            assert self.opened.wait(TIMEOUT), "nobody opened the gate"


class Callers:
    """Threads, and the gates on their way."""

    def __init__(self, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.executor, self.monkeypatch = executor, monkeypatch
        self.gates: list[Gate] = []
        self.statements: dict[int, tuple[str, float]] = {}  # by thread, what it is executing, and since when

    def gate(self, owner: Any, name: str, *, after: bool = False) -> Gate:
        """A gate before, or after, what a function does."""
        gate, function = Gate(), getattr(owner, name)
        self.gates.append(gate)

        def held(*args: Any, **kwargs: Any) -> Any:
            if not after:
                gate.pass_through()
            result = function(*args, **kwargs)
            if after:
                gate.pass_through()
            return result

        self.monkeypatch.setattr(owner, name, held)
        return gate

    def start(self, call: Callable[[], T]) -> Future[T]:
        return self.executor.submit(self._run, call)

    def all_at_once(self, calls: Sequence[Call]) -> list[Any]:
        barrier = Barrier(len(calls), timeout=TIMEOUT)

        def after_the_barrier(call: Call) -> Any:
            barrier.wait()
            return call()

        futures = [self.start(partial(after_the_barrier, call)) for call in calls]
        return [future.result(TIMEOUT) for future in futures]

    def in_a_queue(self, gate: Gate, first: Call, second: Call) -> tuple[Any, Any]:
        """What both return when the second has to wait for a lock that the first one, held at the gate, has."""
        return self._meanwhile(gate, first, second, must_wait=True)

    def meanwhile(self, gate: Gate, first: Call, second: Call) -> tuple[Any, Any]:
        """What both return when the second goes as far as it can while the first is held at the gate."""
        return self._meanwhile(gate, first, second, must_wait=False)

    def stopped_at(self, obstacle: Call, calls: Sequence[Call]) -> list[Any]:
        """What all return that had to wait for a transaction with an obstacle in the middle of their work."""
        with transaction.atomic():
            obstacle()
            futures = [self.start(call) for call in calls]
            self._wait(lambda: self._blocked() == len(calls))
        return [future.result(TIMEOUT) for future in futures]

    def _meanwhile(self, gate: Gate, first: Call, second: Call, *, must_wait: bool) -> tuple[Any, Any]:
        held = self.start(first)
        self._wait(lambda: gate.reached.is_set() or held.done())
        assert gate.reached.is_set(), f"it did not come to the gate: {held.result()}"
        other = self.start(second)
        self._wait(lambda: other.done() or self._blocked() > 0)
        assert not (must_wait and other.done()), "it did not wait for a lock"
        gate.opened.set()
        return held.result(TIMEOUT), other.result(TIMEOUT)

    def _run(self, call: Callable[[], T]) -> T:
        try:
            with connection.execute_wrapper(self._note):
                return call()
        finally:
            connection.close()

    def _note(self, execute: Callable[..., T], sql: str, *rest: Any) -> T:
        self.statements[get_ident()] = sql, monotonic()
        try:
            return execute(sql, *rest)
        finally:
            del self.statements[get_ident()]

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = monotonic() + TIMEOUT
        while not condition():
            assert monotonic() < deadline, "it neither waits for a lock nor ends"
            sleep(0.005)

    def _blocked(self) -> int:
        """How many wait for a lock."""
        if connection.vendor == "sqlite":
            stuck_since = monotonic() - STUCK
            return sum(self._may_wait(sql) and since < stuck_since for sql, since in list(self.statements.values()))
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees the same list for ever
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND backend_type = 'client backend'"
            )
            return int(cursor.fetchone()[0])

    def _may_wait(self, sql: str) -> bool:
        return sql == "BEGIN IMMEDIATE"


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callers]:
    with ThreadPoolExecutor(4) as executor:
        callers = Callers(executor, monkeypatch)
        try:
            yield callers
        finally:
            for gate in callers.gates:
                gate.opened.set()


@pytest.fixture
def clients(alice: User) -> list[APIClient]:
    """Alice, at four machines: a client is for one thread."""
    return [client_at_any_status(alice) for _ in range(4)]


def client_at_any_status(user: User) -> APIClient:
    client = client_of(user)
    client.raise_request_exception = False  # as over the wire: a defect is a 500
    return client


def signing_in(client: APIClient) -> Call:
    return partial(client.post, "/api/v1/auth/token/", {"username": "alice", "password": "alice-9-secret"})


def deleting(client: APIClient, user: User) -> Call:
    return partial(client.delete, f"/api/v1/users/{user.pk}/")


def statuses(responses: Sequence[Any]) -> list[int]:
    return [response.status_code for response in responses]


# Readings


def test_the_same_reading_sent_twice_at_once_is_created_once(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    gate = callers.gate(ingest, "insert", after=True)
    one, other = clients[:2]
    answers = callers.in_a_queue(
        gate,
        partial(one.post, f"/api/v1/devices/{device.pk}/readings/", fields()),
        partial(other.post, f"/api/v1/devices/{device.pk}/readings/", fields()),
    )
    assert statuses(answers) == [201, 200]
    assert Reading.objects.count() == 1


def test_arrays_sent_at_once_count_each_row_as_created_once(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    batches = [[fields(second) for second in range(start, start + 300)] for start in (0, 50, 100, 0)]
    for batch in batches:
        random.shuffle(batch)
    answers = callers.all_at_once(
        [
            partial(client.post, f"/api/v1/devices/{device.pk}/readings/", batch)
            for client, batch in zip(clients, batches, strict=True)
        ]
    )
    assert statuses(answers) == [200] * 4
    assert sum(answer.json()["created"] for answer in answers) == Reading.objects.count() == 400


def test_arrays_in_opposite_orders_do_not_wait_for_each_other(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    forward = [fields(second) for second in range(9)]
    calls = [
        partial(client.post, f"/api/v1/devices/{device.pk}/readings/", batch)
        for client, batch in zip(clients, (forward, forward[::-1]), strict=False)
    ]
    answers = callers.stopped_at(partial(stored, device, (4, 1, 2, 3)), calls)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert sum(answer.json()["created"] for answer in answers) == 8


def test_rows_of_two_devices_in_opposite_orders_do_not_wait_for_each_other(
    callers: Callers, device: Device, other_device: Device
) -> None:
    forward = [Row(pk, at(second), 1, 2, 3) for pk in (device.pk, other_device.pk) for second in range(5)]
    created = callers.stopped_at(
        partial(store_rows, [forward[5]]), [partial(store_rows, forward), partial(store_rows, forward[::-1])]
    )
    assert sum(created) == 9


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_reading_replaced_twice_at_once_is_replaced_once(
    callers: Callers, clients: list[APIClient], device: Device, method: str
) -> None:
    stored(device, (0, 1, 2, 3))
    reading = f"/api/v1/devices/{device.pk}/readings/{Reading.objects.get().id}/"
    one, other = (getattr(client, method) for client in clients[:2])
    gate = callers.gate(ingest, "insert")
    answers = callers.in_a_queue(gate, partial(one, reading, fields(x=10)), partial(other, reading, fields(x=20)))
    assert statuses(answers) == [200, 404]
    assert Reading.objects.get().x == 10


def test_a_reading_deleted_twice_at_once_is_deleted_once(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    stored(device, (0, 1, 2, 3))
    reading = f"/api/v1/devices/{device.pk}/readings/{Reading.objects.get().id}/"
    gate = callers.gate(ReadingQuerySet, "delete", after=True)
    answers = callers.in_a_queue(gate, partial(clients[0].delete, reading), partial(clients[1].delete, reading))
    assert statuses(answers) == [204, 404]


def test_two_readings_that_become_each_other_at_once_merge_without_a_500(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3))
    one, other = (f"/api/v1/devices/{device.pk}/readings/{reading.id}/" for reading in Reading.objects.oldest_first())
    gate = callers.gate(ingest, "insert")
    answers = callers.in_a_queue(
        gate, partial(clients[0].put, one, fields(1)), partial(clients[1].put, other, fields(0))
    )
    assert 200 in statuses(answers)
    assert set(statuses(answers)) <= {200, 503}
    assert Reading.objects.count() == 1


# A device that is deleted meanwhile


def test_deleting_a_device_waits_for_its_writer_and_takes_what_that_wrote(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    gate = callers.gate(ingest, "insert")
    answers = callers.in_a_queue(
        gate,
        partial(clients[0].post, f"/api/v1/devices/{device.pk}/readings/", fields()),
        partial(clients[1].delete, f"/api/v1/devices/{device.pk}/"),
    )
    assert statuses(answers) == [201, 204]
    assert not Reading.objects.exists()


@pytest.mark.parametrize("body", [fields(), [fields()]])
def test_a_writer_that_waited_for_the_deletion_finds_no_device(
    callers: Callers, clients: list[APIClient], device: Device, body: Any
) -> None:
    gate = callers.gate(Model, "delete", after=True)
    answers = callers.in_a_queue(
        gate,
        partial(clients[0].delete, f"/api/v1/devices/{device.pk}/"),
        partial(clients[1].post, f"/api/v1/devices/{device.pk}/readings/", body),
    )
    assert statuses(answers) == [204, 404]
    assert not Reading.objects.exists()


def test_a_device_changed_while_it_is_deleted_stays_deleted(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    gate = callers.gate(DeviceSerializer, "is_valid", after=True)
    answers = callers.meanwhile(
        gate,
        partial(clients[0].patch, f"/api/v1/devices/{device.pk}/", {"description": "new"}),
        partial(clients[1].delete, f"/api/v1/devices/{device.pk}/"),
    )
    assert not Device.objects.exists()
    assert 500 not in statuses(answers)


def test_a_key_issued_while_its_device_is_deleted_is_no_500(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    gate = callers.gate(DeviceKey, "issue")
    answers = callers.meanwhile(
        gate,
        partial(clients[0].post, f"/api/v1/devices/{device.pk}/keys/"),
        partial(clients[1].delete, f"/api/v1/devices/{device.pk}/"),
    )
    assert 500 not in statuses(answers)
    assert not DeviceKey.objects.exists()


def test_a_key_issued_in_the_middle_of_the_deletion_of_its_device_is_no_500(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    gate = callers.gate(DeleteQuery, "delete_batch")
    answers = callers.meanwhile(
        gate,
        partial(clients[0].delete, f"/api/v1/devices/{device.pk}/"),
        partial(clients[1].post, f"/api/v1/devices/{device.pk}/keys/"),
    )
    assert 500 not in statuses(answers)
    assert not DeviceKey.objects.exists()


def test_a_device_with_more_readings_than_one_step_of_the_purge_goes_with_all_of_them(
    clients: list[APIClient], device: Device
) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(20_001)))
    assert clients[0].delete(f"/api/v1/devices/{device.pk}/").status_code == 204
    assert not Reading.objects.exists()


def test_a_purge_deletes_one_step_at_a_time(device: Device) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(5)))
    with CaptureQueriesContext(connection) as queries:
        assert Reading.objects.purge([device.pk], step=2) == 5
    assert sum(query["sql"].startswith("DELETE") for query in queries) >= 3


def test_what_a_deletion_that_was_cut_short_left_behind_is_purged_and_nothing_else(
    clients: list[APIClient], device: Device, other_device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3))
    stored(other_device, (0, 4, 5, 6))
    with monkeypatch.context() as patch:
        patch.setattr(ReadingQuerySet, "purge", lose_the_connection)
        assert clients[0].delete(f"/api/v1/devices/{device.pk}/").status_code == 204
    assert Reading.objects.count() == 3
    call_command("purge_deleted_devices")
    assert Reading.objects.get().device == other_device


def lose_the_connection(*args: Any, **kwargs: Any) -> None:
    raise OperationalError("the connection is lost")


# Accounts and names


def test_two_devices_of_one_name_at_once_are_one(callers: Callers, clients: list[APIClient]) -> None:
    gate = callers.gate(DeviceKey, "issue")
    one, other = clients[:2]
    answers = callers.in_a_queue(
        gate,
        partial(one.post, "/api/v1/devices/", {"name": "Fan"}),
        partial(other.post, "/api/v1/devices/", {"name": "Fan"}),
    )
    assert statuses(answers) == [201, 400]
    assert codes(answers[1]) == {"/name": "unique"}


def test_two_accounts_of_one_name_at_once_are_one(callers: Callers, staff: User) -> None:
    gate = callers.gate(UserManager, "create_user", after=True)
    one, other = client_at_any_status(staff), client_at_any_status(staff)
    answers = callers.in_a_queue(
        gate,
        partial(one.post, "/api/v1/users/", {"username": "carol"}),
        partial(other.post, "/api/v1/users/", {"username": "carol"}),
    )
    assert statuses(answers) == [201, 400]
    assert codes(answers[1]) == {"/username": "unique"}


def test_an_account_changed_while_it_is_deleted_stays_deleted(
    callers: Callers, clients: list[APIClient], alice: User
) -> None:
    gate = callers.gate(UserSerializer, "is_valid", after=True)
    answers = callers.meanwhile(
        gate,
        partial(clients[0].patch, f"/api/v1/users/{alice.pk}/", {"email": "a@example.org"}),
        deleting(clients[1], alice),
    )
    assert not User.objects.exists()
    assert 500 not in statuses(answers)


def test_a_password_changed_while_the_account_is_deleted_is_no_500(
    callers: Callers, clients: list[APIClient], alice: User
) -> None:
    gate = callers.gate(PasswordSerializer, "is_valid", after=True)
    passwords = {"old_password": "alice-9-secret", "new_password": "another-9-secret"}
    answers = callers.meanwhile(
        gate,
        partial(clients[0].post, "/api/v1/users/me/password/", passwords),
        deleting(clients[1], alice),
    )
    assert 500 not in statuses(answers)


def test_a_token_asked_for_while_the_account_is_deleted_is_no_500(
    callers: Callers, clients: list[APIClient], alice: User
) -> None:
    gate = callers.gate(AuthTokenSerializer, "is_valid", after=True)
    answers = callers.meanwhile(
        gate,
        signing_in(clients[0]),
        deleting(clients[1], alice),
    )
    assert statuses(answers) == [400, 204]


def test_a_token_made_while_the_account_is_deleted_goes_with_it(
    callers: Callers, clients: list[APIClient], alice: User
) -> None:
    gate = callers.gate(TokenView, "create_token", after=True)
    answers = callers.in_a_queue(
        gate,
        signing_in(clients[0]),
        deleting(clients[1], alice),
    )
    assert statuses(answers) == [200, 204]
    assert not AuthToken.objects.exists()


def test_tokens_asked_for_at_once_are_both_good(callers: Callers, alice: User) -> None:
    AuthToken.objects.bulk_create(
        AuthToken(user=alice, digest=f"{number}", token_key=f"{number}", expiry=None) for number in range(30)
    )
    gate = callers.gate(TokenView, "create_token", after=True)
    answers = callers.in_a_queue(
        gate,
        signing_in(APIClient()),
        signing_in(APIClient()),
    )
    tokens = [answer.json()["token"] for answer in answers]
    assert [APIClient(HTTP_AUTHORIZATION=f"Token {token}").get("/api/v1/").status_code for token in tokens] == [200] * 2


def test_no_token_for_a_password_that_is_changed_meanwhile(
    callers: Callers, clients: list[APIClient], alice: User
) -> None:
    gate = callers.gate(AuthTokenSerializer, "is_valid", after=True)
    passwords = {"old_password": "alice-9-secret", "new_password": "another-9-secret"}
    answers = callers.meanwhile(
        gate,
        signing_in(APIClient()),
        partial(clients[1].post, "/api/v1/users/me/password/", passwords),
    )
    assert statuses(answers) == [400, 204]
    assert codes(answers[0]) == {"": "authorization"}
    assert not AuthToken.objects.exists()


@pytest.mark.parametrize("page", ["/sign-in/", "/admin/login/"])
def test_an_account_deleted_while_it_signs_in_to_a_page_is_no_500(callers: Callers, staff: User, page: str) -> None:
    gate = callers.gate(AuthenticationForm, "clean", after=True)
    credentials = {"username": staff.username, "password": f"{staff.username}-9-secret"}
    browser = Client(raise_request_exception=False)
    answers = callers.meanwhile(
        gate,
        partial(browser.post, page, credentials),
        deleting(client_at_any_status(staff), staff),
    )
    assert statuses(answers) == [302, 204]


def test_a_device_made_while_its_owner_is_deleted_is_no_500(
    callers: Callers, clients: list[APIClient], alice: User
) -> None:
    gate = callers.gate(DeviceSerializer, "is_valid", after=True)
    answers = callers.meanwhile(
        gate,
        partial(clients[0].post, "/api/v1/devices/", {"name": "Fan"}),
        deleting(clients[1], alice),
    )
    assert 500 not in statuses(answers)


# Readers


def test_a_snapshot_holds_no_writer_up(callers: Callers, clients: list[APIClient], device: Device) -> None:
    with snapshot():
        assert not Reading.objects.exists()
        answer = callers.start(partial(clients[0].post, f"/api/v1/devices/{device.pk}/readings/", fields())).result(
            TIMEOUT
        )
    assert answer.status_code == 201


def test_a_snapshot_sees_one_moment(callers: Callers, device: Device) -> None:
    with snapshot():
        assert Reading.objects.count() == 0
        callers.start(partial(stored, device, (0, 1, 2, 3))).result(TIMEOUT)
        assert Reading.objects.count() == 0
    assert Reading.objects.count() == 1


def test_a_snapshot_within_a_snapshot_sees_the_same_moment(callers: Callers, device: Device) -> None:
    with snapshot():
        assert Reading.objects.count() == 0
        callers.start(partial(stored, device, (0, 1, 2, 3))).result(TIMEOUT)
        with snapshot():
            assert Reading.objects.count() == 0
        assert Reading.objects.count() == 0


def test_writing_goes_on_after_a_snapshot(device: Device) -> None:
    with snapshot():
        assert not Reading.objects.exists()
    stored(device, (0, 1, 2, 3))
    assert Reading.objects.get().recorded_at == NEW_YEAR


def test_the_analytics_of_a_device_are_of_one_moment(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    stored(device, (0, 1, 2, 3))
    gate = callers.gate(pools, "raw_readings")
    answers = callers.meanwhile(
        gate,
        partial(clients[0].get, f"/api/v1/devices/{device.pk}/analytics/"),
        partial(clients[1].post, f"/api/v1/devices/{device.pk}/readings/", [fields(1, x=9), fields(2, x=9)]),
    )
    assert statuses(answers) == [200, 200]
    assert answers[0].json()["x"] == {"min": 1.0, "max": 1.0, "sum": 1.0, "avg": 1.0, "median": 1.0}


@pytest.mark.parametrize("aggregate", ["true", "false"])
def test_the_analytics_of_a_user_answer_with_transactions_as_in_real_life(
    clients: list[APIClient], alice: User, device: Device, aggregate: str
) -> None:
    stored(device, (0, 1, 2, 3))
    assert clients[0].get(f"/api/v1/users/{alice.pk}/analytics/?aggregate={aggregate}").status_code == 200


def test_a_wait_for_a_lock_has_an_end_and_is_answered_with_503(
    callers: Callers, clients: list[APIClient], device: Device
) -> None:
    def post_impatiently() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 100" if sqlite else "SET lock_timeout = '100ms'")
            answer = clients[0].post(f"/api/v1/devices/{device.pk}/readings/", fields())
            cursor.execute("PRAGMA busy_timeout = 20000" if sqlite else "RESET lock_timeout")  # it goes to a pool
        return answer

    sqlite = connection.vendor == "sqlite"
    with exclusive_device_lock(device.pk):
        answer = callers.start(post_impatiently).result(TIMEOUT)
    assert (answer.status_code, codes(answer)) == (503, {"": "unavailable"})
    assert int(answer["Retry-After"]) > 0
    assert not Reading.objects.exists()
