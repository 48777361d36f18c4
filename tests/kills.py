"""`python -m tests.kills`: what it takes to lose a background analysis. Nothing does.

Services with a database, a Valkey and a Celery worker of their own accept analyses; something of it is killed, stopped
or emptied; it returns; and every accepted analysis has to end within a minute of that, once, with the answer of the
synchronous call. `--kills` counts each kill -9; a stop and an emptying of Valkey come on top of every four.
"""

import argparse
import itertools
import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from urllib.request import Request, urlopen

from tests.postgresql import Cluster
from tests.service import Account, Service, Worker, encoded, serving, working
from tests.valkey import Valkey

KILLED = ["the worker's children", "the whole worker", "the clock of the worker", "Valkey"]
OTHERS = ["Valkey, stopped for seconds", "Valkey, emptied"]
MOMENTS = ["at the start", "in the middle", "after the result"]
READINGS, BATCH = 300_000, 100_000
DAY = datetime(2100, 1, 1, tzinfo=UTC)
PATIENCE = 60  # seconds from the return to the end
OPEN = {"pending", "running"}


@dataclass
class Report:
    """What happened, over all stacks."""

    seed: int
    hits: int
    done: int = 0
    analyses: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ends: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def note(self, what: str, moment: str, accepted: int, seconds: float) -> None:
        with self.lock:
            self.done += 1
            self.analyses += accepted
            self.seconds[f"{what}, {moment}"].append(seconds)
            print(f"[{self.done:3}/{self.hits}] {what}, {moment}: {accepted} ended {seconds:.1f} s later", flush=True)

    def summary(self) -> str:
        lines = [
            f"  {name:46} {len(seconds):3} times, all ended {max(seconds):5.1f} s after the return at most"
            for name, seconds in sorted(self.seconds.items())
        ]
        kills = sum(len(times) for name, times in self.seconds.items() if not name.startswith(tuple(OTHERS)))
        total = (
            f"Seed {self.seed}: {kills} kills, {self.done - kills} other faults, {self.analyses} analyses accepted, "
        )
        return "\n".join([*lines, f"{total}{dict(self.ends)}, each once; none is open."])


