"""`python -m tests.partitioning`: turn ten million readings into partitions under the callers of a service.

gunicorn and a PostgreSQL of their own, with durable commits. Sensors send single readings by key, a gateway batches,
and readers ask all the while: before, while `manage.py partition_readings` runs, and after. Each answer has to be 2xx,
or 503 with Retry-After, after which a writer sends the same again; in the end every reading that was acknowledged has
to be there, once, and all that were there before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import psycopg

from tests.outages import Answer, Door, stored_by, written_line
from tests.postgresql import Cluster
from tests.service import ROOT, Account, Service, manage, serving

DEVICES = 10  # of the readings that are there before
SENSORS, ROWS = 3, 200
PAUSE = 0.02  # seconds between two requests of a caller
HISTORY = """
INSERT INTO devices_reading (device_id, recorded_at, x, y, z)
SELECT %(device)s, now() - interval '1 day' - n * interval '1 second',
       round(random()::numeric, 4), round(random()::numeric, 4), round(random()::numeric, 4)
FROM generate_series(%(number)s, 1, -1) AS n
"""


@dataclass(frozen=True)
class Asked:
    """A request that was answered; `begin` in seconds of the monotonic clock."""

    what: str
    begin: float
    seconds: float
    status: int


@dataclass
class Caller:
    """One who asks for the same kind of thing again and again."""

    service: Service
    what: str
    next: Callable[[int], tuple[Door, list[dict[str, Any]]]]
    asked: list[Asked] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    def call(self, end: Event) -> None:
        number = 0
        while not end.is_set():
            door, rows = self.next(number)
            while self._ask(door).status == 503:
                time.sleep(0.1)
            self.acknowledged += map(written_line, rows)
            number += 1
            time.sleep(PAUSE)

    def _ask(self, door: Door) -> Answer:
        begin = time.monotonic()
        answer = door.ask(self.service)
        self.asked.append(Asked(self.what, begin, answer.seconds, answer.status))
        assert answer.status in (200, 201) or (answer.status == 503 and int(answer.headers["retry-after"]) > 0), answer
        return answer


@dataclass(frozen=True)
class Report:
    """What happened."""

    readings: int
    acknowledged: int
    asked: list[Asked]
    begin: float
    end: float
    output: str

    def summary(self) -> str:
        head = "| what | when | answered | 503 | median | 99 % | longest (ms) |\n|---|---|---|---|---|---|---|"
        lines = [line for what in sorted({one.what for one in self.asked}) for line in self._lines(what)]
        end = (
            f"{self.readings:,} readings turned over in {self.end - self.begin:.1f} s. {self.acknowledged:,} readings "
            "acknowledged meanwhile, before and after: each there once, and no others."
        )
        return "\n".join([self.output, head, *lines, "", end])

    def _lines(self, what: str) -> Iterator[str]:
        for when, asked in self.phases(what).items():
            times = sorted(one.seconds * 1000 for one in asked if one.status != 503)
            refused = [one.seconds * 1000 for one in asked if one.status == 503]
            high = (
                statistics.quantiles(times, n=100, method="inclusive")[98]
                if len(times) > 1
                else max(times, default=0.0)
            )
            longest = max([*times, *refused], default=0.0)
            middle = statistics.median(times) if times else 0.0
            yield f"| {what} | {when} | {len(times)} | {len(refused)} | {middle:.0f} | {high:.0f} | {longest:.0f} |"

    def phases(self, what: str) -> dict[str, list[Asked]]:
        """Those that were under way while the table was turned over count as during it."""
        mine = [one for one in self.asked if one.what == what]
        before = [one for one in mine if one.begin + one.seconds < self.begin]
        after = [one for one in mine if one.begin >= self.end]
        during = [one for one in mine if one not in before and one not in after]
        return {"before": before, "during": during, "after": after}


def run(readings: int, seconds: float) -> Report:
    """AssertionError for a reading that was lost, stored twice or made up, and for a wrong refusal."""
    cluster = Cluster(durable=True)
    try:
        with serving(DATABASE_URL=cluster.url, LOG_LEVEL="ERROR") as service:
            old = service.create_account()
            devices = filled(service, cluster, old, readings)
            accounts = [service.create_account() for _ in range(SENSORS + 1)]
            writers = [writer(service, account, 1) for account in accounts[1:]] + [writer(service, accounts[0], ROWS)]
            with calling(writers + readers(service, old, devices)) as callers:
                time.sleep(seconds)
                begin = time.monotonic()
                output = manage(service.environment, "partition_readings")
                end = time.monotonic()
                time.sleep(seconds)
            check(service, cluster, writers, [*accounts[1:], accounts[0]], readings // DEVICES * DEVICES)
    finally:
        cluster.stop()
    asked = [one for caller in callers for one in caller.asked]
    return Report(readings, sum(len(one.acknowledged) for one in writers), asked, begin, end, output)


def filled(service: Service, cluster: Cluster, owner: Account, readings: int) -> list[int]:
    """The devices, with as many readings and their rollups."""
    create = (
        "from devices.models import Device; owner = Device.objects.get(pk={}).owner; "
        "print(*(Device.objects.create(owner=owner, name=str(n)).pk for n in range({})))"
    )
    shell = ["shell", "--verbosity", "0", "-c", create.format(owner.device_id, DEVICES)]
    devices = [int(pk) for pk in manage(service.environment, *shell).split()]
    with psycopg.connect(cluster.url, autocommit=True) as administrator:
        for device in devices:
            administrator.execute(HISTORY, {"device": device, "number": readings // DEVICES})
        administrator.execute("VACUUM ANALYZE devices_reading")
    manage(service.environment, "rollup", "--verbosity", "0")
    return devices


def writer(service: Service, account: Account, rows: int) -> Caller:
    who = f"Device {account.key}" if rows == 1 else f"Token {account.token}"
    headers = {"Authorization": who, "Content-Type": "application/json"}
    path = f"/api/v1/devices/{account.device_id}/readings/"

    def next(number: int) -> tuple[Door, list[dict[str, Any]]]:
        now = datetime.now(UTC)
        sent = [
            {"recorded_at": (now + place * timedelta.resolution).isoformat(), "x": float(number), "y": 0.5, "z": -1.0}
            for place in range(rows)
        ]
        return Door("POST", path, headers, json.dumps(sent[0] if rows == 1 else sent).encode()), sent

    return Caller(service, "a reading" if rows == 1 else f"a batch of {rows}", next)


def readers(service: Service, owner: Account, devices: list[int]) -> list[Caller]:
    start = (datetime.now(UTC) - timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    paths = {
        "the newest reading": "/api/v1/devices/{}/latest/",
        "a page of readings": f"/api/v1/devices/{{}}/readings/?start_time={start}",
        "figures of 5 days": f"/api/v1/devices/{{}}/analytics/?start_time={start}",
    }
    headers = {"Authorization": f"Token {owner.token}"}

    def reader(what: str, path: str) -> Caller:
        return Caller(service, what, lambda number: (Door("GET", path.format(devices[number % DEVICES]), headers), []))

    return [reader(what, path) for what, path in paths.items()]


@contextmanager
def calling(callers: list[Caller]) -> Iterator[list[Caller]]:
    end = Event()
    with ThreadPoolExecutor(len(callers)) as executor:
        futures = [executor.submit(caller.call, end) for caller in callers]
        try:
            yield callers
        finally:
            end.set()
    for future in futures:
        future.result()  # one that has failed says why


def check(service: Service, cluster: Cluster, writers: list[Caller], accounts: list[Account], history: int) -> None:
    for caller, account in zip(writers, accounts, strict=True):
        assert stored_by(service, account) == sorted(caller.acknowledged), caller.what
    with psycopg.connect(cluster.url) as administrator:
        row = administrator.execute("SELECT count(*) FROM devices_reading").fetchone()
        names = administrator.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'devices_reading'::regclass")
        assert (names.fetchone() or (0,))[0] >= 3, "it is no partitioned table"
    assert row == (history + sum(len(caller.acknowledged) for caller in writers),)
    command = [sys.executable, "manage.py", "verify_rollups", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=service.environment, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=20, help="before and after the command")
    options = parser.parse_args()
    os.environ["DATABASE_URL"] = ""  # it makes its own
    print(run(options.readings, options.seconds).summary())


if __name__ == "__main__":
    main()
