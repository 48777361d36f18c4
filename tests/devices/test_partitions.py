"""The readings in monthly partitions: how the table is turned over under its callers, kept ahead, and asked."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from rest_framework.test import APIClient

from analytics import building, contents, tasks
from analytics.models import Rollup
from analytics.periods import Level
from analytics.summaries import summarize
from analytics.verifying import verify
from devices import months, partitions, turning
from devices.models import Device, Reading
from devices.months import keep_ahead
from devices.partitions import CannotPartition, Partition, month_of
from devices.rows import Row
from devices.transactions import snapshot
from devices.turning import standing_check
from tests import partitioned
from tests.analytics.test_rollup_stateful import Rollups, thoroughly
from tests.helpers import client_of, client_of_device, fields, send, store_rows
from users.models import User

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="partitions are PostgreSQL's"),
]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOUNDARY, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
TURNED_OVER = [
    Partition("devices_reading_earlier", None, BOUNDARY),
    Partition("devices_reading_2027_01", BOUNDARY, datetime(2027, 2, 1, tzinfo=UTC)),
    Partition("devices_reading_2027_02", datetime(2027, 2, 1, tzinfo=UTC), END),
    Partition("devices_reading_later", END, None),
]
MICROSECOND = timedelta(microseconds=1)
TIMEOUT = 30  # seconds; nothing here takes one


def make_plain() -> None:
    """The table as a migration makes it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE plain (LIKE devices_reading INCLUDING ALL)")
        cursor.execute("DROP TABLE devices_reading CASCADE")
        cursor.execute("ALTER TABLE plain RENAME TO devices_reading")
        cursor.execute("ALTER INDEX plain_pkey RENAME TO devices_reading_pkey")


