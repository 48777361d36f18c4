"""How fast the pages of the admin open with many readings, devices and users, as ratios to a database with one of each.

`BENCH_READINGS` (default 10,000,000), half of them of one device at 1 Hz and half of all, `BENCH_DEVICES` (100,000) and
`BENCH_USERS` (10,000) say how many. In process, without the server and the way to it; the figures are medians.
"""

import os
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.models import AuthToken
from tqdm import tqdm

from analytics import analyses
from analytics.building import build
from analytics.models import Analysis
from devices import figures, ingest
from devices.columns import Columns
from devices.models import Device, Refusal
from devices.reading_ids import microseconds
from users.admin_base import MOST_PAGES, ModelAdmin
from users.models import User

READINGS = int(os.environ.get("BENCH_READINGS", "10000000"))
DEVICES = int(os.environ.get("BENCH_DEVICES", "100000"))
USERS = int(os.environ.get("BENCH_USERS", "10000"))
TIMES = 15
BATCH = 100_000
SECOND = timedelta(seconds=1)
PAGES = {
    "start": "",
    "devices": "devices/device/",
    "devices, the last page": "devices/device/?p={last_page}",
    "devices, silent": "devices/device/?status=silent",
    "devices, of an owner": "devices/device/?owner__id__exact={user}",
    "devices, by a name that many have": "devices/device/?q=device",
    "devices, by a name that none has": "devices/device/?q=nowhere",
    "owner, autocompleted": "autocomplete/?app_label=devices&model_name=device&field_name=owner&term=user",
    "a device, last day": "devices/device/{device}/change/",
    "a device, all time": "devices/device/{device}/change/?span=all",
    "a device, its readings": "devices/device/{device}/readings/",
    "a device, its history": "devices/device/{device}/history/",
    "a device, asked before deleting": "devices/device/{device}/delete/",
    "a device, new": "devices/device/add/",
    "refusals": "devices/refusal/",
    "refusals, of a device": "devices/refusal/?device__id__exact={device}",
    "users": "users/user/",
    "users, by a name that none has": "users/user/?q=nowhere",
    "a user": "users/user/{user}/change/",
    "a user, figures of all devices": "analytics/analysis/of-user/{user}/",
    "tokens": "knox/authtoken/",
    "analyses": "analytics/analysis/",
    "analyses, failed": "analytics/analysis/?status__exact=failed",
}


def run() -> None:
    """Print milliseconds, queries and ratios, and what the figures of each minute cost."""
    now = datetime.now(UTC)
    root = User.objects.create_superuser("root")
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(root)
    user = User.objects.create_user("user")
    device = Device.objects.create(owner=user, name="One device", expected_interval=1)
    _store(np.full(1, device.pk), np.array([microseconds(now)]))
    figures.refresh(now)
    few = _measure(client, user, device)
    _fill(user, device, now)
    started = time.perf_counter()
    figures.refresh(datetime.now(UTC))
    first = time.perf_counter()
    figures.refresh(datetime.now(UTC) + timedelta(minutes=1))
    again = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    many = _measure(client, user, device)
    print(f"\n{READINGS:,} readings, {DEVICES:,} devices, {USERS:,} users; (in brackets: with one of each)")
    print(f"{'page':36} {'ms':>7} {'ratio':>6} {'ms in the database':>20}  queries")
    for name, page in many.items():
        ratio, less = page.seconds / few[name].seconds, few[name]
        times = f"{page.in_database * 1e3:.0f} ({less.in_database * 1e3:.0f})"
        print(f"{name:36} {page.seconds * 1e3:7.1f} {ratio:6.2f} {times:>20}  {page.queries:.0f} ({less.queries:.0f})")
    print(f"\nThe figures of each minute: {first - started:.1f} s at first, {again - first:.1f} s then")


class Measured(NamedTuple):
    """Of a page: medians of seconds, in all and in the database, and how many queries it makes."""

    seconds: float
    in_database: float
    queries: int


def _measure(client: Client, user: User, device: Device) -> dict[str, Measured]:
    last_page = min(-(-Device.objects.count() // ModelAdmin.list_per_page), MOST_PAGES)
    pages = {name: page.format(user=user.pk, device=device.pk, last_page=last_page) for name, page in PAGES.items()}
    return {name: _measure_page(client, f"/admin/{page}") for name, page in pages.items()}


def _measure_page(client: Client, path: str) -> Measured:
    measured = []
    for _ in range(TIMES):
        with CaptureQueriesContext(connection) as queries:
            started = time.perf_counter()
            assert client.get(path).status_code == 200, path
            seconds = time.perf_counter() - started
        times = [float(query["time"]) for query in queries]
        measured.append((seconds, sum(times), len(times)))
    return Measured(*map(statistics.median, zip(*measured[1:], strict=True)))  # the first reads templates


def _fill(user: User, device: Device, now: datetime) -> None:
    owners = User.objects.bulk_create((User(username=f"user {n}") for n in range(USERS)), batch_size=5000)
    devices = Device.objects.bulk_create(
        (
            Device(owner=owners[n % USERS], name=f"device {n}", expected_interval=(None, 60, 10**6)[n % 3])
            for n in range(DEVICES)
        ),
        batch_size=5000,
    )
    ends = microseconds(now)
    for first in tqdm(range(0, READINGS // 2, BATCH), desc="Readings of one device", disable=None):
        _store(np.full(BATCH, device.pk), ends - np.arange(first + 1, first + BATCH + 1) * 1_000_000)
    sum(build(device, now))
    ids = np.array([each.pk for each in devices])
    for first in tqdm(range(0, READINGS // 2, BATCH), desc="Readings of all", disable=None):
        place = np.arange(first, first + BATCH)
        _store(ids[place % DEVICES], ends - place // DEVICES * 600_000_000 - 90_000_000)
    for number in tqdm(range(1000), desc="Analyses and tokens", disable=None):
        analysis = analyses.start(owners[number % USERS], devices[number % DEVICES], {}, number)
        AuthToken.objects.create(owners[number % USERS])
    Analysis.objects.exclude(pk=analysis.pk).filter(device__in=devices[:500]).update(status=Analysis.Status.FAILED)
    Refusal.objects.bulk_create(
        Refusal(device=devices[n % DEVICES], at=now - n * SECOND, status=400, faults=1, size=1, code="a", detail="b")
        for n in range(20_000)
    )


def _store(device_ids: np.ndarray, times: np.ndarray) -> None:
    ingest.store(Columns(device_ids, times, *(np.sin(times / 1e9 + n) for n in range(3))))
