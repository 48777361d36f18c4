"""What the deletion of a device left behind when it was cut short."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Min

from devices.models import Device, Reading


class Command(BaseCommand):
    help = "Delete readings of devices that are gone, left behind when a deletion was cut short. Safe to run again."

    def handle(self, **options: Any) -> None:
        for device_id in _ids_of_deleted_devices():
            self.stdout.write(f"device {device_id}: {Reading.objects.purge([device_id])} readings deleted")


def _ids_of_deleted_devices() -> Iterator[int]:
    """Devices that have readings and are gone: one look-up in the index for each, however many readings it has."""
    last = 0
    while (last := Reading.objects.filter(device__gt=last).aggregate(next=Min("device"))["next"]) is not None:
        if not Device.objects.filter(pk=last).exists():
            yield last
