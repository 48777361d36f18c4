"""How fast owners' pages open: a year at 1 Hz beside an hour of it, with many devices and users beside, and with none.

`BENCH_DAYS` (default 365) is the history of one device, with a reading a second; `BENCH_DEVICES` (100,000) and
`BENCH_USERS` (10,000) are who else is there; the owner has a hundred devices more with a reading a minute for a day. In
process, without the server and the way to it; the figures are medians.
"""

import os
import statistics
import time
from datetime import UTC, datetime

import numpy as np
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from tqdm import tqdm

from analytics.building import build
from devices import ingest
from devices.columns import Columns
from devices.models import Device
from devices.reading_ids import microseconds
from users.models import User

DAYS = int(os.environ.get("BENCH_DAYS", "365"))
DEVICES = int(os.environ.get("BENCH_DEVICES", "100000"))
USERS = int(os.environ.get("BENCH_USERS", "10000"))
OWN_DEVICES = 100
TIMES = 15
BATCH = 100_000
PAGES = {
    "devices": "/devices/",
    "devices, found by name": "/devices/?search=99",
    **{f"a device, {span}": f"/devices/{{device}}/?span={span}" for span in ("hour", "day", "week", "month", "year")},
    "a device, all time": "/devices/{device}/?span=all",
    "a device, what changes in a year": "/devices/{device}/now/?span=year&readings",
}


def run() -> None:
    """Print milliseconds, queries, and the ratios to a database with one reading."""
    now = datetime.now(UTC).replace(microsecond=0)
    owner = User.objects.create_user("owner")
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(owner)
    device = Device.objects.create(owner=owner, name="One", expected_interval=1)
    _history(device, now, 1, 1)
    few = {name: _measure(client, path.format(device=device.pk)) for name, path in PAGES.items()}
    _fill(owner)
    _history(device, now, DAYS * 86_400, 1)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    many = {name: _measure(client, path.format(device=device.pk)) for name, path in PAGES.items()}
    print(f"\n{DAYS} days of one device at 1 Hz, {DEVICES:,} devices, {USERS:,} users")
    print(f"{'page':36} {'ms':>7} {'ratio':>6}  queries (with one reading)")
    for name, (seconds, queries) in many.items():
        print(f"{name:36} {seconds * 1e3:7.1f} {seconds / few[name][0]:6.2f}  {queries} ({few[name][1]})")
    print(f"A year takes {many['a device, year'][0] / many['a device, hour'][0]:.2f} times as long as an hour.")


def _measure(client: Client, path: str) -> tuple[float, int]:
    """The median seconds of a page, and how many queries it makes."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200, path
        queries = len(captured)
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        client.get(path)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), queries


def _fill(owner: User) -> None:
    users = User.objects.bulk_create((User(username=f"user {n}") for n in range(USERS)), batch_size=5000)
    Device.objects.bulk_create(
        (Device(owner=users[n % USERS], name=f"device {n}") for n in range(DEVICES)), batch_size=5000
    )
    now = datetime.now(UTC)
    for number in range(OWN_DEVICES):
        _history(Device.objects.create(owner=owner, name=f"device {number}"), now, 1440, 60)


def _history(device: Device, now: datetime, count: int, interval: int) -> None:
    """So many readings until now, and their rollups."""
    for first in tqdm(range(0, count, BATCH), desc=f"Readings of {device}", disable=None if count > BATCH else True):
        times = microseconds(now) - np.arange(first, min(first + BATCH, count)) * interval * 1_000_000
        axes = (np.sin(times / 1e9 + n) + (times // 1_000_000 * 7919 % 1009) / 999 for n in range(3))
        ingest.store(Columns(np.full(len(times), device.pk), times, *axes))
    sum(build(device, now))
