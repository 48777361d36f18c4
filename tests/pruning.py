"""`python -m tests.pruning`: delete half of all readings while they are written and read, and kill what deletes them.

gunicorn and a durable PostgreSQL of its own, with a history of a reading a second of each device, rolled up. Callers
write at a bounded rate, singly and in batches, and read analytics and pages; first as usual, then while
`prune_readings` runs, is killed with -9 several times, and started again. Each answer is held against NumPy: what is
left of the history has to be without a gap, and every figure that of what is left. In the end nothing is left that is
too old, nothing is missing, and the rollups agree.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from threading import Event, Lock
from typing import Any

import numpy as np
import psycopg

from tests.outages import Door
from tests.postgresql import Cluster
from tests.service import ROOT, Service, manage, serving

CREATE_DEVICES = """
import json
from knox.models import AuthToken
from devices.models import Device, DeviceKey
from users.models import User
user = User.objects.create_user("owner")
devices = [Device.objects.create(owner=user, name=f"Pump {{number}}") for number in range({devices})]
keys = [[device.pk, DeviceKey.issue(device)[1]] for device in devices]
print(json.dumps([AuthToken.objects.create(user)[1], keys]))
"""
# The history of a device, as `Known` reckons it.
FILL = """
INSERT INTO devices_reading (device_id, recorded_at, x, y, z)
SELECT %(device)s, %(start)s::timestamptz + n * interval '1 s' + (n >= %(half)s)::int * interval '1 day',
       (n * 7919 %% 100003)::float8 / 1000, (0 - n %% 1000)::float8 / 8, (n %% 17)::float8