@pytest.fixture(autouse=True)
def plain(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plain table, and no patience with who is in the way."""
    monkeypatch.setattr(partitions, "TRIES", 2)
    monkeypatch.setattr(partitions, "PAUSE", 0.0)
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "300ms")
    make_plain()
    yield
    make_plain()
    if partitioned.PARTITIONED:
        partitioned.turn_over()


def turn_over(now: datetime = NOW, **options: Any) -> list[str]:
    """What the steps were for."""
    return [step.what for step, _ in turning.turn_over(now, **options)]


def row_at(device: Device, time: datetime, x: float = 1.0) -> Row:
    return Row(device.pk, time, x, 2.0, 3.0)


def times(device: Device) -> list[datetime]:
    return list(Reading.objects.filter(device=device).oldest_first().values_list("recorded_at", flat=True))


def rows_in(name: str) -> int:
    return int(one(f"SELECT count(*) FROM {name}"))


def one(statement: str) -> Any:
    with connection.cursor() as cursor:
        return cursor.execute(statement).fetchone()[0]


def body_at(time: datetime, **other: Any) -> dict[str, Any]:
    return fields(0, **other) | {"recorded_at": time.isoformat()}


# Turning over


def test_the_plain_table_becomes_the_first_partition_without_a_copy(device: Device) -> None:
    every = [NOW - timedelta(days=400), NOW, BOUNDARY - MICROSECOND]
    store_rows([row_at(device, time) for time in every])
    file = one("SELECT pg_relation_filenode('devices_reading')")
    turn_over()
    assert partitions.partitions() == TURNED_OVER
    assert one("SELECT pg_relation_filenode('devices_reading_earlier')") == file
    assert times(device) == every


def test_each_reading_goes_to_its_month(device: Device) -> None:
    turn_over()
    ends = [datetime(1900, 1, 1, tzinfo=UTC), BOUNDARY - MICROSECOND, BOUNDARY, END - MICROSECOND, END]
    store_rows([row_at(device, time) for time in [*ends, datetime(2199, 12, 31, tzinfo=UTC)]])
    assert [rows_in(partition.name) for partition in TURNED_OVER] == [2, 1, 1, 2]


def test_a_reading_is_stored_once_in_a_partition_too(device: Device) -> None:
    turn_over()
    rows = [row_at(device, BOUNDARY + timedelta(days=day)) for day in range(90)]
    assert (store_rows(rows[:50]), store_rows(rows), store_rows(rows)) == (50, 40, 0)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_what_was_stopped_after_any_step_goes_on(device: Device, steps: int) -> None:
    store_rows([row_at(device, NOW)])
    begun = turning.turn_over(NOW)
    for _ in range(steps):
        next(begun)
    del begun
    store_rows([row_at(device, NOW, x=9.0)])
    assert len(turn_over()) == 3 - steps
    assert (partitions.partitions(), len(times(device)), standing_check()) == (TURNED_OVER, 2, None)


def test_the_command_goes_on_months_after_it_was_stopped(device: Device) -> None:
    begun = turning.turn_over(NOW)
    next(begun)
    del begun
    later = datetime(2026, 12, 31, tzinfo=UTC)
    turn_over(later)
    assert partitions.partitions()[0].end == datetime(2027, 2, 1, tzinfo=UTC)


def test_another_transaction_in_the_way_leaves_the_table_as_it_is(device: Device) -> None:
    with (
        ThreadPoolExecutor(1) as executor,
        holding(executor, transaction.atomic()),
        pytest.raises(CannotPartition, match="other transactions hold the table"),
    ):
        turn_over()
    assert (partitions.partitions(), standing_check()) == ([], None)


def test_others_keep_their_rights() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS reporter")
        cursor.execute("CREATE ROLE reporter")
        cursor.execute("GRANT SELECT, INSERT ON devices_reading TO reporter")
    turn_over()
    assert one("SELECT has_table_privilege('reporter', 'devices_reading', 'SELECT')")
    assert one("SELECT has_table_privilege('reporter', 'devices_reading', 'INSERT')")
    assert not one("SELECT has_table_privilege('reporter', 'devices_reading', 'DELETE')")
    with connection.cursor() as cursor:
        cursor.execute("DROP OWNED BY reporter")
        cursor.execute("DROP ROLE reporter")


def test_a_dry_run_prints_every_statement_and_executes_none(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    printed = command("--dry-run")
    assert [line for line in printed.splitlines() if line.startswith("--")] == [
        f"-- Take no readings from {month_of(datetime.now(UTC), 2):%Y-%m-%d} on for now",
        "-- Read the table once, to know that it has none; writers go on",
        "-- Make the table the first partition",
    ]
    assert (partitions.partitions(), standing_check()) == ([], None)
    with connection.cursor() as cursor:
        cursor.execute(printed)  # it is what there is to execute
    assert partitions.partitions()[0].name == "devices_reading_earlier"


def test_two_commands_do_not_work_on_it_at_once() -> None:
    with ThreadPoolExecutor(1) as executor, holding(executor, partitions.alone()):
        with pytest.raises(CommandError, match="Another command"):
            command()
        assert partitions.partitions() == []


def test_sqlite_has_no_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    with pytest.raises(CommandError, match="on SQLite the table stays as it is"):
        command()


def command(*arguments: str) -> str:
    output = StringIO()
    call_command("partition_readings", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_turns_over_and_then_has_nothing_to_do() -> None:
    assert len(command().splitlines()) == 3
    assert command() == ""
    assert command("--ahead", "6").count("Months until") == 1


# Readings whose time is ahead


def test_readings_a_little_ahead_make_the_first_partition_longer(device: Device) -> None:
    store_rows([row_at(device, datetime(2027, 2, 14, tzinfo=UTC))])
    turn_over()
    assert [partition.end for partition in partitions.partitions()] == [END, None]


def test_readings_far_ahead_are_named_and_nothing_is_changed(device: Device, other_device: Device) -> None:
    far = datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC)
    store_rows([row_at(device, NOW), row_at(device, far), row_at(device, far, x=2.0), row_at(other_device, NOW)])
    with pytest.raises(CannotPartition, match=rf"of devices {device.pk} \(2, until 2106-02-07T06:28:16\+00:00\)\. "):
        turn_over()
    assert (partitions.partitions(), standing_check()) == ([], None)


def test_they_are_moved_where_writers_may_be_held(device: Device, other_device: Device) -> None:
    every = [NOW, BOUNDARY + timedelta(days=1), datetime(2106, 2, 7, tzinfo=UTC)]
    store_rows([row_at(one, time) for one in (device, other_device) for time in every])
    turn_over(hold_writers=True)
    assert times(device) == times(other_device) == every
    assert [rows_in(partition.name) for partition in partitions.partitions()] == [2, 2, 0, 2]


def test_readings_that_come_between_the_look_and_the_constraint_leave_the_table_as_it_was(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_rows([row_at(device, BOUNDARY)])
    monkeypatch.setattr(turning, "readings_from", lambda boundary: [])
    with pytest.raises(CannotPartition, match="Run the command again"):
        turn_over()
    assert (partitions.partitions(), standing_check()) == ([], None)


@pytest.mark.parametrize("times", [[BOUNDARY], [NOW, BOUNDARY], [NOW + timedelta(1), BOUNDARY]])
def test_what_lies_past_the_boundary_meanwhile_is_503_and_not_stored(
    alice: User, device: Device, times: list[datetime]
) -> None:
    store_rows([row_at(device, NOW)])
    begun = turning.turn_over(NOW)
    next(begun)
    client = client_of(alice)
    client.raise_request_exception = False
    response = send(client, "POST", readings_of(device), [body_at(time) for time in times])
    assert (response.status_code, int(response["Retry-After"]) > 0) == (503, True)
    assert Reading.objects.count() == 1
    list(begun)
    assert send(client, "POST", readings_of(device), [body_at(time) for time in times]).status_code == 200


def test_a_device_s_own_reading_past_the_boundary_is_503_and_later_201(device: Device) -> None:
    client = client_of_device(device)
    client.raise_request_exception = False
    begun = turning.turn_over(NOW)
    next(begun)
    response = send(client, "POST", readings_of(device), body_at(BOUNDARY))
    assert (response.status_code, int(response["Retry-After"]) > 0) == (503, True)
    assert send(client, "POST", readings_of(device), body_at(NOW)).status_code == 201
    list(begun)
    assert send(client, "POST", readings_of(device), body_at(BOUNDARY)).status_code == 201


def readings_of(device: Device) -> str:
    return f"/api/v1/devices/{device.pk}/readings/"


# Under those who write and read


def test_a_connection_with_its_statements_and_stage_goes_on_across_the_switch(alice: User, device: Device) -> None:
    sensor, gateway = client_of_device(device), client_of(alice)
    batches = [[body_at(NOW + timedelta(seconds=second)) for second in range(number)] for number in (3, 5, 7)]

    def statuses(x: float, batch: list[dict[str, Any]]) -> list[Any]:
        single = send(sensor, "POST", readings_of(device), body_at(NOW, x=x))
        receipt = send(gateway, "POST", readings_of(device), batch).json()
        again = send(gateway, "POST", readings_of(device), batch).json()
        return [single.status_code, receipt["created"], again["duplicates"]]

    assert statuses(10.0, batches[0]) == [201, 3, 3]
    turn_over()
    assert statuses(11.0, batches[1]) == [201, 2, 5]
    assert statuses(11.0, batches[2]) == [200, 2, 7]


def test_writers_and_readers_go_on_while_it_is_turned_over(alice: User, device: Device) -> None:
    end = Event()
    with ThreadPoolExecutor(4) as executor:
        sensors = [executor.submit(write, client_of_device(device), device, lane, False, end) for lane in (1, 2)]
        gateway = executor.submit(write, client_of(alice), device, 3, True, end)
        reader = executor.submit(read, client_of(alice), device, end)
        sleep(0.2)
        steps = turn_over_patiently()
        keep_ahead(NOW + timedelta(days=60))
        sleep(0.2)
        end.set()
        acknowledged = [x for future in (*sensors, gateway) for x in future.result(TIMEOUT)]
        assert reader.result(TIMEOUT) > 0
    assert len(steps) == 3
    assert sorted(acknowledged) == sorted(Reading.objects.values_list("x", flat=True))


def turn_over_patiently() -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "TRIES", 20)
        return turn_over()


def write(client: APIClient, device: Device, lane: int, is_batch: bool, end: Event) -> list[float]:
    """What was acknowledged, each by its own x; what is answered 503 is sent again."""
    client.raise_request_exception = False
    acknowledged: list[float] = []
    try:
        while not end.is_set():
            xs = [lane + 10.0 * (len(acknowledged) + place) for place in range(20 if is_batch else 1)]
            rows = [body_at(NOW + timedelta(seconds=x), x=x) for x in xs]
            while (
                response := send(client, "POST", readings_of(device), rows if is_batch else rows[0])
            ).status_code == 503:
                assert int(response["Retry-After"]) > 0
            assert response.status_code in (200, 201), response.content
            acknowledged += xs
    finally:
        connection.close()
    return acknowledged


def read(client: APIClient, device: Device, end: Event) -> int:
    """How many times the counts never fell."""
    client.raise_request_exception = False
    count = number = 0
    try:
        while not end.is_set():
            response = client.get(f"/api/v1/devices/{device.pk}/analytics/")
            if response.status_code != 503:
                assert response.json()["count"] >= count
                count, number = response.json()["count"], number + 1
    finally:
        connection.close()
    return number


# Months ahead


@pytest.fixture
def turned_over() -> None:
    turn_over()


@pytest.mark.usefixtures("turned_over")
def test_months_are_made_in_time_and_their_readings_moved_into_them(device: Device) -> None:
    every = [END, END + timedelta(days=40), datetime(2150, 1, 1, tzinfo=UTC)]
    store_rows([row_at(device, time) for time in every])
    keep_ahead(NOW + timedelta(days=61))
    made = partitions.partitions()[3:]
    assert [partition.name[-7:] for partition in made] == ["2027_03", "2027_04", "g_later"]
    assert [rows_in(partition.name) for partition in made] == [1, 1, 1]
    assert times(device) == every


@pytest.mark.usefixtures("turned_over")
def test_with_the_months_there_nothing_is_done() -> None:
    keep_ahead(NOW)
    assert partitions.partitions() == TURNED_OVER


def test_a_plain_table_stays_plain() -> None:
    tasks.keep_months_ahead()
    assert partitions.partitions() == []


def test_a_worker_makes_the_months_ahead() -> None:
    turn_over(datetime(2026, 1, 1, tzinfo=UTC))
    tasks.keep_months_ahead()
    assert partitions.partitions()[-1].start == month_of(datetime.now(UTC), partitions.AHEAD + 1)


@pytest.mark.usefixtures("turned_over")
def test_too_many_readings_are_moved_only_where_writers_may_be_held(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "MOST_MOVED", 2)
    store_rows([row_at(device, END + timedelta(days=day)) for day in range(3)])
    month = NOW + timedelta(days=30)
    with pytest.raises(CannotPartition, match="--hold-writers"):
        months.steps_ahead(month)
    for step in months.steps_ahead(month, hold_writers=True):
        step.run()
    assert (rows_in("devices_reading_2027_03"), rows_in("devices_reading_later")) == (3, 0)


@pytest.mark.usefixtures("turned_over")
def test_a_snapshot_that_waited_for_the_move_finds_what_was_moved(device: Device) -> None:
    store_rows([row_at(device, END)])
    (step,) = months.steps_ahead(NOW + timedelta(days=30))

    def found() -> int:
        with snapshot():
            return Reading.objects.filter(device=device).in_window(END, END + timedelta(days=1)).count()

    with ThreadPoolExecutor(1) as executor:
        with transaction.atomic():
            step._execute()
            reader = executor.submit(closing, found)
            wait_until(lambda: is_blocked() or reader.done())
            assert not reader.done()
        assert reader.result(TIMEOUT) == 1


@pytest.mark.usefixtures("turned_over")
def test_nothing_is_moved_under_a_snapshot(device: Device) -> None:
    store_rows([row_at(device, END)])
    with ThreadPoolExecutor(1) as executor:
        with holding(executor, snapshot()), pytest.raises(CannotPartition):
            keep_ahead(NOW + timedelta(days=30))
        keep_ahead(NOW + timedelta(days=30))
    assert rows_in("devices_reading_2027_03") == 1


@contextmanager
def holding(executor: ThreadPoolExecutor, transaction: AbstractContextManager[Any]) -> Iterator[None]:
    """A transaction of another connection, in which the readings have been counted."""
    begun, end = Event(), Event()

    def hold() -> None:
        with transaction:
            Reading.objects.count()
            begun.set()
            assert end.wait(TIMEOUT)

    future = executor.submit(closing, hold)
    assert begun.wait(TIMEOUT)
    try:
        yield
    finally:
        end.set()
        future.result(TIMEOUT)


def closing(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connection.close()


def is_blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
    return bool(
        one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND backend_type = 'client backend'"
        )
    )


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = monotonic() + TIMEOUT
    while not condition():
        assert monotonic() < deadline
        sleep(0.005)


# Months that are dropped

DROPPED_AT = datetime(2026, 6, 15, tzinfo=UTC)  # when what is from before the middle of May is kept no longer
MAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def old(device: Device, other_device: Device, settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Readings of two devices from December to June, with their rollups, in a table of months since January."""
    settings.READING_RETENTION_DAYS = 30
    monkeypatch.setattr(contents, "FEWEST", 3)  # thirty days have so many; an hour or a day has not
    turn_over(datetime(2025, 11, 1, tzinfo=UTC), ahead=14)
    days = [datetime(2026, month, day, tzinfo=UTC) for month in range(1, 7) for day in (1, 10)]
    days = [datetime(2025, 12, 30, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC), *days]
    every = [day + timedelta(hours=hour) for day in days for hour in (0, 12)]
    store_rows([row_at(one, time) for one in (device, other_device) for time in every])
    for one in (device, other_device):
        list(building.build(one, DROPPED_AT))
    assert Rollup.objects.filter(level=Level.MONTH, status=Rollup.Status.READY).count() >= 10
    return every


def drop(now: datetime = DROPPED_AT) -> list[str]:
    return [step.what.rpartition("_")[2] for step, _ in months.drop_old(now)]


def kept(every: list[datetime], since: datetime = MAY) -> list[datetime]:
    return [time for time in every if time >= since]


def assert_answers_agree(*devices: Device) -> None:
    for device in devices:
        assert summarize([device]).count == Reading.objects.filter(device=device).count()
        assert [rollup for rollup, agrees in verify(device.pk) if not agrees] == []


def test_months_that_no_device_keeps_go_with_their_rollups(
    device: Device, other_device: Device, old: list[datetime]
) -> None:
    assert drop() == ["earlier", "01", "02", "03", "04"]
    assert [partition.end for partition in partitions.partitions()][:2] == [MAY, month_of(MAY, 1)]
    assert times(device) == times(other_device) == kept(old)
    assert_answers_agree(device, other_device)
    assert drop() == []


def test_what_is_from_before_a_dropped_month_s_end_is_refused(device: Device, old: list[datetime]) -> None:
    drop()
    client = client_of_device(device)
    response = send(client, "POST", readings_of(device), body_at(MAY - MICROSECOND))
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "before_retention")
    assert send(client, "POST", readings_of(device), body_at(MAY + timedelta(hours=1))).status_code == 201


