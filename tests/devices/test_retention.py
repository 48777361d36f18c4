"""How long readings are kept, who is refused, and what the command tells."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from devices import retention
from devices.lookups import readings_in_window
from devices.models import Device, DeviceState, Reading, Refusal
from devices.querysets import ReadingQuerySet
from devices.retention import bound, due, prune, prune_for, refuse_before
from devices.signals import readings_pruned
from tests.helpers import NEW_YEAR, at, client_of_device, codes, fields, send, stored
from users.models import User

pytestmark = pytest.mark.django_db

DAY = 86_400
BEFORE = at(DAY)  # what the devices of these tests were pruned before
TOO_OLD, OLDEST_KEPT = DAY - 1e-6, DAY  # seconds after the new year


@pytest.fixture
def pruned(device: Device) -> Device:
    list(prune(device.pk, BEFORE))
    return device


def kept(device: Device) -> list[datetime]:
    return list(Reading.objects.filter(device=device).oldest_first().values_list("recorded_at", flat=True))


def readings_of(device: Device) -> str:
    return f"/api/v1/devices/{device.pk}/readings/"


def command(*arguments: str, **options: Any) -> str:
    """What the command tells."""
    output = StringIO()
    call_command("prune_readings", *arguments, stdout=output, **options)
    return output.getvalue()


# Which time it is


def test_a_day_is_kept_whole() -> None:
    assert bound(30, datetime(2026, 3, 3, 23, 59, 59, 999_999, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)


def test_without_a_number_everything_is_kept(device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    assert list(due(Device.objects.all(), at(10_000 * DAY))) == []


def test_a_device_has_the_service_s_number_or_its_own(device: Device, other_device: Device, settings: Any) -> None:
    settings.READING_RETENTION_DAYS = 10
    Device.objects.filter(pk=other_device.pk).update(retention_days=20)
    found = due(Device.objects.all(), at(100 * DAY + 5))
    assert list(found) == [(device.pk, at(90 * DAY)), (other_device.pk, at(80 * DAY))]


def test_a_device_has_a_number_of_its_own_where_the_service_has_none(device: Device, other_device: Device) -> None:
    Device.objects.filter(pk=other_device.pk).update(retention_days=20)
    assert [one.device_id for one in due(Device.objects.all(), at(100 * DAY))] == [other_device.pk]


def test_a_device_is_due_once_a_day_and_while_it_has_something_old(device: Device) -> None:
    Device.objects.update(retention_days=10)
    devices = Device.objects.all()
    for number in range(12):
        stored(device, (number * DAY, 1, 2, 3))
    for now, deleted in ((at(11 * DAY), 1), (at(12 * DAY - 1), 0), (at(12 * DAY), 1)):
        assert sum(sum(prune(*one)) for one in due(devices, now)) == deleted
    assert list(due(devices, at(12 * DAY + 1))) == []


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_device_is_due_again_where_somebody_was_stopped(device: Device, steps: int) -> None:
    Device.objects.update(retention_days=10)
    stored(device, *((second, 1, 2, 3) for second in range(6)))
    (one,) = due(Device.objects.all(), at(20 * DAY))
    pruner = prune(*one, step=2)
    if steps:
        assert list(islice(pruner, steps)) == [2] * steps
    else:
        refuse_before(*one)
    assert list(due(Device.objects.all(), at(20 * DAY + 1))) == [one]
    assert list(prune(*one, step=2)) == [2] * (3 - steps) + [0]
    assert list(due(Device.objects.all(), at(20 * DAY + 1))) == []


@pytest.mark.parametrize("number", [1, 30])
def test_devices_with_nothing_to_prune_cost_as_few_queries_as_one(
    alice: User, number: int, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.READING_RETENTION_DAYS = 1000
    Device.objects.bulk_create(Device(owner=alice, name=str(place)) for place in range(number))
    command()
    for device in Device.objects.all():
        stored(device, (0, 1, 2, 3))
    # 1 the devices, 1 that there are no more.
    with django_assert_num_queries(2):
        assert command() == "0 readings of 0 devices deleted.\n"


def test_many_devices_are_looked_at_in_chunks(alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    settings.READING_RETENTION_DAYS = 1
    Device.objects.bulk_create(Device(owner=alice, name=str(place)) for place in range(10))
    ids = set(Device.objects.values_list("pk", flat=True))
    assert {one.device_id for one in due(Device.objects.all(), at(0))} == ids


# What goes, and what stays


def test_what_is_older_goes_and_what_is_not_stays(device: Device, other_device: Device) -> None:
    for one in (device, other_device):
        stored(one, *((seconds, 1, 2, 3) for seconds in (-DAY, 0, TOO_OLD, OLDEST_KEPT, 2 * DAY)))
    assert sum(prune(device.pk, BEFORE)) == 3
    assert kept(device) == [at(OLDEST_KEPT), at(2 * DAY)]
    assert len(kept(other_device)) == 5


def test_a_step_takes_the_oldest_and_equal_times_together(device: Device) -> None:
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3), (1, 4, 5, 6), (1, 7, 8, 9), (2, 1, 2, 3), (3, 1, 2, 3))
    steps = prune(device.pk, BEFORE, step=2)
    assert (next(steps), len(kept(device))) == (4, 2)
    assert list(steps) == [2, 0]


def test_no_step_passes_over_what_went_before(device: Device) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(6)))
    with CaptureQueriesContext(connection) as queries:
        list(prune(device.pk, BEFORE, step=2))
    deletions = [query["sql"] for query in queries if query["sql"].startswith('DELETE FROM "devices_reading"')]
    assert [starts_in(sql) for sql in deletions] == [
        ["1900-01-01 00:00:00"],
        ["2026-01-01 00:00:01"],
        ["2026-01-01 00:00:03"],
        ["2026-01-01 00:00:05"],
    ]


def starts_in(sql: str) -> list[str]:
    return re.findall(r'recorded_at"? >= \'(.{19})', sql)


@pytest.mark.parametrize(
    "path", ["readings/", "readings/?start_time=2025-01-01T00:00:00Z", "readings/export/", "analytics/"]
)
def test_who_asks_for_the_oldest_does_not_pass_over_what_went(api: APIClient, device: Device, path: str) -> None:
    """PostgreSQL's index keeps it until it is vacuumed: of half a million readings for 20 ms and more."""
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3), (2, 1, 2, 3), (2 * DAY, 1, 2, 3))
    next(prune(device.pk, BEFORE, step=2))  # it may still be at work
    with CaptureQueriesContext(connection) as queries:
        response = api.get(f"/api/v1/devices/{device.pk}/{path}")
        assert response.status_code == 200
        if response.streaming:
            b"".join(response)
    of_readings = [query["sql"] for query in queries if "devices_reading" in query["sql"]]
    assert min(start for sql in of_readings for start in starts_in(sql)) == "2026-01-01 00:00:01"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's indexes keep nothing of what is deleted")
