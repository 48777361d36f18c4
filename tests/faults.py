"""`python -m tests.faults`: kill what there is while readings come in, and compare what was acknowledged with what is.

Writers keep a journal of what was acknowledged, against gunicorn and a PostgreSQL of their own; at points drawn at
random something of it is killed, restarted or filled up. A refusal has to be 503 with Retry-After, or the connection
was lost: then the same is sent again. In the end the readings have to be those of the journals, each once, and the
rollups those of the readings.
"""

import argparse
import http.client
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import psycopg

from tests.bodies import fields
from tests.outages import CannotMount, Door, filled, move_tables, small_disk, stored_by, written_line
from tests.postgresql import Cluster
from tests.service import ROOT, Account, Service, children_of, free_port, manage, serving

PATIENCE = 60  # seconds, until what was hit serves again
WRITERS, ROWS = 4, 20
FULL_DISK = "PostgreSQL's disk, full for a second"


@dataclass
class Report:
    """What happened."""

    seed: int
    points: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    rollups: int = 0
    not_tested: list[str] = field(default_factory=list)

    def note(self, what: str, seconds: float) -> None:
        self.points[what] += 1
        self.seconds[what].append(seconds)
        print(f"[{self.points.total():3}] {what}: all writers served again {seconds:.1f} s later", flush=True)

    def summary(self) -> str:
        lines = [
            f"| {what} | {number} | {statistics.median(self.seconds[what]):.1f} | {max(self.seconds[what]):.1f} |"
            for what, number in sorted(self.points.items())
        ]
        head = "| what was hit | times | served again after (median, seconds) | at the latest |\n|---|---|---|---|"
        end = (
            f"Seed {self.seed}: {self.points.total()} crash points. {self.acknowledged} readings acknowledged, each "
            f"there once and no others. {self.refused} requests refused, all with 503 and Retry-After; {self.lost} "
            f"connections lost. {self.rollups} rollups, all as the readings are."
        )
        return "\n".join([head, *lines, "", end, *(f"NOT TESTED: {what}" for what in self.not_tested)])


@dataclass
class Writer:
    """Sends single readings by a device's key, and batches, in turn; no two the same, each until it is answered 2xx."""

    service: Service
    account: Account
    end: Event
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    lost: int = 0

    def write(self) -> None:
        number = 0
        while not self.end.is_set():
            rows = [fields(number, x=float(number), y=float(row)) for row in range(1 if number % 2 else ROWS)]
            self._send(rows)
            self.acknowledged += map(written_line, rows)
            number += 1
            time.sleep(0.03)

    def _send(self, rows: list[dict[str, Any]]) -> None:
        who = f"Device {self.account.key}" if len(rows) == 1 else f"Token {self.account.token}"
        body = json.dumps(rows[0] if len(rows) == 1 else rows).encode()
        headers = {"Authorization": who, "Content-Type": "application/json"}
        door = Door("POST", f"/api/v1/devices/{self.account.device_id}/readings/", headers, body)
        deadline = time.monotonic() + PATIENCE * 2
        while not self._is_acknowledged(door, len(rows)):
            assert time.monotonic() < deadline, f"refused for {PATIENCE * 2} seconds"
            time.sleep(0.1)

    def _is_acknowledged(self, door: Door, sent: int) -> bool:
        try:
            answer = door.ask(self.service)
        except (OSError, http.client.HTTPException):
            self.lost += 1
            return False
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0, answer
            self.refused += 1
            return False
        assert answer.status in (200, 201), answer
        receipt = json.loads(answer.body)
        assert sent == 1 or receipt["created"] + receipt["duplicates"] == sent, receipt
        return True


