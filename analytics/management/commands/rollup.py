"""Answers without scanning, kept ready."""

import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections
from tqdm import tqdm

from analytics.building import build
from devices.models import Device


class Command(BaseCommand):
    help = (
        "Build the rollups that are missing or stale, of all devices. Safe to stop and to run again, beside writers "
        "and beside itself; with --every it goes on for ever."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--every", type=float, metavar="SECONDS", help="begin again this long after each end")

    def handle(self, *, every: float | None, **options: Any) -> None:
        if every is None:
            return self._once()
        while True:
            try:
                self._once()
            except (OperationalError, InterfaceError) as error:  # the database may be there again at the next round
                self.stderr.write(str(error))
            close_old_connections()  # a lost one would be lost for ever
            time.sleep(every)

    def _once(self) -> None:
        devices = Device.objects.order_by("pk")
        with tqdm(unit=" readings", unit_scale=True, desc="Rolling up", disable=None) as progress:
            for device in devices.iterator():
                try:
                    for readings in build(device, datetime.now(UTC)):
                        progress.update(readings)
                except OperationalError as error:  # the next round, or run, goes on here
                    self.stderr.write(f"device {device.pk}: {error}")
