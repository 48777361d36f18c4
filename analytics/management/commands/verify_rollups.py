"""Whether what is kept ready is true."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from analytics.verifying import repair, verify
from devices.models import Device


class Command(BaseCommand):
    help = "Recompute every figure of every rollup from the readings. With --repair, have wrong ones built anew."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true")

    def handle(self, *, repair: bool, **options: Any) -> None:
        self.wrong = self.right = 0
        for device in tqdm(Device.objects.order_by("pk").iterator(), desc="Verifying", unit=" devices", disable=None):
            self._verify(device, repair)
        report = f"{self.right} rollups agree with their readings, {self.wrong} do not."
        if self.wrong and not repair:
            raise CommandError(report)
        self.stdout.write(report)

    def _verify(self, device: Device, mend: bool) -> None:
        for rollup, agrees in verify(device.pk):
            if agrees:
                self.right += 1
                continue
            self.wrong += 1
            self.stderr.write(f"Wrong: {rollup}")
            if mend:
                repair(rollup)
