"""Monthly partitions of the readings, on PostgreSQL: see docs/partitions.md."""

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from devices import months, partitions, turning
from devices.partitions import CannotPartition, Step


class Command(BaseCommand):
    help = (
        "On PostgreSQL: turn the table of readings into monthly partitions, without a copy and while the service "
        "reads and writes; later, and each day, make the months ahead. Safe to stop and to run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--ahead", type=int, default=partitions.AHEAD, help="months to have ahead of this one (default %(default)s)"
        )
        parser.add_argument("--drop", action="store_true", help="also drop old months that no device keeps any longer")
        parser.add_argument(
            "--hold-writers",
            action="store_true",
            help="move readings whose time is far ahead, while writers wait or are answered 503",
        )
        parser.add_argument("--dry-run", action="store_true", help="print every statement, and execute none")

    def handle(self, *, ahead: int, drop: bool, hold_writers: bool, dry_run: bool, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Partitions are PostgreSQL's; on SQLite the table stays as it is.")
        if ahead < 1:
            raise CommandError("--ahead: at least one month.")
        now = datetime.now(UTC)
        try:
            if dry_run:
                self._print(_steps(now, ahead, drop, hold_writers))
            else:
                with partitions.alone():
                    self._run(now, ahead, drop, hold_writers)
        except CannotPartition as error:
            raise CommandError(str(error)) from None

    def _run(self, now: datetime, ahead: int, drop: bool, hold_writers: bool) -> None:
        if partitions.partitions():
            self._report((step, step.run()) for step in months.steps_ahead(now, ahead, hold_writers))
        else:
            if hold_writers:
                seconds = turning.seconds_to_read()
                self.stdout.write(f"Where readings are to be moved, writers wait for about {seconds:.0f} s.")
            self._report(turning.turn_over(now, ahead, hold_writers))
        if drop:
            self._report(months.drop_old(now))

    def _report(self, done: Iterable[tuple[Step, float]]) -> None:
        for step, seconds in done:
            self.stdout.write(f"{step.what}: {seconds:.2f} s")

    def _print(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.stdout.write(f"-- {step.what}\nBEGIN;")
            for statement in step.statements:
                self.stdout.write(f"{statement};")
            self.stdout.write("COMMIT;\n")


def _steps(now: datetime, ahead: int, drop: bool, hold_writers: bool) -> list[Step]:
    """What there would be to do."""
    if not partitions.partitions():
        return turning.steps_to_turn_over(now, ahead, hold_writers)
    old = months.months_to_drop(now) if drop else []
    return [*months.steps_ahead(now, ahead, hold_writers), *map(months.step_to_drop, old)]