class Stack:
    """A service, its database, its builder of rollups, and who writes to it."""

    def __init__(self, cluster: Cluster, service: Service, disk: Path | None) -> None:
        self.cluster, self.service, self.disk = cluster, service, disk
        self.gunicorn = service.process
        self.builder = self._started_builder()
        self.end = Event()
        self.writers = [Writer(service, service.create_account(), self.end) for _ in range(WRITERS)]
        self.executor = ThreadPoolExecutor(WRITERS)
        self.futures: list[Future[None]] = [self.executor.submit(writer.write) for writer in self.writers]

    # What is hit, and is back when the function returns

    def faults(self) -> dict[str, Callable[[], None]]:
        every = {
            "the postmaster, killed": self.kill_postmaster,
            "one backend, killed": self.kill_backend,
            "one backend, ended": self.end_backend,
            "PostgreSQL, restarted (fast)": lambda: self.restart_postgresql("fast"),
            "PostgreSQL, restarted (immediate)": lambda: self.restart_postgresql("immediate"),
            "a worker of gunicorn, killed": self.kill_worker,
            "gunicorn's arbiter, killed": self.kill_arbiter,
            "gunicorn, rolling restart (SIGHUP)": self.reload,
            "gunicorn, stopped (SIGTERM) and started": self.restart_gunicorn,
            "the builder of rollups, killed": self.kill_builder,
            FULL_DISK: self.fill_disk,
        }
        return every if self.disk else {what: hit for what, hit in every.items() if what != FULL_DISK}

    def kill_postmaster(self) -> None:
        os.kill(self.cluster.process_id(), signal.SIGKILL)
        self._start_postgresql()

    def _start_postgresql(self) -> None:
        """What the dead one has left behind may hold its memory for a moment."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.cluster.start()
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.1)

    def kill_backend(self) -> None:
        """PostgreSQL then ends all others, and recovers."""
        with suppress(ProcessLookupError):
            os.kill(self._backend(), signal.SIGKILL)

    def end_backend(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._backend(), signal.SIGTERM)

    def _backend(self) -> int:
        with psycopg.connect(self.cluster.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
                "ORDER BY state = 'idle', random() LIMIT 1"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def restart_postgresql(self, mode: str) -> None:
        self.cluster.shut_down(mode)
        self._start_postgresql()

    def kill_worker(self) -> None:
        with suppress(ProcessLookupError, IndexError):
            os.kill(children_of(self.gunicorn.pid)[0], signal.SIGKILL)

    def kill_arbiter(self) -> None:
        self.gunicorn.kill()
        self.gunicorn.wait()
        self._start_gunicorn()

    def reload(self) -> None:
        """Until the workers that were there are gone, or what comes next would hit those."""
        old = set(children_of(self.gunicorn.pid))
        self.gunicorn.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while old & set(children_of(self.gunicorn.pid)):
            assert time.monotonic() < deadline, "the old workers stay"
            time.sleep(0.05)

    def restart_gunicorn(self) -> None:
        self.gunicorn.terminate()
        assert self.gunicorn.wait(timeout=PATIENCE) == 0
        self._start_gunicorn()

    def _start_gunicorn(self) -> None:
        """The workers of one that was killed hold the port until they have noticed: it tries again by itself."""
        with self.service.log.open("ab") as output:
            self.gunicorn = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "config.wsgi"], cwd=ROOT, env=self.service.environment,
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def kill_builder(self) -> None:
        self.builder.kill()
        self.builder.wait()
        self.builder = self._started_builder()

    def _started_builder(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "manage.py", "rollup", "--every", "0.5"]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.service.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def fill_disk(self) -> None:
        assert self.disk is not None
        with filled(self.disk):
            time.sleep(1)

    # The run

    def one_point(self, what: str, chance: random.Random, report: Report) -> None:
        self.wait_for_all()
        time.sleep(chance.uniform(0, 0.3))
        begin = time.monotonic()
        self.faults()[what]()
        self.supervise()
        self.wait_for_all()
        report.note(what, time.monotonic() - begin)

    def wait_for_all(self) -> None:
        """Until each writer was told of something that it sent after this."""
        before = [len(writer.acknowledged) for writer in self.writers]
        deadline = time.monotonic() + PATIENCE
        while any(len(writer.acknowledged) <= was for writer, was in zip(self.writers, before, strict=True)):
            for future in self.futures:
                if future.done():
                    future.result()
            assert time.monotonic() < deadline, f"not served for {PATIENCE} seconds"
            self.supervise()
            time.sleep(0.01)

    def supervise(self) -> None:
        """As a container's restart policy does."""
        if self.gunicorn.poll() is not None:
            self._start_gunicorn()
        if self.builder.poll() is not None:
            self.builder = self._started_builder()

    def stop(self) -> None:
        self.end.set()
        self.executor.shutdown()
        self.builder.kill()
        self.builder.wait()

    def check(self, report: Report) -> None:
        """Journal, readings, rollups and answers."""
        for future in self.futures:
            future.result()
        for writer in self.writers:
            assert stored_by(self.service, writer.account) == sorted(writer.acknowledged)
            report.acknowledged += len(writer.acknowledged)
            report.refused += writer.refused
            report.lost += writer.lost
        for arguments in (["rollup"], ["verify_rollups"]):
            manage(self.service.environment, *arguments, "--verbosity", "0")
        report.rollups = int(manage(self.service.environment, "shell", "--verbosity", "0", "-c", READY_ROLLUPS))
        for writer in self.writers:
            self._check_answer(writer)

    def _check_answer(self, writer: Writer) -> None:
        path = f"/api/v1/devices/{writer.account.device_id}/analytics/"
        found = json.loads(Door("GET", path, {"Authorization": f"Token {writer.account.token}"}).ask(self.service).body)
        values = [float(line.split()[1]) for line in writer.acknowledged]
        figures = {name: found["x"][name] for name in ("min", "max", "median", "sum")}
        expected = {
            "min": min(values),
            "max": max(values),
            "median": statistics.median(values),
            "sum": math.fsum(values),
        }
        assert (found["count"], figures) == (len(values), expected)


