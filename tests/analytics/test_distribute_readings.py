"""`manage.py distribute_readings`: what it would say to Citus and TimescaleDB, neither of which is here."""

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.partitioned import PARTITIONED

IS_POSTGRESQL = connection.vendor == "postgresql"
on_postgresql = pytest.mark.skipif(not IS_POSTGRESQL, reason="of PostgreSQL")
not_in_partitions = pytest.mark.skipif(PARTITIONED, reason="PostgreSQL's own partitions are no hypertable")
pytestmark = pytest.mark.django_db

CITUS = [
    "create_reference_table('users_user')",
    "create_reference_table('devices_device')",
    "create_reference_table('devices_devicekey')",
    "create_reference_table('devices_deviceactivity')",
    "create_distributed_table('devices_devicestate', 'device_id', colocate_with => 'none')",
    "create_distributed_table('devices_reading', 'device_id', colocate_with => 'devices_devicestate')",
    "create_distributed_table('analytics_rollup', 'device_id', colocate_with => 'devices_devicestate')",
]
HYPERTABLE = (
    "create_hypertable('devices_reading', by_range('recorded_at', INTERVAL '7 days'), "
    "migrate_data => true, create_default_indexes => false)"
)
# In place of the extensions: functions of their names, which only note that they were called.
STUBS = """
CREATE TABLE calls (id serial, name text, relation regclass, arguments text);
CREATE TABLE pg_dist_partition (logicalrelid regclass);
CREATE FUNCTION create_reference_table(relation regclass) RETURNS void LANGUAGE sql AS
    $$INSERT INTO calls (name, relation, arguments) VALUES ('reference', relation, '')$$;
CREATE FUNCTION create_distributed_table(relation regclass, by text, colocate_with text) RETURNS void LANGUAGE sql AS
    $$INSERT INTO calls (name, relation, arguments) VALUES ('distributed', relation, by || ', ' || colocate_with)$$;
CREATE SCHEMA timescaledb_information;
CREATE TABLE timescaledb_information.hypertables (hypertable_name text);
CREATE FUNCTION by_range(by text, length interval) RETURNS text LANGUAGE sql AS $$SELECT by || ', ' || length$$;
CREATE FUNCTION create_hypertable(relation regclass, by text, migrate_data bool, create_default_indexes bool)
    RETURNS void LANGUAGE sql AS $$INSERT INTO calls (name, relation, arguments) VALUES ('hypertable', relation, by)$$;
"""


def told(*arguments: str) -> list[str]:
    """The statements that the command tells, without their ends."""
    out = StringIO()
    call_command("distribute_readings", *arguments, stdout=out)
    return [line.removeprefix("SELECT ").removesuffix(";") for line in out.getvalue().splitlines()]


@pytest.fixture
def stubs() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(STUBS)
        yield


def calls() -> list[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, relation::text, arguments FROM calls ORDER BY id")
        return list(cursor.fetchall())


@pytest.mark.skipif(IS_POSTGRESQL, reason="of SQLite")
@pytest.mark.parametrize("extension", ["citus", "timescale"])
def test_on_sqlite_it_is_refused(extension: str) -> None:
    with pytest.raises(CommandError, match="on PostgreSQL alone"):
        told(extension)


@on_postgresql
@pytest.mark.parametrize("extension", ["citus", "timescale"])
def test_without_the_extension_it_is_refused(extension: str) -> None:
    with pytest.raises(CommandError, match="CREATE EXTENSION"):
        told(extension, "--dry-run")


@on_postgresql
@pytest.mark.usefixtures("stubs")
def test_a_dry_run_tells_what_it_would_say_to_citus_and_does_nothing() -> None:
    assert (told("citus", "--dry-run"), calls()) == (CITUS, [])


@on_postgresql
@not_in_partitions
@pytest.mark.usefixtures("stubs")
def test_a_dry_run_tells_what_it_would_say_to_timescaledb_and_does_nothing() -> None:
    assert (told("timescale", "--dry-run"), calls()) == ([HYPERTABLE], [])


@on_postgresql
@pytest.mark.usefixtures("stubs")
def test_stubs_of_citus_are_called_in_order_with_their_arguments() -> None:
    assert told("citus", "--no-input") == [*CITUS, "Done."]
    assert calls() == [
        ("reference", "users_user", ""),
        ("reference", "devices_device", ""),
        ("reference", "devices_devicekey", ""),
        ("reference", "devices_deviceactivity", ""),
        ("distributed", "devices_devicestate", "device_id, none"),
        ("distributed", "devices_reading", "device_id, devices_devicestate"),
        ("distributed", "analytics_rollup", "device_id, devices_devicestate"),
    ]


@on_postgresql
@not_in_partitions
@pytest.mark.usefixtures("stubs")
def test_a_stub_of_timescaledb_is_called_with_its_arguments() -> None:
    told("timescale", "--no-input")
    assert calls() == [("hypertable", "devices_reading", "recorded_at, 7 days")]


@on_postgresql
@pytest.mark.usefixtures("stubs")
def test_what_is_distributed_already_is_left_out() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO pg_dist_partition VALUES ('users_user'), ('devices_reading')")
    assert told("citus", "--dry-run") == [*CITUS[1:5], CITUS[6]]


@on_postgresql
@not_in_partitions
@pytest.mark.usefixtures("stubs")
def test_what_is_a_hypertable_already_is_left_out() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO timescaledb_information.hypertables VALUES ('devices_reading')")
    assert told("timescale", "--dry-run") == ["Nothing is left to do."]


@on_postgresql
@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize(("answer", "called"), [("yes", 7), ("no", 0), ("", 0)])
def test_nothing_is_done_unless_one_says_yes(monkeypatch: pytest.MonkeyPatch, answer: str, called: int) -> None:
    monkeypatch.setattr("builtins.input", lambda question: answer)
    told("citus")
    assert len(calls()) == called