def test_a_device_that_keeps_its_readings_keeps_their_month_and_those_after(
    device: Device, other_device: Device, old: list[datetime]
) -> None:
    Device.objects.filter(pk=device.pk).update(retention_days=1000)
    Reading.objects.filter(device=device).in_window(None, datetime(2026, 2, 1, tzinfo=UTC)).delete()
    assert drop() == ["earlier", "01"]
    assert times(other_device) == kept(old, datetime(2026, 2, 1, tzinfo=UTC))


def test_what_a_device_keeps_of_the_first_partition_does_not_hold_the_months_up(
    device: Device, other_device: Device, old: list[datetime]
) -> None:
    Device.objects.filter(pk=device.pk).update(retention_days=1000)
    Reading.objects.filter(device=device).in_window(datetime(2026, 1, 1, tzinfo=UTC), None).delete()
    assert drop() == ["01", "02", "03", "04"]
    assert times(device) == old[:4]
    assert partitions.partitions()[0] == Partition("devices_reading_earlier", None, MAY)


def test_nothing_is_dropped_without_a_retention(old: list[datetime], settings: Any) -> None:
    settings.READING_RETENTION_DAYS = 0
    assert drop() == []


def test_months_to_come_are_not_dropped_where_nobody_keeps_anything(old: list[datetime]) -> None:
    for device in Device.objects.all():
        device.delete()
    drop()
    assert partitions.partitions()[0].end == month_of(DROPPED_AT)


