"""How fast readings come in: batches against PostgreSQL's own COPY, single readings against a bare view.

Everything of a comparison runs on one database, in turns, so that what else the machine does falls on both alike;
the figures are medians over the rounds.
"""

import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from django.db import connection

from bench.load import closed_loop, post
from bench.service import gunicorn
from devices import ingest
from devices.columns import Columns
from devices.insertion import packed_for_copy
from devices.models import Device, DeviceKey, DeviceState
from users.models import User

ROUNDS = 15
BATCH = 10_000
IN_A_ROW = 5  # batches without a pause, for the server's own pace
SINGLES = 3_000
CONNECTIONS = 8
START = datetime(2026, 1, 1, tzinfo=UTC)

_seconds = count()
_noise = random.Random(1)


def run() -> None:
    """Print rows per second and ratios."""
    device = Device.objects.create(owner=User.objects.create_user("bench"), name="Bench")
    key = f"Device {DeviceKey.issue(device)[1]}"
    with gunicorn() as address:
        _batches(device.pk, address, key)
        _beside_rollups(address)
        _singles(device.pk, address, key)


def _new_readings(number: int) -> list[dict[str, Any]]:
    """Readings that were never there before, a second apart, as a device would have them."""
    return [
        {
            "recorded_at": f"{START + timedelta(seconds=next(_seconds)):%Y-%m-%dT%H:%M:%S}.125000Z",
            "x": round(_noise.gauss(0, 1), 6),
            "y": round(_noise.gauss(0, 1), 6),
            "z": round(_noise.gauss(1, 1), 6),
        }
        for _ in range(number)
    ]


def _batches(device_id: int, address: tuple[str, int], key: str) -> None:
    path = f"/api/v1/devices/{device_id}/readings/"
    ways: dict[str, Callable[[], float]] = {
        "COPY of packed rows (reference)": lambda: _raw_copy(device_id),
        "store(), in this process": lambda: _store(device_id),
    }
    for size in (100, 1_000, BATCH):
        for name in FORMATS:
            ways[f"HTTP, {name}, {size:,} rows"] = partial(_http, address, path, key, name, size)
    again = _json(_new_readings(BATCH))
    request = post(path, again, "application/json", key)
    closed_loop(address, [request], 1)
    ways[f"HTTP, JSON, {BATCH:,} rows again"] = lambda: IN_A_ROW * BATCH / closed_loop(address, [request] * IN_A_ROW, 1)
    _report("Batches, one client: rows a second", ways, "rows/s")


def _beside_rollups(address: tuple[str, int]) -> None:
    """What a history that is rolled up, up to the batches, costs their writer."""
    plain, rolled_up = (Device.objects.create(owner=User.objects.get(), name=name) for name in ("Plain", "Rolled up"))
    DeviceState.objects.create(device=rolled_up, closed_until=START)
    # Rows at the very end of an index come in faster: so neither of the two is there.
    ingest.store(_columns(Device.objects.create(owner=plain.owner, name="Last").pk, _new_readings(1)))
    ways: dict[str, Callable[[], float]] = {
        name: partial(_http, address, path, f"Device {DeviceKey.issue(device)[1]}", "JSON", BATCH)
        for name, device in (("no rollups (reference)", plain), ("history rolled up", rolled_up))
        for path in [f"/api/v1/devices/{device.pk}/readings/"]
    }
    _report(f"What rollups cost a writer, JSON, {BATCH:,} rows", ways, "rows/s")


def _singles(device_id: int, address: tuple[str, int], key: str) -> None:
    def rate(path: str) -> float:
        bodies = [json.dumps(reading).encode() for reading in _new_readings(SINGLES)]
        requests = [post(path, body, "application/json", key) for body in bodies]
        return SINGLES / closed_loop(address, requests, CONNECTIONS)

    ways = {
        "bare view, one INSERT (reference)": lambda: rate("/bare/"),
        "the endpoint, with a device key": lambda: rate(f"/api/v1/devices/{device_id}/readings/"),
    }
    _report(f"Single readings over {CONNECTIONS} connections: requests a second", ways, "requests/s")


def _raw_copy(device_id: int) -> float:
    """COPYs of rows that are packed already, each committed, one after the other."""
    packed = [packed_for_copy(_columns(device_id, _new_readings(BATCH))) for _ in range(IN_A_ROW)]
    started = time.perf_counter()
    for rows in packed:
        copy_in(rows)
    return IN_A_ROW * BATCH / (time.perf_counter() - started)


def copy_in(packed: bytearray) -> None:
    """PostgreSQL's own COPY of rows that are packed already, committed."""
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY devices_reading (device_id, recorded_at, x, y, z) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.write(packed)


def _store(device_id: int) -> float:
    batches = [_columns(device_id, _new_readings(BATCH)) for _ in range(IN_A_ROW)]
    started = time.perf_counter()
    assert sum(map(ingest.store, batches)) == IN_A_ROW * BATCH
    return IN_A_ROW * BATCH / (time.perf_counter() - started)


def _columns(device_id: int, readings: list[dict[str, Any]]) -> Columns:
    times, *axes = ([reading[name] for reading in readings] for name in ("recorded_at", "x", "y", "z"))
    return Columns.of_values(device_id, times, *axes)


def _http(address: tuple[str, int], path: str, key: str, name: str, size: int) -> float:
    encode, content_type = FORMATS[name]
    bodies = [encode(_new_readings(size)) for _ in range(max(IN_A_ROW, 2_000 // size))]
    seconds = closed_loop(address, [post(path, body, content_type, key) for body in bodies], 1)
    return len(bodies) * size / seconds


def _json(readings: list[dict[str, Any]]) -> bytes:
    return json.dumps(readings).encode()


def _ndjson(readings: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(reading).encode() + b"\n" for reading in readings)


def _csv(readings: list[dict[str, Any]]) -> bytes:
    lines = (f"{reading['recorded_at']},{reading['x']},{reading['y']},{reading['z']}\n" for reading in readings)
    return ("recorded_at,x,y,z\n" + "".join(lines)).encode()


FORMATS: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], str]] = {
    "JSON": (_json, "application/json"),
    "NDJSON": (_ndjson, "application/x-ndjson"),
    "CSV": (_csv, "text/csv"),
}


def _report(title: str, ways: dict[str, Callable[[], float]], unit: str) -> None:
    """Run each way once a round, in a new order each, and print the medians; the first way is the reference.

    In one order, what a way leaves behind for the database to flush would always fall on the same next one.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(ROUNDS + 1):
        for name in _noise.sample(list(ways), len(ways)):
            rate = ways[name]()
            if round_number:  # the first warms up
                rates[name].append(rate)
    reference = next(iter(rates.values()))
    print(f"\n{title}, median of {ROUNDS} rounds")
    for name, measured in rates.items():
        ratio = statistics.median(one / other for one, other in zip(measured, reference, strict=True))
        print(f"  {name:40} {statistics.median(measured):12,.0f} {unit}   {ratio:5.2f}")
