"""How it grows: readings by ten, over one device and many, in a plain table and in monthly partitions.

`BENCH_SIZES` (default 1000000,10000000) are how many readings there are, `BENCH_SPREADS` (1,100,10000) over how many
devices, each with a reading a second, and `BENCH_TABLES` (plain,partitioned) in what. A line for each goes to
`BENCH_SCALE` (data/scale.csv), and a plot beside it; what has its line there is not measured again. 100 million take
some ten minutes for each of the six, and 20 GB.
"""

import csv
import os
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from django.core.management import call_command
from django.db import connection
from knox.models import AuthToken
from tqdm import tqdm

from analytics.building import build
from bench.analytics import Caller, get, median_seconds, sql, text
from bench.ingest import copy_in
from bench.service import gunicorn
from devices import ingest
from devices.columns import Columns
from devices.insertion import packed_for_copy
from devices.models import Device
from devices.reading_ids import microseconds
from users.models import User

SIZES = [int(size) for size in os.environ.get("BENCH_SIZES", "1000000,10000000").split(",")]
SPREADS = [int(spread) for spread in os.environ.get("BENCH_SPREADS", "1,100,10000").split(",")]
TABLES = os.environ.get("BENCH_TABLES", "plain,partitioned").split(",")
FILE = Path(os.environ.get("BENCH_SCALE", "data/scale.csv"))
UNITS = {
    "ingest": "readings/s, in batches of 100,000",
    "ingest_of_copy": "the same, of COPY",
    "rollups": "readings/s rolled up",
    "device_analytics": "ms, a device's ragged window",
    "device_of_sql": "times as fast as SQL",
    "user_analytics": "ms, of all devices together",
    "user_of_sql": "times as fast as SQL",
    "readings_page": "ms, 100 from the middle",
    "devices_page": "ms, 100 by id",
    "reading_bytes": "bytes a reading, with its index",
    "rollup_bytes": "bytes of rollups a reading",
}
PLOTTED = ["ingest", "rollups", "device_analytics", "user_analytics", "readings_page", "reading_bytes"]
START = datetime(datetime.now(UTC).year + 1, 7, 1, tzinfo=UTC)  # past the one partition of what was there before
MONTHS = 60  # of readings in partitions
BATCH = 100_000
ROUNDS = 5  # 1,000,000 readings, half of them by COPY
TIMES = 5
NOISE = np.random.default_rng(1)


def run() -> None:
    """Measure what is missing, one table and spread after another, and draw all that there is."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with gunicorn() as address:
        for table, spread in product(TABLES, SPREADS):
            if {(table, spread, size) for size in SIZES} - {_key(line) for line in _lines()}:
                _grow(table, spread, address)
    _draw(_lines())


def _grow(table: str, spread: int, address: tuple[str, int]) -> None:
    """From nothing to the largest size, measured at each."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE devices_reading, analytics_rollup")
    if table == "partitioned":
        call_command("partition_readings", ahead=MONTHS)
    owner = User.objects.create_user(f"{table} {spread}")
    history = History(Device.objects.bulk_create(Device(owner=owner, name=f"{n:05}") for n in range(spread)))
    caller = address, AuthToken.objects.create(owner)[1]
    for size in SIZES:
        history.grow(size - 2 * ROUNDS * BATCH)
        measured = history.rates() | history.roll_up()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        _keep(
            {"table": table, "devices": spread, "readings": size, **measured, **_ask(history, caller), **_bytes(size)}
        )


class History:
    """Readings of all devices, one a second of each, from `START` on."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices, self.ids = devices, np.array([device.pk for device in devices])
        self.count = self.rolled_up = 0

    @property
    def stop(self) -> datetime:
        return START + timedelta(seconds=-(-self.count // len(self.ids)))

    def grow(self, size: int) -> None:
        with tqdm(total=size, initial=self.count, unit=" readings", unit_scale=True, disable=None) as progress:
            while self.count < size:
                copy_in(packed_for_copy(self._batch()))
                progress.update(BATCH)

    def rates(self) -> dict[str, float]:
        """How fast batches come in, in turns with COPY of what is packed already."""
        stored, copied = [], []
        for _ in range(ROUNDS):
            packed, batch = packed_for_copy(self._batch()), self._batch()
            copied.append(median_seconds(partial(copy_in, packed), 1))
            stored.append(median_seconds(partial(ingest.store, batch), 1))
        ratio = statistics.median(copy / store for copy, store in zip(copied, stored, strict=True))
        return {"ingest": BATCH / statistics.median(stored), "ingest_of_copy": ratio}

    def roll_up(self) -> dict[str, float]:
        """What has ended, as it is kept up beside a service."""
        started = time.perf_counter()
        for device in tqdm(self.devices, desc="Rolling up", disable=None):
            sum(build(device, self.stop))
        new, self.rolled_up = self.count - self.rolled_up, self.count
        return {"rollups": new / (time.perf_counter() - started)}

    def _batch(self) -> Columns:
        """The next readings, all devices' of one second after the other, as the service sorts them."""
        numbers = np.arange(self.count, self.count + BATCH)
        self.count += BATCH
        seconds = numbers // len(self.ids)
        drift = np.sin(2 * np.pi * seconds / 86_400)
        axes = (np.round(NOISE.normal(drift * scale, 1.0), 6) + 0.0 for scale in (1, 2, 0.5))
        times = microseconds(START) + seconds * 1_000_000
        return Columns(self.ids[numbers % len(self.ids)], times, *axes).sorted_set()


