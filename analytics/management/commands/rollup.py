"""Answers without scanning, kept ready."""

import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError
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
        while True:
            self._once()
            if every is None:
                return
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
