"""Something to look at on the first start."""

import math
import os
import random
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone
from knox.models import AuthToken

from devices import ingest
from devices.columns import Columns
from devices.models import Device, DeviceKey
from devices.rows import Row
from users.models import User

USERNAME = "demo"
INTERVAL = timedelta(seconds=10)
DAY = timedelta(days=1)


class Command(BaseCommand):
    help = (
        "In a new database: an account, a device with a key and a day of readings. Writes the credentials to "
        "data/demo.env, for this machine's user only, and shows them, also when it finds them there."
    )

    def handle(self, **options: Any) -> None:
        credentials = Path(settings.DATA_DIR) / "demo.env"
        if not User.objects.exists():
            _write_private(credentials, "".join(f"{name}='{value}'\n" for name, value in _create().items()))
        self.stdout.write(_addresses(f"http://127.0.0.1:{settings.PORT}"))
        if credentials.exists():
            self.stdout.write(_first_steps(credentials))


@transaction.atomic
def _create() -> dict[str, Any]:
    password = secrets.token_urlsafe(12)
    user = User.objects.create_superuser(USERNAME, password=password)
    device = Device.objects.create(owner=user, name="Pump 1", description="A made-up pump.", expected_interval=10)
    ingest.store(Columns.of_rows(_day_of_a_pump(device.pk)))
    return {
        "USERNAME": USERNAME,
        "PASSWORD": password,
        "TOKEN": AuthToken.objects.create(user)[1],
        "DEVICE": device.pk,
        "DEVICE_KEY": DeviceKey.issue(device)[1],
    }


def _day_of_a_pump(device_id: int) -> list[Row]:
    """Vibration in g: louder by day than by night, with gravity on z."""
    noise = random.Random(1)
    end = timezone.now().replace(microsecond=0)
    rows = []
    for step in range(DAY // INTERVAL):
        recorded_at = end - DAY + step * INTERVAL
        load = 0.4 + 0.3 * math.sin(2 * math.pi * (recorded_at.hour - 9) / 24)
        x, y, z = (round(noise.gauss(mean, load / 4), 4) for mean in (0.0, 0.02, 1.0))
        rows.append(Row(device_id, recorded_at, x + 0.0, y + 0.0, z + 0.0))
    return rows


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _addresses(url: str) -> str:
    return f"""
  Devices    {url}/
  API        {url}/api/v1/
  Reference  {url}/docs
  Admin      {url}/admin/
"""


def _first_steps(credentials: Path) -> str:
    values = dict(line.split("=", 1) for line in credentials.read_text().splitlines())
    username, password, token, device, key = (
        values[name].strip("'") for name in ("USERNAME", "PASSWORD", "TOKEN", "DEVICE", "DEVICE_KEY")
    )
    return f"""  Account    {username}, password {password}
  Token      {token}
  Device     {device}, key {key}

Try it in another terminal:

  curl -H 'Authorization: Token {token}' http://127.0.0.1:{settings.PORT}/api/v1/devices/{device}/analytics/
"""