def _ask(history: History, caller: Caller) -> dict[str, float]:
    """Pages and analytics over HTTP, and what PostgreSQL's own aggregates take for the same windows."""
    span = history.stop - START
    window = START + span / 20 + timedelta(seconds=0.5), START + span * 0.97
    ragged = f"start_time={text(window[0])}&end_time={text(window[1])}"
    one, every = history.ids[:1].tolist(), history.ids.tolist()
    paths = {
        "device_analytics": f"devices/{one[0]}/analytics/?{ragged}",
        "user_analytics": f"users/{history.devices[0].owner_id}/analytics/?{ragged}",
        "readings_page": f"devices/{one[0]}/readings/?page_size=100&start_time={text(START + span / 2)}",
        "devices_page": "devices/?page_size=100",
    }
    asked = {name: median_seconds(partial(get, caller, path), TIMES) for name, path in paths.items()}
    by_sql = {"user": median_seconds(partial(sql, every, window), 1)}
    by_sql["device"] = median_seconds(partial(sql, one, window), 1) if one != every else by_sql["user"]
    ratios = {f"{name}_of_sql": seconds / asked[f"{name}_analytics"] for name, seconds in by_sql.items()}
    return {name: seconds * 1e3 for name, seconds in asked.items()} | ratios


def _bytes(count: int) -> dict[str, float]:
    """What readings, of which there are so many, and rollups take, with all partitions and indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(name::regclass)), "
            "pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name",
            [["devices_reading", "analytics_rollup"]],
        )
        sizes = dict(cursor.fetchall())
    return {
        "reading_bytes": float(sizes["devices_reading"]) / count,
        "rollup_bytes": float(sizes["analytics_rollup"]) / count,
    }


def _key(line: dict[str, Any]) -> tuple[str, int, int]:
    return line["table"], int(line["devices"]), int(line["readings"])


def _lines() -> list[dict[str, Any]]:
    if not FILE.exists():
        return []
    with FILE.open() as lines:
        return sorted(csv.DictReader(lines), key=_key)


def _keep(line: dict[str, Any]) -> None:
    print(
        ", ".join(
            f"{name}: {value}" if isinstance(value, str) else f"{name}: {value:,.4g}" for name, value in line.items()
        )
    )
    is_new = not FILE.exists()
    with FILE.open("a") as lines:
        writer = csv.DictWriter(lines, ["table", "devices", "readings", *UNITS])
        if is_new:
            writer.writeheader()
        writer.writerow({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in line.items()})


def _draw(lines: Sequence[dict[str, Any]]) -> None:
    """A panel for each figure, a line for each table and number of devices."""
    figure, panels = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
    for panel, name in zip(panels.flat, PLOTTED, strict=True):
        for (table, spread), style in _styles(lines).items():
            mine = [line for line in lines if _key(line)[:2] == (table, spread)]
            label = f"{spread:,} device{'' if spread == 1 else 's'}, {table}"
            panel.loglog(
                [int(line["readings"]) for line in mine], [float(line[name]) for line in mine], label=label, **style
            )
        panel.set(title=f"{name.replace('_', ' ')}: {UNITS[name]}", xlabel="readings")
        panel.grid(alpha=0.3)
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(FILE.with_suffix(".svg"), metadata={"Date": None})


def _styles(lines: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """A colour for each number of devices; partitions are dashed."""
    spreads = sorted({_key(line)[1] for line in lines})
    series = sorted({_key(line)[:2] for line in lines})
    return {
        (table, spread): {
            "color": f"C{spreads.index(spread)}", "marker": "o", "linestyle": "--" if table == "partitioned" else "-",
        }
        for table, spread in series
    }  # fmt: skip
