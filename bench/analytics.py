"""How fast questions are answered: over HTTP and in process, against PostgreSQL's own aggregates and NumPy in memory.

`BENCH_READINGS` (default 10,000,000) is the length of the history of one device, a reading a second, and of a hundred
devices together. What is compared is asked in one run, and the figures are medians.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from django.db import connection
from knox.models import AuthToken
from tqdm import tqdm

from analytics.building import build
from analytics.models import Rollup
from bench.service import gunicorn
from devices import ingest
from devices.columns import Columns
from devices.models import Device
from devices.reading_ids import microseconds
from users.models import User

READINGS = int(os.environ.get("BENCH_READINGS", "10000000"))
START = datetime(2020, 1, 1, tzinfo=UTC)
BATCH = 100_000
POOLED_DEVICES = 100
NOISE = np.random.default_rng(1)
SQL = ", ".join(
    f"min({a}), max({a}), sum({a}), avg({a}), percentile_cont(0.5) WITHIN GROUP (ORDER BY {a})" for a in "xyz"
)


def run() -> None:
    """Print milliseconds and ratios."""
    user = User.objects.create_user("bench")
    token = AuthToken.objects.create(user)[1]
    device = _history(user, "One", READINGS)
    other = User.objects.create_user("pool")
    for number in range(POOLED_DEVICES):
        _history(other, str(number), READINGS // POOLED_DEVICES)
    _sizes()
    with gunicorn() as address:
        end = START + timedelta(seconds=READINGS)
        day = timedelta(days=1)
        windows = {
            "all time": (START, end),
            "whole days": (START + day, end - 2 * day),
            "ragged": (START + timedelta(hours=7, seconds=1234.5), end - timedelta(hours=5, seconds=77.25)),
        }
        for name, (start, stop) in windows.items():
            _compare(f"one device, {name}", f"devices/{device.pk}", [device.pk], (start, stop), (address, token))
        pooled = windows["ragged"][0], START + timedelta(seconds=READINGS // POOLED_DEVICES - 4321)
        ids = list(Device.objects.filter(owner=other).values_list("pk", flat=True))
        their_token = AuthToken.objects.create(other)[1]
        _compare(f"{POOLED_DEVICES} devices pooled", f"users/{other.pk}", ids, pooled, (address, their_token))
        _intervals(device, windows["all time"], (address, token))


def _history(owner: User, name: str, readings: int) -> Device:
    """A device with a reading a second, values that drift by the day, and its rollups."""
    device = Device.objects.create(owner=owner, name=name)
    started = time.perf_counter()
    for first in tqdm(range(0, readings, BATCH), desc=f"Readings of {name}", disable=None):
        seconds = np.arange(first, min(first + BATCH, readings))
        drift = np.sin(2 * np.pi * seconds / 86_400)
        axes = (np.round(NOISE.normal(drift * scale, 1.0), 6) + 0.0 for scale in (1, 2, 0.5))
        times = microseconds(START) + seconds * 1_000_000
        ingest.store(Columns(np.full(len(seconds), device.pk), times, *axes))
    stored = time.perf_counter()
    built = sum(build(device, START + timedelta(seconds=readings + 3600)))
    if readings == READINGS:
        print(f"\nStored at {readings / (stored - started):,.0f} readings/s, rolled up at", end=" ")
        print(f"{readings / (time.perf_counter() - stored):,.0f} readings/s ({built:,} seen to)")
    return device


def _sizes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE devices_reading, analytics_rollup")
        cursor.execute("SELECT pg_total_relation_size('devices_reading'), pg_total_relation_size('analytics_rollup')")
        readings, rollups = cursor.fetchone()
    print(f"Readings with their index {readings / 2 / READINGS:.1f} bytes each, rollups {rollups / 2 / READINGS:.1f}:")
    print(f"  {rollups / readings:.2f} of the readings, {Rollup.objects.count():,} rollups")


def _compare(title: str, path: str, ids: list[int], window: tuple[datetime, datetime], caller: tuple[Any, str]) -> None:
    with connection.cursor() as cursor:
        columns = _columns(cursor, ids, window)
    query = f"start_time={_text(window[0])}&end_time={_text(window[1])}"
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "HTTP": (lambda: _get(caller, f"{path}/analytics/?{query}"), 21),
        "SQL": (lambda: _sql(ids, window), 3),
        "NumPy in memory": (lambda: _numpy(columns), 3),
    }
    times = {name: _median_seconds(*way) for name, way in ways.items()}
    answer = _get(caller, f"{path}/analytics/?{query}")
    assert answer["count"] == len(columns[0])
    assert [answer[axis]["median"] for axis in "xyz"] == [float(np.median(column)) for column in columns]
    print(f"\n{title}: {len(columns[0]):,} readings")
    for name, seconds in times.items():
        print(f"  {name:18} {seconds * 1e3:10,.1f} ms   {seconds / times['HTTP']:8.1f}")


def _columns(cursor: Any, ids: list[int], window: tuple[datetime, datetime]) -> list[Any]:
    statement = cursor.cursor.mogrify(
        "COPY (SELECT x, y, z FROM devices_reading "
        "WHERE device_id = ANY(%s) AND recorded_at >= %s AND recorded_at < %s) TO STDOUT (FORMAT BINARY)",
        [ids, *window],
    )
    with cursor.cursor.copy(statement) as copy:
        content = b"".join(copy)
    row = np.dtype([("n", ">i2"), *((name, kind) for a in "xyz" for name, kind in ((f"l{a}", ">i4"), (a, ">f8")))])
    table = np.frombuffer(content, dtype=row, offset=19, count=(len(content) - 21) // row.itemsize)
    return [table[axis].astype(np.float64) for axis in "xyz"]


def _sql(ids: list[int], window: tuple[datetime, datetime]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), {SQL} FROM devices_reading "
            "WHERE device_id = ANY(%s) AND recorded_at >= %s AND recorded_at < %s",
            [ids, *window],
        )
        cursor.fetchall()


def _numpy(columns: list[Any]) -> None:
    for column in columns:
        column.min(), column.max(), column.sum(), column.mean(), np.median(column)


def _intervals(device: Device, window: tuple[datetime, datetime], caller: tuple[Any, str]) -> None:
    print("\nA summary for each day, all time")
    path = f"devices/{device.pk}/analytics/"
    one = _median_seconds(lambda: _get(caller, path), 11)
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu"):
        seconds = _median_seconds(partial(_get, caller, f"{path}?interval=day&timezone={zone}"), 5)
        sql = _median_seconds(partial(_sql_by_day, device.pk, zone), 1)
        print(
            f"  {zone:18} {seconds * 1e3:10,.1f} ms, {seconds / one:.1f} of one figure; SQL {sql / seconds:.1f} of it"
        )


def _sql_by_day(device_id: int, zone: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc('day', recorded_at, %s), count(*), {SQL} FROM devices_reading "
            "WHERE device_id = %s GROUP BY 1",
            [zone, device_id],
        )
        cursor.fetchall()


def _median_seconds(call: Callable[[], Any], times: int) -> float:
    measured = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        measured.append(time.perf_counter() - started)
    return statistics.median(measured)


def _get(caller: tuple[Any, str], path: str) -> Any:
    (host, port), token = caller
    request = Request(f"http://{host}:{port}/api/v1/{path}", headers={"Authorization": f"Token {token}"})
    with urlopen(request, timeout=600) as response:
        return json.load(response)


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
