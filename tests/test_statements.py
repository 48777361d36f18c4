"""What lets the tables be distributed by device: their keys, as the database has them, and what is asked of them.

All statements of all tests are held to it at the end of a run on PostgreSQL: see `conftest.py` and `statements.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.building import build
from analytics.management.commands.distribute_readings import DEVICE, DISTRIBUTED, REFERENCE
from analytics.summaries import summarize
from analytics.thumbnails import thumbnails
from devices.exports import export
from devices.lookups import newest_times
from devices.models import Device, Reading
from tests import statements
from tests.helpers import at, stored
from tests.once import once

KEYS = """
SELECT relation.relname, array_agg(attname::text) FROM pg_index
JOIN pg_class relation ON relation.oid = indrelid
JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
WHERE indisunique AND relation.relname = ANY (%s) GROUP BY relation.relname, indexrelid
"""
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY (%s::text[]::regclass[])"
MADE_BY_THE_DATABASE = """
SELECT attrelid::regclass::text, attname FROM pg_attribute
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = ANY (%s::text[]::regclass[]) AND attnum > 0
AND (attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE '%%nextval%%')
"""
FOREIGN_KEYS = """
SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND (conrelid = ANY (%(all)s::text[]::regclass[]) OR confrelid = ANY (%(all)s::text[]::regclass[]))
"""


def asked(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


# The tables


@once
@pytest.mark.django_db
def test_every_unique_key_of_a_distributed_table_has_the_device() -> None:
    keys = asked(KEYS, [list(DISTRIBUTED)])
    assert {table for table, _ in keys} == set(DISTRIBUTED)
    assert [table for table, columns in keys if DEVICE not in columns] == []


@once
@pytest.mark.django_db
def test_distributed_tables_have_no_trigger_and_nothing_that_the_database_makes() -> None:
    assert asked(TRIGGERS, [list(DISTRIBUTED)]) == []
    assert asked(MADE_BY_THE_DATABASE, [list(DISTRIBUTED)]) == []
    assert asked(MADE_BY_THE_DATABASE, [["devices_device"]]) == [("devices_device", "id")]  # so it would be seen


@once
@pytest.mark.django_db
def test_no_foreign_key_leads_to_a_distributed_table_and_from_one_only_to_reference_tables() -> None:
    keys = asked(FOREIGN_KEYS, {"all": list(DISTRIBUTED)})
    assert keys == [("devices_devicestate", "devices_device")]
    assert {target for _, target in keys} <= set(REFERENCE)


# What is asked of them: how it is recorded and told apart

ONE = [
    "SELECT x FROM devices_reading WHERE device_id IN (%s)",
    "SELECT x FROM devices_reading WHERE device_id = %s AND recorded_at > %s",
    'SELECT "r"."x" FROM "devices_reading" "r" WHERE ("r"."device_id" = %s AND ("r"."x" > %s OR "r"."y" > %s))',
    "SELECT 1 FROM devices_device d LEFT JOIN devices_devicestate s ON d.id = s.device_id WHERE d.id = %s",
    "SELECT EXISTS(SELECT 1 FROM devices_reading r WHERE r.device_id = d.id) FROM devices_device d WHERE d.id = 7",
    "UPDATE analytics_rollup SET status = 0 WHERE (device_id, level, period_start) = (%s, 3600, 0)",
    "DELETE FROM devices_reading WHERE device_id = 7 AND x = (SELECT max(x) FROM devices_reading WHERE device_id = 7)",
    "INSERT INTO analytics_rollup (level, device_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
    "WITH d AS (SELECT 1) INSERT INTO devices_reading (device_id, x) SELECT $1, $2 FROM d",
    "SELECT r.x FROM (VALUES (0, 7, %s), (1, 7, %s)) AS wanted CROSS JOIN LATERAL "
    "(SELECT * FROM devices_reading WHERE device_id = 7 AND recorded_at > wanted.column3 OFFSET 0) AS r",
]
SEVERAL = [
    "SELECT count(*) FROM devices_reading",
    "SELECT x FROM devices_reading WHERE device_id IN (%s, %s)",
    "SELECT x FROM devices_reading WHERE device_id = %s OR x = %s",
    "SELECT x FROM devices_reading WHERE NOT (device_id = %s)",
    "SELECT x FROM devices_reading WHERE device_id > %s",
    "SELECT EXISTS(SELECT 1 FROM devices_reading r WHERE r.device_id = d.id) FROM devices_device d",
    "SELECT x FROM devices_reading r WHERE r.device_id = 7 AND EXISTS(SELECT 1 FROM devices_reading s WHERE s.x = r.x)",
    "UPDATE analytics_rollup SET device_id = 7",
    "INSERT INTO analytics_rollup (level, device_id) VALUES (%s, %s), (%s, %s)",
    "INSERT INTO devices_reading (device_id, x) SELECT device_id, x FROM stage",
    "COPY devices_reading (device_id, x) FROM STDIN",
    "SELECT r.x FROM (VALUES (0, 7, %s), (1, 8, %s)) AS wanted CROSS JOIN LATERAL "
    "(SELECT * FROM devices_reading WHERE device_id = wanted.column2 OFFSET 0) AS r",
]


@pytest.mark.parametrize("text", ONE)
def test_a_statement_that_says_which_device_concerns_one(text: str) -> None:
    assert statements.crossing(statements.folded(text)) == []


@pytest.mark.parametrize("text", SEVERAL)
def test_a_statement_that_does_not_say_which_device_may_concern_several(text: str) -> None:
    assert len(statements.crossing(statements.folded(text))) == 1


def test_a_statement_is_the_same_for_any_values_and_any_number_of_them() -> None:
    few, many = (
        "SELECT x FROM t WHERE a IN (%s, %s) AND b = 3",
        "SELECT x\nFROM t WHERE a IN (%s, %s, %s) AND b = -17.5",
    )
    assert statements.folded(few) == statements.folded(many)


def test_what_is_not_listed_and_what_locks_rows_is_a_fault() -> None:
    locking = "SELECT x FROM devices_reading WHERE device_id > $1 FOR UPDATE"
    sent = {"SELECT x FROM devices_reading": "here", locking: "there"}
    assert [fault.splitlines()[0] for fault in statements.faults(sent)] == [
        "[[statement]]",
        "there locks rows of several devices: SELECT x FROM devices_reading WHERE device_id > ? FOR UPDATE",
    ]


def test_everything_listed_has_its_reason_and_concerns_several_devices() -> None:
    for text, entry in statements.listed().items():
        assert entry.keys() == {"from", "sql", "why", "citus"}
        assert all(entry.values()), text


def test_what_is_listed_and_not_sent_is_known() -> None:
    assert statements.no_longer_sent({}) == statements.listed().keys()


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """What the service has sent in this test so far."""
    for name in ("execute", "executemany", "copy"):
        monkeypatch.setattr(psycopg.Cursor, name, getattr(psycopg.Cursor, name))  # and back, after the test
    statements.record(tmp_path)
    return lambda: statements.recorded(tmp_path)


@once
def test_statements_of_the_service_are_recorded_and_those_of_tests_are_not(
    device: Device, sent: Callable[[], dict[str, str]]
) -> None:
    assert not Reading.objects.filter(x=1).exists()
    assert sent() == {}
    list(export(Reading.objects.filter(device=device), "csv"))
    assert list(sent().values()) == ["devices/exports.py: _pages"]


@once
def test_what_goes_past_django_is_recorded_too(device: Device, sent: Callable[[], dict[str, str]]) -> None:
    stored(device, (0, 1, 2, 3))
    summarize([device])
    assert {"devices/insertion.py: _copy", "analytics/tiling.py: _tiles_within"} <= set(sent().values())


@once
def test_with_citus_an_answer_about_several_devices_asks_for_one_at_a_time(
    device: Device, other_device: Device, settings: Any
) -> None:
    devices = [device, other_device]
    for number, each in enumerate(devices):
        stored(each, *((second, second % 7, number, second) for second in range(0, 9000, 5)))
        assert sum(build(each, at(100 * 3600)))
    usual, across = answers_about(devices)
    settings.CITUS = True
    assert answers_about(devices) == (usual, [])
    assert len(across) >= 5  # rollups, parts of hours, readings, small curves, the newest readings


def answers_about(devices: list[Device]) -> tuple[Any, list[str]]:
    """What is answered over a ragged window, and the statements about several devices that it took."""
    ids = [device.pk for device in devices]
    with CaptureQueriesContext(connection) as asked:
        answer = summarize(devices, at(77), at(8000)), thumbnails(devices, at(9000)), newest_times(ids)
    texts = {statements.folded(query["sql"]) for query in asked.captured_queries}
    return answer, [text for text in texts if statements.MENTIONED.search(text) and statements.crossing(text)]
