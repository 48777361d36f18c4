"""Readings that are older than they are to be kept."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone
from tqdm import tqdm

from devices.models import Device, Reading
from devices.querysets import DeviceQuerySet
from devices.retention import STEP, Due, due, prune


class Command(BaseCommand):
    help = (
        "Delete the readings that are older than READING_RETENTION_DAYS, or than their device says, with their "
        "rollups, in small steps. Safe to stop and to run again, beside writers and beside itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        parser.add_argument("--device", type=int, nargs="+", metavar="ID", help="of these devices alone")
        parser.add_argument("--step", type=int, default=STEP, metavar="READINGS", help="in one transaction")

    def handle(self, *, dry_run: bool, device: list[int] | None, step: int, **options: Any) -> None:
        self.step = step
        self.verb = "would be deleted" if dry_run else "deleted"
        self.readings = self.devices = self.faults = 0
        with tqdm(unit=" readings", unit_scale=True, desc="Pruning", disable=None) as self.progress:
            for one in due(_devices(device), timezone.now()):
                self._look_after(one, dry_run)
        self.stdout.write(f"{self.readings} readings of {self.devices} devices {self.verb}.")
        if self.faults:
            raise CommandError(f"{self.faults} devices had a fault: run it again.")

    def _look_after(self, one: Due, dry_run: bool) -> None:
        try:
            self._report(one, _count(one) if dry_run else self._prune(one))
        except (OperationalError, InterfaceError) as error:  # the next run goes on here
            self.faults += 1
            self.stderr.write(f"device {one.device_id}: {error}")
            close_old_connections()  # a lost one would be lost for the others, too

    def _prune(self, one: Due) -> int:
        number = 0
        for deleted in prune(*one, self.step):
            self.progress.update(deleted)
            number += deleted
        return number

    def _report(self, one: Due, number: int) -> None:
        if number:
            self.stdout.write(f"device {one.device_id}: {number} readings before {one.before:%Y-%m-%d} {self.verb}")
        self.readings += number
        self.devices += number > 0


def _devices(ids: list[int] | None) -> DeviceQuerySet:
    devices: DeviceQuerySet = Device.objects.all() if ids is None else Device.objects.filter(pk__in=ids)
    if ids is not None and (missing := set(ids) - set(devices.values_list("pk", flat=True))):
        raise CommandError(f"There is no device {', '.join(map(str, sorted(missing)))}.")
    return devices


def _count(one: Due) -> int:
    return int(Reading.objects.filter(device=one.device_id).in_window(None, one.before).count())