def test_a_dry_run_names_what_would_be_dropped(old: list[datetime]) -> None:
    printed = command("--drop", "--dry-run")
    assert 'DROP TABLE "devices_reading_earlier"' in printed
    assert 'DROP TABLE "devices_reading_2026_04"' in printed
    assert len(partitions.partitions()) == 15


def test_a_snapshot_holds_the_drop_up_and_answers_stay_right(
    device: Device, other_device: Device, old: list[datetime]
) -> None:
    with ThreadPoolExecutor(1) as executor, holding(executor, snapshot()), pytest.raises(CannotPartition):
        drop()
    assert times(device) == old
    assert_answers_agree(device, other_device)
    assert drop() == ["earlier", "01", "02", "03", "04"]
    assert_answers_agree(device, other_device)


def test_an_answer_that_waited_for_the_drop_knows_nothing_of_the_month(device: Device, old: list[datetime]) -> None:
    first = months.months_to_drop(DROPPED_AT)[0]
    months.give_up(first)
    with ThreadPoolExecutor(1) as executor:
        with transaction.atomic():
            months.step_to_drop(first)._execute()
            reader = executor.submit(closing, lambda: summarize([device]))
            wait_until(lambda: is_blocked() or reader.done())
            assert not reader.done()
        summary = reader.result(TIMEOUT)
    assert (summary.count, summary.first_at) == (len(old) - 4, old[4])


