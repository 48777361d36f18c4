"""Readings on several machines, by Citus, or in chunks of time, by TimescaleDB."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

# Of the same number of rows as users and devices, and joined with them by nearly everything: on each machine whole.
REFERENCE = ("users_user", "devices_device", "devices_devicekey", "devices_deviceactivity")
# By device; those of one device on one machine. The first is joined with readings where one is stored.
DISTRIBUTED = ("devices_devicestate", "devices_reading", "analytics_rollup")
DEVICE = "device_id"

# Each commits by itself: Citus lets a table refer to a reference table of the same transaction in some orders only.
CITUS = {
    **{table: f"SELECT create_reference_table('{table}')" for table in REFERENCE},
    **{
        table: f"SELECT create_distributed_table('{table}', '{DEVICE}', colocate_with => '{whose}')"
        for table, whose in zip(DISTRIBUTED, ("none", *DISTRIBUTED[:1] * 2), strict=True)
    },
}
# Without indexes of its own: the primary key is all that is read by.
TIMESCALE = {
    "devices_reading": "SELECT create_hypertable('devices_reading', by_range('recorded_at', INTERVAL '7 days'), "
    "migrate_data => true, create_default_indexes => false)",
}
FUNCTIONS = {"citus": "create_distributed_table", "timescale": "create_hypertable"}


class Command(BaseCommand):
    help = (
        "Distribute readings, rollups and the states of devices by device, with Citus, or make a hypertable of the "
        "readings, with TimescaleDB. Tells its statements first, and asks. Writers wait, or get 503, until a table is "
        "done. See docs/scaling.md for what was tried of it, which is little, and what does not work there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("extension", choices=FUNCTIONS)
        parser.add_argument("--dry-run", action="store_true", help="only tell the statements")
        parser.add_argument("--no-input", action="store_true", help="do not ask")

    def handle(self, *, extension: str, dry_run: bool, no_input: bool, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Tables are distributed on PostgreSQL alone; DATABASE_URL names another database.")
        with connection.cursor() as cursor:
            statements = _left_to_do(cursor, extension)
            self.stdout.write("\n".join(f"{statement};" for statement in statements) or "Nothing is left to do.")
            if dry_run or not statements or not (no_input or _is_agreed()):
                return
            for statement in statements:
                cursor.execute(statement)
        self.stdout.write("Done.")


def _left_to_do(cursor: Any, extension: str) -> list[str]:
    """The statements for the tables that are not distributed yet."""
    cursor.execute("SELECT to_regproc(%s)", [FUNCTIONS[extension]])
    if cursor.fetchone() == (None,):
        raise CommandError(f"There is no {FUNCTIONS[extension]}() in this database: CREATE EXTENSION first.")
    if extension == "citus":
        cursor.execute("SELECT logicalrelid::regclass::text FROM pg_dist_partition")
        done = {table for (table,) in cursor.fetchall()}
        return [statement for table, statement in CITUS.items() if table not in done]
    cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'devices_reading'::regclass")
    if cursor.fetchone() == (True,):
        raise CommandError("devices_reading has partitions of PostgreSQL's own: it is these or a hypertable.")
    cursor.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")
    done = {table for (table,) in cursor.fetchall()}
    return [statement for table, statement in TIMESCALE.items() if table not in done]


def _is_agreed() -> bool:
    return input("Is there a backup, and shall this be done now? [yes/no] ") == "yes"