def test_the_look_up_of_the_oldest_visits_no_reading_that_went(device: Device) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(5000)), (2 * DAY, 1, 2, 3))
    list(prune(device.pk, BEFORE, step=500))
    assert heap_fetches(readings_in_window(device.pk, None, None).oldest_first()[:1]) <= 1


def heap_fetches(readings: ReadingQuerySet) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off")
        fetches = re.findall(r"Heap Fetches: (\d+)", readings.explain(analyze=True))
    assert fetches, "another plan does not tell"
    return sum(map(int, fetches))


def test_it_is_known_until_when_there_is_nothing(device: Device) -> None:
    stored(device, (0, 1, 2, 3), (1, 1, 2, 3), (2, 1, 2, 3), (2 * DAY, 1, 2, 3))
    known = [DeviceState.objects.get().emptied_before for _ in prune(device.pk, BEFORE, step=2)]
    assert known == [at(1) + datetime.resolution, BEFORE]


def test_a_pruner_with_shorter_steps_takes_nothing_of_that_back(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(device, *((second, 1, 2, 3) for second in range(8)))
    another = partial(DeviceState.objects.update, emptied_before=at(6))
    monkeypatch.setattr(readings_pruned, "send", lambda *args, **kwargs: another())
    assert next(prune(device.pk, BEFORE, step=2)) == 2
    assert DeviceState.objects.get().emptied_before == at(6)


def test_the_bound_never_falls(pruned: Device) -> None:
    list(prune(pruned.pk, BEFORE - timedelta(days=5)))
    assert DeviceState.objects.get().pruned_before == BEFORE


def test_what_is_pruned_counts_as_closed(pruned: Device, other_device: Device) -> None:
    """A single reading by a key is stored in one round trip that looks at `closed_until` alone."""
    DeviceState.objects.create(device=other_device, closed_until=at(10 * DAY))
    list(prune(other_device.pk, BEFORE))
    assert [state.closed_until for state in DeviceState.objects.order_by("device")] == [BEFORE, at(10 * DAY)]
    DeviceState.objects.update(closed_until=at(0))
    list(prune(pruned.pk, at(3 * DAY)))
    state = DeviceState.objects.get(device=pruned)
    assert state.closed_until == state.pruned_before == at(3 * DAY)


def test_a_device_that_is_gone_is_not_pruned(device: Device) -> None:
    device_id = device.pk
    device.delete()
    assert list(prune(device_id, BEFORE)) == []
    assert not DeviceState.objects.exists()


# Who is refused


def test_a_single_reading_is_refused(api: APIClient, pruned: Device) -> None:
    response = api.post(readings_of(pruned), fields(TOO_OLD))
    assert (response.status_code, codes(response)) == (400, {"/recorded_at": "before_retention"})
    assert api.post(readings_of(pruned), fields(OLDEST_KEPT)).status_code == 201
    assert kept(pruned) == [at(OLDEST_KEPT)]


def test_a_single_reading_of_a_device_with_its_key_is_refused(pruned: Device) -> None:
    sensor = client_of_device(pruned)
    for _ in range(2):  # the second by a key that has been used, over a connection that knows the statement
        response = send(sensor, "POST", readings_of(pruned), fields(TOO_OLD))
        assert (response.status_code, codes(response)) == (400, {"/recorded_at": "before_retention"})
        assert send(sensor, "POST", readings_of(pruned), fields(OLDEST_KEPT)).status_code in (200, 201)
    assert kept(pruned) == [at(OLDEST_KEPT)]


def test_a_reading_without_a_time_is_taken(api: APIClient, pruned: Device) -> None:
    assert api.post(readings_of(pruned), {"x": 1, "y": 2, "z": 3}).status_code == 201


def test_a_batch_with_such_a_row_is_refused_as_a_whole(api: APIClient, pruned: Device) -> None:
    response = api.post(readings_of(pruned), [fields(OLDEST_KEPT), fields(0), fields(TOO_OLD)])
    assert response.status_code == 400
    assert codes(response) == {"/1/recorded_at": "before_retention", "/2/recorded_at": "before_retention"}
    assert kept(pruned) == []


def test_the_other_rows_of_a_partial_batch_are_stored(api: APIClient, pruned: Device) -> None:
    rows = [fields(OLDEST_KEPT), fields(0), fields(DAY + 1, x="much"), fields(DAY + 2), fields(DAY + 2)]
    receipt = api.post(f"{readings_of(pruned)}?partial=true", rows).json()
    assert (receipt["received"], receipt["created"], receipt["duplicates"]) == (5, 2, 1)
    rejected = [(row["index"], row["field"], row["code"]) for row in receipt["rejected"]]
    assert rejected == [(1, "recorded_at", "before_retention"), (2, "x", "not_a_number")]
    assert kept(pruned) == [at(OLDEST_KEPT), at(DAY + 2)]


@pytest.mark.parametrize("partial", [False, True])
def test_a_gateway_is_told_of_each_device_s_own_rows(
    api: APIClient, pruned: Device, other_device: Device, partial: bool
) -> None:
    third = Device.objects.create(owner=pruned.owner, name="Pump 3")
    list(prune(third.pk, at(5 * DAY)))
    times = [(third, 5 * DAY), (pruned, 0), (other_device, 0), (third, 4 * DAY), (pruned, DAY)]
    rows = [fields(seconds) | {"device": device.pk} for device, seconds in times]
    response = api.post(f"/api/v1/readings/?partial={str(partial).lower()}", rows)
    if partial:
        assert [row["index"] for row in response.json()["rejected"]] == [1, 3]
        assert (kept(third), kept(pruned), kept(other_device)) == ([at(5 * DAY)], [at(DAY)], [at(0)])
    else:
        assert codes(response) == {"/1/recorded_at": "before_retention", "/3/recorded_at": "before_retention"}
        assert not Reading.objects.exists()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_reading_does_not_move_there(api: APIClient, pruned: Device, method: str) -> None:
    stored(pruned, (OLDEST_KEPT, 1, 2, 3))
    response = send(api, method, f"{readings_of(pruned)}{Reading.objects.get().id}/", fields(TOO_OLD))
    assert (response.status_code, codes(response)) == (400, {"/recorded_at": "before_retention"})
    assert kept(pruned) == [at(OLDEST_KEPT)]


def test_one_that_is_still_there_may_be_deleted_or_moved_away(api: APIClient, pruned: Device) -> None:
    """As between the first step of pruning and the last."""
    readings = [Reading.objects.create(device=pruned, recorded_at=at(second), x=1, y=2, z=3) for second in (0, 1)]
    paths = [f"{readings_of(pruned)}{reading.id}/" for reading in readings]
    assert api.patch(paths[0], {"x": 9}).status_code == 400
    assert api.delete(paths[0]).status_code == 204
    assert api.put(paths[1], fields(OLDEST_KEPT)).status_code == 200
    assert kept(pruned) == [at(OLDEST_KEPT)]


def test_it_costs_a_writer_no_further_statement(api: APIClient, pruned: Device, other_device: Device) -> None:
    statements = []
    for device in (other_device, pruned):
        with CaptureQueriesContext(connection) as queries:
            assert api.post(readings_of(device), [fields(OLDEST_KEPT + 1), fields(OLDEST_KEPT + 2)]).status_code == 200
        statements.append(len(queries))
    assert statements[0] == statements[1]


def test_a_refusal_is_noted_for_the_people_who_look_after_the_device(pruned: Device) -> None:
    send(client_of_device(pruned), "POST", readings_of(pruned), [fields(OLDEST_KEPT), fields(TOO_OLD)])
    refusal = Refusal.objects.get()
    assert (refusal.device, refusal.pointer, refusal.code) == (pruned, "/1/recorded_at", "before_retention")


def test_an_import_stops_at_the_line(pruned: Device, tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(csv(DAY, DAY + 1, 0, DAY + 2))
    with pytest.raises(CommandError, match=r"Line 4: recorded_at: Readings of this time .* 2 readings stored"):
        call_command("import_readings", file, owner="alice")
    assert kept(pruned) == [at(DAY), at(DAY + 1)]


def test_an_import_goes_on_after_the_line_if_it_is_told_to(pruned: Device, tmp_path: Path) -> None:
    file, output, errors = tmp_path / "readings.csv", StringIO(), StringIO()
    file.write_text(csv(DAY, 0, DAY + 1) + "Pump 1,never,1,2,3\n")
    call_command("import_readings", file, owner="alice", skip_bad_lines=True, stdout=output, stderr=errors)
    assert "2 readings stored, 0 were there already, 2 bad lines skipped." in output.getvalue()
    assert "Line 3 skipped: recorded_at: Readings of this time are not kept any more" in errors.getvalue()
    assert kept(pruned) == [at(DAY), at(DAY + 1)]


def test_an_import_names_the_first_of_several_bad_lines(pruned: Device, tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text(csv(DAY, 0) + "Pump 1,never,1,2,3\n")
    with pytest.raises(CommandError, match="Line 3: recorded_at: Readings of this time"):
        call_command("import_readings", file, owner="alice")
    assert kept(pruned) == [at(DAY)]


def csv(*seconds: float) -> str:
    lines = (f"Pump 1,{at(second).isoformat()},1,2,3\n" for second in seconds)
    return f"device,recorded_at,x,y,z\n{''.join(lines)}"


# Who says how long


def test_an_owner_says_it_for_a_device(api: APIClient, device: Device) -> None:
    response = api.patch(f"/api/v1/devices/{device.pk}/", {"retention_days": 30})
    assert (response.status_code, response.json()["retention_days"]) == (200, 30)
    assert api.patch(f"/api/v1/devices/{device.pk}/", {"retention_days": None}).json()["retention_days"] is None


def test_a_device_does_not_say_it_itself(device: Device) -> None:
    response = client_of_device(device).patch(f"/api/v1/devices/{device.pk}/", {"retention_days": 1})
    assert response.status_code == 403
    device.refresh_from_db()
    assert device.retention_days is None


def test_the_back_office_says_it(office: Client, device: Device) -> None:
    page = f"/admin/devices/device/{device.pk}/change/"
    form = {"owner": device.owner_id, "name": device.name, "keys-TOTAL_FORMS": 0, "keys-INITIAL_FORMS": 0}
    assert office.post(page, form | {"retention_days": "0"}).status_code == 200
    assert office.post(page, form | {"retention_days": "7"}).status_code == 302
    device.refresh_from_db()
    assert device.retention_days == 7


# The command


@pytest.fixture
def old(device: Device, other_device: Device, settings: Any) -> list[Device]:
    """Two devices, with three and two readings that are too old, and two that are not."""
    settings.READING_RETENTION_DAYS = 30
    now = (datetime.now(UTC) - NEW_YEAR).total_seconds()
    for one, number in ((device, 3), (other_device, 2)):
        stored(one, *((second - 40 * DAY, 1, 2, 3) for second in range(number)), (now, 1, 2, 3), (now - DAY, 1, 2, 3))
    return [device, other_device]


def counts(devices: list[Device]) -> list[int]:
    return [len(kept(device)) for device in devices]


def test_the_command_tells_what_it_has_deleted(old: list[Device]) -> None:
    day = bound(30, datetime.now(UTC))
    assert command() == (
        f"device {old[0].pk}: 3 readings before {day:%Y-%m-%d} deleted\n"
        f"device {old[1].pk}: 2 readings before {day:%Y-%m-%d} deleted\n"
        "5 readings of 2 devices deleted.\n"
    )
    assert counts(old) == [2, 2]
    assert set(DeviceState.objects.values_list("pruned_before", flat=True)) == {day}


def test_a_dry_run_counts_and_changes_nothing(old: list[Device]) -> None:
    output = command("--dry-run")
    assert f"device {old[0].pk}: 3 readings before {bound(30, datetime.now(UTC)):%Y-%m-%d} would be deleted" in output
    assert output.endswith("5 readings of 2 devices would be deleted.\n")
    assert counts(old) == [5, 4]
    assert not DeviceState.objects.exists()


def test_the_command_prunes_some_devices_alone(old: list[Device]) -> None:
    assert command("--device", str(old[1].pk)).endswith("2 readings of 1 devices deleted.\n")
    assert counts(old) == [5, 2]


def test_the_command_knows_who_is_not_there(old: list[Device]) -> None:
    with pytest.raises(CommandError, match="There is no device 987654321"):
        command("--device", str(old[0].pk), "987654321")
    assert counts(old) == [5, 4]


@pytest.mark.django_db(transaction=True)  # it lets its connection go
def test_a_passing_fault_of_one_device_does_not_stop_the_others(
    old: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.management.commands.prune_readings.prune", failing_for(old[0]))
    errors = StringIO()
    with pytest.raises(CommandError, match="1 devices had a fault"):
        command(stderr=errors)
    assert errors.getvalue() == f"device {old[0].pk}: the database was restarted\n"
    assert counts(old) == [5, 2]


def failing_for(device: Device) -> Callable[..., Iterator[int]]:
    def failing(device_id: int, *arguments: Any) -> Iterator[int]:
        if device_id == device.pk:
            raise OperationalError("the database was restarted")
        return prune(device_id, *arguments)

    return failing


# By the service itself, or its workers


def test_so_much_is_pruned_as_there_is_time_for(old: list[Device]) -> None:
    prune_for(60, Event())
    assert counts(old) == [2, 2]


def test_when_the_time_is_over_the_rest_is_left_to_the_next_round(old: list[Device]) -> None:
    prune_for(-1, Event())
    assert sorted(counts(old)) in ([2, 4], [2, 5])
    prune_for(60, Event())
    assert counts(old) == [2, 2]


def test_it_ends_when_the_service_does(old: list[Device]) -> None:
    stopping = Event()
    stopping.set()
    prune_for(60, stopping)
    assert sorted(counts(old)) in ([2, 4], [2, 5])


def test_a_passing_fault_leaves_a_device_to_the_next_round(old: list[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "prune", failing_for(old[0]))
    prune_for(60, Event())
    assert counts(old) == [5, 2]