READY_ROLLUPS = "from analytics.models import Rollup; print(Rollup.objects.filter(status=Rollup.Status.READY).count())"


@contextmanager
def stack(report: Report) -> Iterator[Stack]:
    """On a small disk of its own where one can be mounted."""
    port = free_port()
    cluster = Cluster(durable=True, options=f"-c listen_addresses=127.0.0.1 -c port={port}")
    cluster.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="disk-")))
        disk: Path | None = folder
        try:
            stack.enter_context(small_disk(folder, "256m"))
        except CannotMount as error:
            disk = None
            report.not_tested.append(f"a full disk: none can be mounted here: {error}")
        service = stack.enter_context(serving(DATABASE_URL=cluster.url, LOG_LEVEL="ERROR"))
        if disk:
            move_tables(disk, cluster)
        hit = Stack(cluster, service, disk)
        stack.callback(end_of, hit)
        yield hit


def end_of(hit: Stack) -> None:
    hit.stop()
    hit.gunicorn.terminate()
    with suppress(subprocess.TimeoutExpired):
        hit.gunicorn.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(hit.gunicorn.pid, signal.SIGKILL)


def run(points: int, seed: int) -> Report:
    """AssertionError for a reading that was lost, stored twice or made up, a rollup that differs, a wrong refusal."""
    report, chance = Report(seed), random.Random(seed)
    with stack(report) as hit:
        rounds, rest = divmod(points, len(hit.faults()))
        plan = list(hit.faults()) * rounds + chance.sample(list(hit.faults()), rest)
        chance.shuffle(plan)
        for what in plan:
            hit.one_point(what, chance, report)
        hit.stop()
        hit.check(report)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"Seed {options.seed}", flush=True)
    os.environ["DATABASE_URL"] = ""  # it makes its own
    print(run(options.points, options.seed).summary())


if __name__ == "__main__":
    main()