class Stack:
    """A service with all that belongs to it, and a device whose analysis takes a second or so."""

    def __init__(self, service: Service, worker: Worker, valkey: Valkey, numbers: Iterator[int]) -> None:
        self.service, self.worker, self.valkey, self.numbers = service, worker, valkey, numbers
        self.account: Account = service.create_account()
        self.finished: dict[str, str] = {}
        self._fill()

    def call(self, method: str, path: str, body: bytes | None = None, media: str = "application/json") -> Any:
        headers = {"Authorization": f"Token {self.account.token}", "Content-Type": media}
        request = Request(f"{self.service.url}{path}", body, headers, method=method)
        with urlopen(request, timeout=30) as response:
            return json.load(response)

    def _fill(self) -> None:
        """A day of readings in a time to come, so that no rollup makes it quick."""
        path = f"/api/v1/devices/{self.account.device_id}/readings/"
        times = [DAY + n * timedelta(days=1) / READINGS for n in range(READINGS)]
        rows = [{"recorded_at": time.isoformat(), "x": n, "y": -n, "z": n % 7} for n, time in enumerate(times)]
        for place in range(0, READINGS, BATCH):
            self.call("POST", path, encoded(rows[place : place + BATCH], "csv"), "text/csv")

    def accept(self) -> list[dict[str, Any]]:
        """Three analyses, a slow one first; none was ever asked for before."""
        asked = [f"50.{next(self.numbers):07}" for _ in range(3)]
        slow, *quick = [{"percentiles": text} for text in asked]
        slow["interval"] = "hour"
        for parameters in quick:
            parameters["end_time"] = "2100-01-01T00:10:00Z"
        path = f"/api/v1/devices/{self.account.device_id}/analyses/"
        return [self.call("POST", path, json.dumps(parameters).encode()) for parameters in (slow, *quick)]

    def status(self, analysis: dict[str, Any]) -> dict[str, Any]:
        self.supervise()
        answer: dict[str, Any] = self.call("GET", f"/api/v1/analyses/{analysis['id']}/")
        return answer

    def supervise(self) -> None:
        """As a container's restart policy does."""
        if self.worker.process.poll() is not None:
            self.worker.start()

    def wait_for(self, analysis: dict[str, Any], statuses: set[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.status(analysis)["status"] not in statuses:
            assert time.monotonic() < deadline, f"never {statuses}: {self.status(analysis)}"
            time.sleep(0.01)

    def wait_for_the_moment(self, moment: str, slow: dict[str, Any], chance: random.Random) -> None:
        ended = {"succeeded", "failed", "cancelled"}
        if moment == "in the middle":
            self.wait_for(slow, {"running"} | ended)
            time.sleep(chance.random() / 2)
        elif moment == "after the result":
            self.wait_for(slow, ended)

    def hit(self, what: str, chance: random.Random) -> None:
        """Returns when what was hit is back."""
        hits: dict[str, Callable[[], None]] = {
            "nothing": lambda: None,
            "the worker's children": lambda: self._kill(self.worker.children),
            "the whole worker": self._kill_worker,
            "the clock of the worker": self._kill_clock,
            "Valkey": self._kill_valkey,
            "Valkey, stopped for seconds": lambda: self._pause(chance.uniform(1, 8)),
            "Valkey, emptied": self._empty,
        }
        hits[what]()

    def _kill(self, processes: Callable[[], list[int]]) -> None:
        """They may only just have been started, by the round before."""
        deadline = time.monotonic() + PATIENCE
        while not (found := processes()):
            assert time.monotonic() < deadline, "the worker did not start"
            time.sleep(0.05)
        for process in found:
            os.kill(process, signal.SIGKILL)

    def _kill_clock(self) -> None:
        self._kill(self.worker.clocks)
        self.worker.process.wait(timeout=PATIENCE)  # it notices, and ends
        self.worker.start()

    def _kill_worker(self) -> None:
        self.worker.kill()
        self.worker.start()

    def _kill_valkey(self) -> None:
        self.valkey.kill()
        time.sleep(1)
        self.valkey.start()

    def _pause(self, seconds: float) -> None:
        self.valkey.pause()
        time.sleep(seconds)
        self.valkey.resume()

    def _empty(self) -> None:
        assert self.valkey.command("FLUSHALL") == b"+OK\r\n"

    def check(self, accepted: list[dict[str, Any]], report: Report) -> None:
        """Each has ended, with the answer of the synchronous call."""
        path = f"/api/v1/devices/{self.account.device_id}/analytics/"
        for analysis in accepted:
            stored = self.status(analysis)
            assert stored["status"] == "succeeded", stored
            query = "&".join(f"{name}={value}" for name, value in analysis["parameters"].items())
            assert stored["result"] == self.call("GET", f"{path}?{query}"), stored
            self.finished[stored["id"]] = stored["finished_at"]
            with report.lock:
                report.ends[stored["status"]] += 1

    def check_all_again(self) -> None:
        """What has ended stayed as it was, and nothing is there that nobody asked for."""
        found: dict[str, str] = {}
        url = "/api/v1/analyses/?page_size=1000"
        while url:
            page = self.call("GET", url)
            found |= {row["id"]: row["finished_at"] for row in page["results"]}
            url = (page["next"] or "").removeprefix(self.service.url)
        assert found == self.finished

    def one_round(self, what: str, moment: str, chance: random.Random, report: Report) -> None:
        accepted = self.accept()
        self.wait_for_the_moment(moment, accepted[0], chance)
        self.hit(what, chance)
        returned = time.monotonic()
        while any(self.status(analysis)["status"] in OPEN for analysis in accepted):
            waited = time.monotonic() - returned
            assert waited < PATIENCE, f"{what}, {moment}: {[self.status(analysis) for analysis in accepted]}"
            time.sleep(0.05)
        seconds = time.monotonic() - returned
        self.check(accepted, report)
        report.note(what, moment, len(accepted), seconds)


@contextmanager
def stack(numbers: Iterator[int]) -> Iterator[Stack]:
    valkey = Valkey()
    try:
        with (
            serving(BROKER_URL=valkey.url, GUNICORN_CMD_ARGS="--workers 1", LOG_LEVEL="ERROR") as service,
            working(service) as worker,
        ):
            made = Stack(service, worker, valkey, numbers)
            try:
                yield made
            except BaseException:
                print(worker.log.read_text()[-5000:], service.log.read_text()[-2000:], flush=True)
                raise
    finally:
        valkey.resume()
        valkey.kill()


def run(kills: int, seed: int, stacks: int = 1) -> Report:
    """Hit what there is so often, on so many stacks at once; AssertionError for an analysis that did not survive it."""
    chance = random.Random(seed)
    others = kills // 4 * 2
    plan = [*_drawn(KILLED, kills, chance), *_drawn(OTHERS, others, chance)]
    chance.shuffle(plan)
    report, numbers = Report(seed, len(plan)), itertools.count()

    def some_of_it(place: int) -> None:
        mine = random.Random(f"{seed} {place}")
        with stack(numbers) as hit:
            hit.one_round("nothing", "at the start", mine, Report(seed, 0))  # the worker is up
            for what, moment in plan[place::stacks]:
                hit.one_round(what, moment, mine, report)
            hit.check_all_again()

    with ThreadPoolExecutor(stacks) as executor:
        list(executor.map(some_of_it, range(stacks)))
    return report


def _drawn(whats: list[str], number: int, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Each at each moment, as evenly as the number lets it."""
    every = [(what, moment) for what in whats for moment in MOMENTS]
    rounds, rest = divmod(number, len(every))
    return itertools.chain(every * rounds, chance.sample(every, rest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--stacks", type=int, default=4, help="how many services at once, each with all of its own")
    parser.add_argument("--sqlite", action="store_true", help="instead of PostgreSQL")
    options = parser.parse_args()
    print(f"Seed {options.seed}", flush=True)
    cluster = None if options.sqlite else Cluster()
    os.environ["DATABASE_URL"] = cluster.url if cluster else "sqlite:///:memory:"
    try:
        print(run(options.kills, options.seed, options.stacks).summary())
    finally:
        if cluster:
            cluster.stop()


if __name__ == "__main__":
    main()