FROM generate_series(0::bigint, %(readings)s - 1) AS n
"""
COUNTS = """
SELECT count(*) FILTER (WHERE recorded_at < %(bound)s), count(*) FROM devices_reading WHERE device_id = %(device)s
"""
GAP = timedelta(days=1)  # at the bound: nothing depends on whether a midnight passes during the run
BATCH = 500
PAGE = 100
PATIENCE = 3600  # seconds for a run of the command


@dataclass(frozen=True)
class History:
    """Readings of each device, a second apart; the second half of them is to be kept."""

    readings: int

    @property
    def half(self) -> int:
        return self.readings // 2

    @property
    def days(self) -> int:
        """How many are kept."""
        return (self.half + 7200) // 86_400 + 2

    def bound(self) -> datetime:
        """Before when nothing is kept."""
        now = datetime.now(UTC)
        return (now - timedelta(days=self.days)).replace(hour=0, minute=0, second=0, microsecond=0)


class Known:
    """What is in the history of a device, and what each answer about it has to be."""

    def __init__(self, history: History) -> None:
        self.history, self.half = history, history.half
        self.start = history.bound() - timedelta(seconds=self.half)
        self.end = self.time(history.readings - 1) + timedelta(seconds=1)
        n = np.arange(history.readings)
        self.axes = {"x": (n * 7919 % 100_003) / 1000, "y": -(n % 1000) / 8, "z": (n % 17).astype(float)}

    def time(self, place: int) -> datetime:
        return self.start + timedelta(seconds=place) + (GAP if place >= self.half else timedelta(0))

    def place(self, time: datetime) -> int:
        """Of the first reading that is not before a time."""
        seconds = -((self.start - time) // timedelta(seconds=1))
        return seconds if seconds < self.half else max(self.half, seconds - 86_400)

    def check_answer(self, first: int, stop: int, answer: dict[str, Any]) -> None:
        """That it is exactly of the readings from the first that is left to the end of the window."""
        assert answer["first_at"] is not None
        left = self.place(datetime.fromisoformat(answer["first_at"]))
        assert first <= left <= max(first, self.half), (first, left)
        assert answer["count"] == stop - left, (answer["count"], stop - left)
        for axis, values in self.axes.items():
            there = values[left:stop]
            figures = [answer[axis][name] for name in ("min", "max", "median")]
            assert figures == [there.min(), there.max(), float(np.median(there))], (axis, left, stop, answer)
            assert abs(answer[axis]["sum"] - there.sum()) <= 1e-12 * np.abs(there).sum()

    def check_page(self, page: dict[str, Any]) -> None:
        """That it begins with the first that is left, without a gap after it."""
        left = self.place(datetime.fromisoformat(page["results"][0]["recorded_at"]))
        rows = enumerate(page["results"], left)
        assert left <= self.half
        assert all(row["x"] == self.axes["x"][place] for place, row in rows), page["results"][:3]


@dataclass
class Report:
    """What was measured and seen."""

    seed: int
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    checked: int = 0
    written: int = 0
    kills: int = 0
    pruning: float = 0
    deleted: int = 0
    rollups: int = 0

    def ratio(self, kind: str) -> float:
        usual, meanwhile = (self.seconds[kind][phase] for phase in ("usual", "pruning"))
        return float(np.percentile(meanwhile, 99) / np.percentile(usual, 99))

    def table(self) -> str:
        """Of each kind; `late` are those that took more than twice the usual 99th percentile."""
        head = (
            "| milliseconds | usual: number | p50 | p99 | slowest | late "
            f"| pruning: number | p50 | p99 | slowest | late | p99 ratio |\n{'|---' * 12}|"
        )
        rows = []
        for kind, phases in self.seconds.items():
            late = 2 * float(np.percentile(phases["usual"], 99))
            usual, pruning = (_figures(phases[phase], late) for phase in ("usual", "pruning"))
            rows.append(f"| {kind} | {usual} | {pruning} | {self.ratio(kind):.2f} |")
        return "\n".join([head, *rows])

    def summary(self) -> str:
        return (
            f"Seed {self.seed}: {self.deleted:,} readings deleted in {self.pruning:.0f} s, with {self.kills} kills; "
            f"{self.written:,} written in all. {self.checked:,} answers, each exactly that of what was left. "
            f"{self.rollups:,} rollups, all as the readings are."
        )


def _figures(seconds: list[float], late: float) -> str:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    number = sum(second > late for second in seconds)
    return f"{len(seconds)} | {p50:.0f} | {p99:.0f} | {max(seconds) * 1e3:.0f} | {number}"


class Load:
    """Callers of several kinds, each at a rate of its own, until the end."""

    def __init__(self, service: Service, known: Known, token: str, keys: list[tuple[int, str]], seed: int) -> None:
        self.service, self.known, self.keys, self.seed = service, known, keys, seed
        self.token = {"Authorization": f"Token {token}"}
        self.phase, self.end, self.lock = "", Event(), Lock()
        self.report = Report(seed)
        self.written: dict[int, int] = defaultdict(int)
        self.numbers = count()
        self.answers: list[Callable[[], None]] = []

    def kinds(self) -> dict[str, tuple[float, Callable[[random.Random], Callable[[], Any]]]]:
        """What there is, how often a second, and what asks and then checks it."""
        return {
            "a single reading, by key": (20, self.write_one),
            f"a batch of {BATCH}": (1, self.write_batch),
            "analytics of the whole history": (4, self.ask_all),
            "analytics from within what goes": (4, self.ask_ragged),
            "analytics of a window that stays": (4, self.ask_kept),
            "the oldest page of readings": (4, self.ask_page),
        }

    def run(self, executor: ThreadPoolExecutor) -> list[Future[None]]:
        return [executor.submit(self._go_on, kind, *how) for kind, how in self.kinds().items()]

    def _go_on(self, kind: str, rate: float, ask: Callable[[random.Random], Callable[[], Any]]) -> None:
        chance = random.Random(f"{self.seed} {kind}")
        due = time.monotonic()
        while not self.end.is_set():
            due = max(due + chance.expovariate(rate), time.monotonic() - 1)
            if self.end.wait(due - time.monotonic()):
                return
            phase, send = self.phase, ask(chance)
            begin = time.monotonic()
            send()
            with self.lock:
                if phase and phase == self.phase:
                    self.report.seconds[kind][phase].append(time.monotonic() - begin)

    def _new_rows(self, number: int) -> list[dict[str, Any]]:
        """Of now, no two the same."""
        now = datetime.now(UTC).isoformat()
        return [{"recorded_at": now, "x": next(self.numbers), "y": 2.0, "z": 3.0} for _ in range(number)]

    def write_one(self, chance: random.Random) -> Callable[[], None]:
        device_id, key = chance.choice(self.keys)
        body = json.dumps(self._new_rows(1)[0]).encode()
        return partial(self._write, device_id, {"Authorization": f"Device {key}"}, body, 1)

    def write_batch(self, chance: random.Random) -> Callable[[], None]:
        device_id, _ = chance.choice(self.keys)
        return partial(self._write, device_id, self.token, json.dumps(self._new_rows(BATCH)).encode(), BATCH)

    def _write(self, device_id: int, who: dict[str, str], body: bytes, number: int) -> None:
        headers = who | {"Content-Type": "application/json"}
        answer = Door("POST", f"/api/v1/devices/{device_id}/readings/", headers, body).ask(self.service)
        assert answer.status in (200, 201), answer
        with self.lock:
            self.written[device_id] += number

    def ask_all(self, chance: random.Random) -> Callable[[], None]:
        return self._analytics(chance, 0, self.known.history.readings, f"end_time={_text(self.known.end)}")

    def ask_ragged(self, chance: random.Random) -> Callable[[], None]:
        return self._window(chance, chance.randrange(self.known.half))

    def ask_kept(self, chance: random.Random) -> Callable[[], None]:
        return self._window(chance, chance.randrange(self.known.half, self.known.history.readings - 1000))

    def _window(self, chance: random.Random, first: int) -> Callable[[], None]:
        stop = chance.randrange(max(first, self.known.half) + 500, self.known.history.readings)
        window = f"start_time={_text(self.known.time(first))}&end_time={_text(self.known.time(stop))}"
        return self._analytics(chance, first, stop, window)

    def _analytics(self, chance: random.Random, first: int, stop: int, query: str) -> Callable[[], None]:
        path = f"/api/v1/devices/{chance.choice(self.keys)[0]}/analytics/?{query}"
        return lambda: self._note(partial(self.known.check_answer, first, stop), self._read(path))

    def ask_page(self, chance: random.Random) -> Callable[[], None]:
        path = f"/api/v1/devices/{chance.choice(self.keys)[0]}/readings/?page_size={PAGE}"
        return lambda: self._note(self.known.check_page, self._read(path))

    def _read(self, path: str) -> bytes:
        answer = Door("GET", path, self.token).ask(self.service)
        assert answer.status == 200, answer
        return answer.body

    def _note(self, check: Callable[[dict[str, Any]], None], body: bytes) -> None:
        """Looked at in the end: it would take the service's time."""
        with self.lock:
            self.answers.append(lambda: check(json.loads(body)))

    def refused(self, moment: datetime) -> None:
        """A reading of that moment is."""
        device_id, key = self.keys[0]
        headers = {"Authorization": f"Device {key}", "Content-Type": "application/json"}
        body = json.dumps(self._new_rows(1)[0] | {"recorded_at": moment.isoformat()}).encode()
        answer = Door("POST", f"/api/v1/devices/{device_id}/readings/", headers, body).ask(self.service)
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "before_retention"), answer

    def check(self) -> None:
        for check in self.answers:
            check()
        self.report.checked = len(self.answers)
        self.report.written = sum(self.written.values())


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class Stack:
    """A service with a history, a builder of rollups beside it, and what prunes it."""

    def __init__(self, cluster: Cluster, service: Service, history: History, devices: int, step: int) -> None:
        self.cluster, self.service, self.history = cluster, service, history
        self.known = Known(history)
        self.command = ["prune_readings", "--step", str(step)]
        created = self._manage("shell", "--verbosity", "0", "-c", CREATE_DEVICES.format(devices=devices))
        token, keys = json.loads(created)
        self.token, self.keys = token, [(int(device_id), str(key)) for device_id, key in keys]
        for device_id, _ in self.keys:
            values = {"device": device_id, "start": self.known.start, "half": history.half}
            self._query(FILL, values | {"readings": history.readings})
        _say("filled")
        self._manage("rollup", "--verbosity", "0")
        self._query("VACUUM ANALYZE")

    def _manage(self, *arguments: str) -> str:
        return manage(self.service.environment, *arguments)

    def _query(self, statement: str, values: dict[str, Any] | None = None) -> list[Any]:
        with psycopg.connect(self.cluster.url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A command of manage.py in a process of its own, killed in the end."""
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.service.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def keep(self, days: int) -> None:
        self._query("UPDATE devices_device SET retention_days = %(days)s", {"days": days})

    def kill_a_pruner(self, seconds: float) -> None:
        """Begin to prune, and kill it so long after it has deleted something."""
        before = self._oldest()
        with self.started(*self.command) as pruner:
            while self._oldest() == before:
                assert pruner.poll() is None, "it ended before it was killed"
                time.sleep(0.1)  # no oftener: each look passes over all that is deleted and not yet vacuumed
            time.sleep(seconds)
            assert pruner.poll() is None, "it ended before it was killed"

    def prune(self) -> None:
        with self.started(*self.command) as pruner:
            assert pruner.wait(timeout=PATIENCE) == 0

    def _oldest(self) -> list[Any]:
        return self._query(
            "SELECT id, (SELECT min(recorded_at) FROM devices_reading WHERE device_id = device.id) "
            "FROM devices_device device ORDER BY id"
        )

    def check(self, load: Load) -> None:
        """Readings, rollups, answers, and that nothing old comes in again."""
        load.check()
        for device_id, _ in self.keys:
            (counts,) = self._query(COUNTS, {"device": device_id, "bound": self.history.bound()})
            assert counts == (0, self.history.readings - self.history.half + load.written[device_id]), counts
        load.report.deleted = len(self.keys) * self.history.half
        self._manage("verify_rollups", "--verbosity", "0")
        ((load.report.rollups,),) = self._query("SELECT count(*) FROM analytics_rollup WHERE status = 3")
        load.refused(self.known.time(self.known.half - 1))


def run(readings: int, devices: int, *, seconds: float, kills: int, step: int, seed: int) -> Report:
    """AssertionError for an answer that is not that of what was left, or for what is there too much or too little."""
    history, chance = History(readings // devices), random.Random(seed)
    cluster = Cluster(durable=True)
    try:
        with serving(DATABASE_URL=cluster.url, LOG_LEVEL="ERROR") as service:
            stack = Stack(cluster, service, history, devices, step)
            load = Load(service, stack.known, stack.token, stack.keys, seed)
            with stack.started("rollup", "--every", "5"), ThreadPoolExecutor(len(load.kinds())) as executor:
                callers = load.run(executor)
                try:
                    time.sleep(seconds / 4)
                    load.phase = _say("usual")
                    time.sleep(seconds)
                    stack.keep(history.days)
                    load.phase, begin = _say("pruning"), time.monotonic()
                    for _ in range(kills):
                        _say("a kill")
                        stack.kill_a_pruner(chance.uniform(0, readings / 5_000_000))
                    stack.prune()
                    load.report.kills, load.report.pruning = kills, time.monotonic() - begin
                finally:
                    load.end.set()
                for caller in callers:
                    caller.result()
            _say(f"over, to be checked\n{load.report.table()}")
            stack.check(load)
    finally:
        cluster.stop()
    return load.report


def _say(what: str) -> str:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", flush=True)
    return what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=20_000_000)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120, help="how long it is measured without pruning")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--step", type=int, default=2_000, help="readings that one transaction deletes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = vars(parser.parse_args())
    os.environ["DATABASE_URL"] = ""  # it makes its own
    print(run(**options).summary())


if __name__ == "__main__":
    main()
