"""How fast questions are answered: over HTTP and in process, against PostgreSQL's own aggregates and NumPy in memory.

`BENCH_READINGS` (default 10,000,000) is the length of the history of one device, a reading a second, and of a hundred,
and of two thousand, devices together; `BENCH_DAYS` (default 365; 0 for none) that of the days by zone; `BENCH_LONG`
(default none) that of a longer history, asked in turns with the first. What is compared is asked in one run, and the
figures are medians. Memory is the peak of a process: of `manage.py rollup`, a new one for each history, and of
gunicorn's, at the end.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

import numpy as np
from django.db import connection
from knox.models import AuthToken
from tqdm import tqdm

from analytics.models import Rollup
from analytics.periods import Level
from analytics.summaries import summarize
from bench.service import descendants, gunicorn, peak_memory
from devices import ingest, lookups
from devices.columns import Columns
from devices.models import Device
from devices.reading_ids import microseconds
from users.models import User

READINGS = int(os.environ.get("BENCH_READINGS", "10000000"))
DAYS = int(os.environ.get("BENCH_DAYS", "365"))
LONG = int(os.environ.get("BENCH_LONG", "0"))
RATES = {  # seconds from one reading to the next, and how many readings
    "1 an hour": (3600.0, 250_000),
    "1 a minute": (60.0, 1_000_000),
    "1 a second": (1.0, 1_000_000),
    "100 a second": (0.01, 5_000_000),
    "1,000 a second": (0.001, 8_000_000),
}
START = datetime(1990, 1, 1, tzinfo=UTC)  # so long ago that all is closed
BATCH = 100_000
POOLS = 100, 2_000  # devices; the raw readings of so many are more than an answer holds in memory
NOISE = np.random.default_rng(1)
ROLL_UP = """
import os
from django.core.management import execute_from_command_line
from bench.service import peak_memory
execute_from_command_line(["manage.py", "rollup"])
print(peak_memory(os.getpid()))
"""
Caller = tuple[Any, str]  # an address, and a token
SQL = ", ".join(
    f"min({a}), max({a}), sum({a}), avg({a}), percentile_cont(0.5) WITHIN GROUP (ORDER BY {a})" for a in "xyz"
)


def run() -> None:
    """Print milliseconds and ratios."""
    user = User.objects.create_user("bench")
    device = _history(user, "One", READINGS)
    pools = {number: _pool(number) for number in POOLS}
    print(f"\nReadings with their index, and rollups: {_sizes()}")
    with gunicorn() as address:
        caller = address, AuthToken.objects.create(user)[1]
        day = timedelta(days=1)
        end = START + timedelta(seconds=READINGS)
        for name, window in {
            "all time": (START, end),
            "whole days": (START + day, end - 2 * day),
            "ragged": _ragged(READINGS),
        }.items():
            _compare(f"one device, {name}", f"devices/{device.pk}", [device.pk], window, caller)
        for number, ids in pools.items():
            owner = User.objects.get(devices=ids[0])
            their_caller = address, AuthToken.objects.create(owner)[1]
            window = _ragged(READINGS // number)
            _compare(f"{number:,} devices pooled, ragged", f"users/{owner.pk}", ids, window, their_caller)
        if DAYS:
            _by_day(_history(user, "Days", DAYS * 86_400), caller)
        if LONG:
            _by_length(device, _history(user, "Long", LONG), caller)
        _by_rate(user, caller)
        print(f"\nNo process of gunicorn took more than {max(map(peak_memory, descendants(os.getpid()))):.0f} MiB")


def _ragged(seconds: int) -> tuple[datetime, datetime]:
    """Most of a history, from within an hour to within another."""
    start, stop = min(26_434.5, seconds / 9), max(seconds - 4277.25, seconds * 6 / 7)
    return START + timedelta(seconds=start), START + timedelta(seconds=stop)


def _pool(number: int) -> list[int]:
    """So many devices of a user of their own, by id."""
    owner = User.objects.create_user(f"pool of {number}")
    names = [f"{number} pooled: {place}" for place in range(number)]
    return [device.pk for device in _histories(owner, names, READINGS // number)]


def _history(owner: User, name: str, readings: int, interval: float = 1.0) -> Device:
    """A device with a reading each so many seconds, and its rollups."""
    return _histories(owner, [name], readings, interval)[0]


def _histories(owner: User, names: list[str], readings: int, interval: float = 1.0) -> list[Device]:
    devices = [Device.objects.create(owner=owner, name=name) for name in names]
    started = time.perf_counter()
    for device in tqdm(devices, desc=f"Readings of {names[0]}", disable=None):
        for first in range(0, readings, BATCH):
            ingest.store(_batch(device, np.arange(first, min(first + BATCH, readings)) * interval))
    stored = time.perf_counter()
    peak = _roll_up()
    number = readings * len(devices)
    print(f"\n{names[0]}: stored at {number / (stored - started):,.0f} readings/s, rolled up at", end=" ")
    print(f"{number / (time.perf_counter() - stored):,.0f} readings/s in {peak:.0f} MiB")
    return devices


def _batch(device: Device, seconds: Any) -> Columns:
    """Values that drift by the day, with six decimals."""
    drift = np.sin(2 * np.pi * seconds / 86_400)
    axes = (np.round(NOISE.normal(drift * scale, 1.0), 6) + 0.0 for scale in (1, 2, 0.5))
    times = microseconds(START) + np.round(seconds * 1e6).astype(np.int64)
    return Columns(np.full(len(seconds), device.pk), times, *axes)


def _roll_up() -> float:
    """Build what there is to build in a process of its own; its peak memory in MiB."""
    done = subprocess.run([sys.executable, "-c", ROLL_UP], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def _sizes() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")  # the service looks at them too
        cursor.execute("VACUUM (FULL, ANALYZE) devices_reading")
        cursor.execute("VACUUM (FULL, ANALYZE) analytics_rollup")
        cursor.execute("SELECT pg_total_relation_size('devices_reading'), pg_total_relation_size('analytics_rollup')")
        readings, rollups = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM devices_reading")
        (count,) = cursor.fetchone()
    return f"{readings / count:.1f} and {rollups / count:.1f} bytes a reading, {rollups / readings:.2f}"


def _compare(title: str, path: str, ids: list[int], window: tuple[datetime, datetime], caller: Caller) -> None:
    with connection.cursor() as cursor:
        columns = _columns(cursor, ids, window)
    query = f"start_time={text(window[0])}&end_time={text(window[1])}"
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "HTTP": (lambda: get(caller, f"{path}/analytics/?{query}"), 11),
        "SQL": (lambda: sql(ids, window), 3),
        "NumPy in memory": (lambda: _numpy(columns), 3),
    }
    times = {name: median_seconds(*way) for name, way in ways.items()}
    answer = get(caller, f"{path}/analytics/?{query}")
    assert answer["count"] == len(columns[0])
    assert [answer[axis]["median"] for axis in "xyz"] == [float(np.median(column)) for column in columns]
    print(f"\n{title}: {len(columns[0]):,} readings, {_bytes_read(ids, window):,} bytes read from the database")
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


def sql(ids: list[int], window: tuple[datetime, datetime]) -> None:
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


def _bytes_read(ids: list[int], window: tuple[datetime, datetime]) -> int:
    """What an answer, given in this process, fetches of blobs."""
    fetch = lookups._fetch
    sizes: list[int] = []

    def counted(*statement: Any) -> list[Any]:
        rows = fetch(*statement)
        sizes.extend(len(cell) for row in rows for cell in row if isinstance(cell, bytes | memoryview))
        return rows

    with patch.object(lookups, "_fetch", counted):
        summarize(Device.objects.filter(pk__in=ids), *window)
    return sum(sizes)


def _by_day(device: Device, caller: Caller) -> None:
    print(f"\nA summary for each of {DAYS} days")
    path = f"devices/{device.pk}/analytics/"
    one = median_seconds(lambda: get(caller, path), 11)
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu"):
        seconds = median_seconds(partial(get, caller, f"{path}?interval=day&timezone={zone}"), 5)
        by_sql = median_seconds(partial(_sql_by_day, device.pk, zone), 1)
        ratios = f"{seconds / one:.1f} of one figure; SQL {by_sql / seconds:.1f} of it"
        print(f"  {zone:18} {seconds * 1e3:10,.1f} ms, {ratios}")


def _by_rate(owner: User, caller: Caller) -> None:
    """Devices of every pace: which levels they fill, what these take, and how they answer."""
    for name, (interval, readings) in RATES.items():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0; TRUNCATE devices_reading, analytics_rollup")
        device = _history(owner, name, readings, interval)
        levels = [level.name for level in Level if Rollup.objects.filter(device=device, level=level).exists()]
        print(f"  levels {', '.join(levels)}; {_sizes()}")
        span = (readings - 1) * interval
        window = START + timedelta(seconds=span / 20 + 0.5), START + timedelta(seconds=span * 0.97)
        _compare(f"{name}, ragged", f"devices/{device.pk}", [device.pk], window, caller)


def _by_length(device: Device, longer: Device, caller: Caller) -> None:
    """A long history and a longer one, asked in turns."""
    calls = {}
    for seconds, one in ((READINGS, device), (LONG, longer)):
        start, stop = map(text, _ragged(seconds))
        calls[seconds] = partial(get, caller, f"devices/{one.pk}/analytics/?start_time={start}&end_time={stop}")
    times: dict[int, list[float]] = {seconds: [] for seconds in calls}
    for _ in range(31):
        for seconds, call in calls.items():
            times[seconds].append(median_seconds(call, 1))
    medians = {seconds: statistics.median(measured) for seconds, measured in times.items()}
    print(f"\n{LONG:,} readings take {medians[LONG] / medians[READINGS]:.2f} of the time of {READINGS:,}:", end=" ")
    print(" and ".join(f"{seconds * 1e3:.1f} ms" for seconds in medians.values()))


def _sql_by_day(device_id: int, zone: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc('day', recorded_at, %s), count(*), {SQL} FROM devices_reading "
            "WHERE device_id = %s GROUP BY 1",
            [zone, device_id],
        )
        cursor.fetchall()


def median_seconds(call: Callable[[], Any], times: int) -> float:
    measured = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        measured.append(time.perf_counter() - started)
    return statistics.median(measured)


def get(caller: Caller, path: str) -> Any:
    (host, port), token = caller
    request = Request(f"http://{host}:{port}/api/v1/{path}", headers={"Authorization": f"Token {token}"})
    with urlopen(request, timeout=600) as response:
        return json.load(response)


def text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