def test_an_answer_between_giving_up_and_the_drop_has_all_readings(device: Device, old: list[datetime]) -> None:
    months.give_up(months.months_to_drop(DROPPED_AT)[0])
    assert summarize([device]).count == len(old)
    assert_answers_agree(device)


def test_a_period_that_begins_before_what_is_given_up_is_not_built_again(device: Device, old: list[datetime]) -> None:
    """A late reading marks the thirty days that reach into both months; what goes would stay in their rollup."""
    assert drop(datetime(2026, 5, 10, tzinfo=UTC)) == ["earlier", "01", "02", "03"]
    (april,) = months.months_to_drop(DROPPED_AT)
    months.give_up(april)
    store_rows([row_at(device, MAY + timedelta(hours=1))])
    list(building.build(device, DROPPED_AT))
    months.step_to_drop(april).run()
    assert_answers_agree(device)


@pytest.mark.parametrize(("days", "dropped"), [(None, True), (1000, False)])
def test_a_device_that_is_new_there_has_its_say(
    alice: User, old: list[datetime], monkeypatch: pytest.MonkeyPatch, days: int | None, dropped: bool
) -> None:
    new = Device.objects.create(owner=alice, name="Pump 9", retention_days=days)
    give_up = months.give_up

    def interrupted(partition: Partition) -> None:
        give_up(partition)
        monkeypatch.setattr(months, "give_up", give_up)
        store_rows([row_at(new, old[0])])

    monkeypatch.setattr(months, "give_up", interrupted)
    assert ("earlier" in drop()) is dropped
    assert times(new) == ([] if dropped else [old[0]])


# What else is done to the table


@pytest.mark.usefixtures("turned_over")
def test_a_migration_adds_a_column_and_takes_it_away() -> None:
    field = models.FloatField(null=True)
    field.set_attributes_from_name("battery")
    with connection.schema_editor() as editor:
        editor.add_field(Reading, field)
    assert one("SELECT count(*) FROM pg_attribute WHERE attname = 'battery' AND attislocal") == 1
    with connection.schema_editor() as editor:
        editor.remove_field(Reading, field)
    assert one("SELECT count(*) FROM pg_attribute WHERE attname = 'battery'") == 0


@pytest.mark.usefixtures("turned_over")
def test_a_device_goes_with_its_readings_in_all_partitions(device: Device, other_device: Device) -> None:
    every = [NOW, BOUNDARY, END, END + timedelta(days=99)]
    store_rows([row_at(one, time) for one in (device, other_device) for time in every])
    device.delete()
    assert [rows_in(partition.name) for partition in TURNED_OVER] == [1, 1, 0, 2]


@pytest.mark.usefixtures("turned_over")
def test_what_a_cut_short_deletion_left_behind_is_purged_in_all_partitions(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_rows([row_at(device, time) for time in (NOW, BOUNDARY, END)])
    with monkeypatch.context() as patch:
        patch.setattr(type(Reading.objects.all()), "purge", lambda self, ids: 0)
        device.delete()
    call_command("purge_deleted_devices", stdout=StringIO())
    assert not Reading.objects.exists()


# What is read of it


@pytest.fixture
def year(device: Device) -> list[datetime]:
    """A reading a month of 2026, each month a partition."""
    turn_over(datetime(2025, 11, 1, tzinfo=UTC), ahead=14)
    every = [datetime(2026, month, 2, tzinfo=UTC) for month in range(1, 13)]
    store_rows([row_at(device, time) for time in every])
    return every


def plan(queryset: Any) -> str:
    return str(queryset.explain(analyze=True))


def test_the_newest_reading_is_sought_from_the_newest_partition_on(device: Device, year: list[datetime]) -> None:
    newest = plan(Reading.objects.filter(device=device).newest_first()[:1])
    assert "Merge Append" not in newest
    assert newest.count("never executed") == 12


def test_a_window_looks_into_its_months_alone(device: Device, year: list[datetime]) -> None:
    window = plan(Reading.objects.filter(device=device).in_window(year[4], year[5]))
    assert {name for name in partition_names() if name in window} == {
        "devices_reading_2026_05",
        "devices_reading_2026_06",
    }


def test_a_page_looks_no_further_back_than_where_it_begins(device: Device, year: list[datetime]) -> None:
    readings = Reading.objects.filter(device=device)
    key = (device.pk, year[10], 1.0, 2.0, 3.0)
    after, before = plan(readings.after(key).oldest_first()[:9]), plan(readings.before(key).newest_first()[:9])
    assert "2026_10" not in after
    assert "2026_12" not in before


def partition_names() -> list[str]:
    return [partition.name for partition in partitions.partitions()]


def test_a_summary_over_all_months_is_right(device: Device, year: list[datetime]) -> None:
    assert summarize([device]).count == 12
    assert summarize([device], year[3], year[9]).count == 6


def test_each_answer_is_that_of_plain_python_on_partitions_too(
    device: Device, other_device: Device, year: list[datetime]
) -> None:
    """The property of test_rollup_stateful, at a small size."""
    Reading.objects.all().delete()
    Rollups.devices = [device, other_device]
    run: Callable[..., None] = run_state_machine_as_test
    run(Rollups, settings=settings(thoroughly, max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "10"))))
