"""Sensors, gateways, people and analysts, who hold every answer against what they sent.

`LOADTEST_USERNAME` and `LOADTEST_PASSWORD`, or a `LOADTEST_TOKEN`, are of somebody who may create users. Clients make
a few accounts and devices of their own through the API, and delete them when they end, unless `LOADTEST_KEEP` is set.
What a client does not know the fate of, it sends again. `LOADTEST_SEED` makes the values the same in each run, and
`LOADTEST_SUMMARY` names a file for the totals. Speaks HTTP only: it imports nothing of the service.
"""

import json
import math
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from gevent import sleep
from gevent.lock import Semaphore
from locust import FastHttpUser, constant_pacing, events, task
from locust.env import Environment
from locust.exception import ResponseError, StopUser

API = "/api/v1"
START = datetime.now(UTC).replace(microsecond=0)
AXES = ("x", "y", "z")
FIGURES = ("min", "max", "sum", "avg", "median")
HISTORY = 2000  # readings of a device that is asked about
SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ!?+-"
PATIENCE = 120  # seconds until an analysis has to have ended

USERNAME = os.environ.get("LOADTEST_USERNAME", "")
PASSWORD = os.environ.get("LOADTEST_PASSWORD", "")
TOKEN = os.environ.get("LOADTEST_TOKEN", "")
SEED = os.environ.get("LOADTEST_SEED", "")
ACCOUNTS = int(os.environ.get("LOADTEST_ACCOUNTS") or 4)  # a password costs more than a thousand readings
KEEP = bool(os.environ.get("LOADTEST_KEEP"))
SUMMARY = os.environ.get("LOADTEST_SUMMARY", "")

totals: Counter[str] = Counter()
Reading = dict[str, Any]


def number(name: str, default: float) -> float:
    return float(os.environ.get(f"LOADTEST_{name}") or default)


@events.init.add_listener
def require_credentials(environment: Environment, **kwargs: Any) -> None:
    if not TOKEN and not (USERNAME and PASSWORD):
        sys.exit("Set LOADTEST_USERNAME and LOADTEST_PASSWORD, or LOADTEST_TOKEN.")


@events.quitting.add_listener
def add_up(environment: Environment, **kwargs: Any) -> None:
    """What the clients were told against what the service says that it has."""
    if SUMMARY:
        Path(SUMMARY).write_text(json.dumps(totals))
    print(f"{totals['acknowledged']} readings were acknowledged as new, {totals['counted']} are there: {dict(totals)}")  # noqa: T201  # its report
    if totals["acknowledged"] != totals["counted"] or totals["started"] != totals["ended"]:
        environment.process_exit_code = 1


@dataclass
class Account:
    """Shared by some clients; whoever leaves last deletes it."""

    id: int = 0
    token: str = ""
    clients: int = 0
    lock: Semaphore = field(default_factory=Semaphore)


class Client(FastHttpUser):
    """Somebody whose devices nobody else touches: so every figure is known exactly."""

    abstract = True
    numbers = count()
    staff_token = TOKEN
    signing_in = Semaphore()
    accounts = [Account() for _ in range(ACCOUNTS)]

    def on_start(self) -> None:
        number = next(Client.numbers)
        self.random = random.Random(f"{SEED}/{number}" if SEED else None)
        self.step = 0
        self.sent: dict[int, list[Reading]] = {}  # by device
        self.names: dict[int, str] = {}
        self.account = Client.accounts[number % ACCOUNTS]
        with self.account.lock:
            if not self.account.token:
                self.create_account()
            self.account.clients += 1
        self.headers = {"Authorization": f"Token {self.account.token}"}
        totals["started"] += 1

    def on_stop(self) -> None:
        """The last word: each device has what was acknowledged, to the reading."""
        for device_id, readings in self.sent.items():
            found = self.ask("GET", f"/devices/{device_id}/analytics/", name="/devices/{id}/analytics/ (at the end)")
            totals["acknowledged"] += len(readings)
            totals["counted"] += found.get("count", 0)
        totals["ended"] += 1
        if not KEEP:
            self.clear_up()

    def clear_up(self) -> None:
        for device_id in self.sent:
            self.send("DELETE", f"/devices/{device_id}/", 204, name="/devices/{id}/")
        with self.account.lock:
            self.account.clients -= 1
            if not self.account.clients:
                self.send("DELETE", f"/users/{self.account.id}/", 204, name="/users/{id}/")
                self.account.token = ""

    # Accounts and devices

    def create_account(self) -> None:
        name, password = f"load-{uuid4().hex}", "".join(random.choices(SIGNS, k=24))
        staff = {"Authorization": f"Token {self.staff()}"}
        account = self.ask("POST", "/users/", 201, {"username": name, "password": password}, headers=staff)
        if "id" not in account:
            raise StopUser("No account could be created: may LOADTEST_USERNAME create users?")
        self.account.id, self.account.token = account["id"], self.token(name, password)

    def staff(self) -> str:
        """One token for all clients here: an account has few, and the newest would revoke the oldest."""
        with Client.signing_in:
            if not Client.staff_token:
                Client.staff_token = self.token(USERNAME, PASSWORD)
        return Client.staff_token

    def token(self, name: str, password: str) -> str:
        token = self.ask("POST", "/auth/token/", 200, {"username": name, "password": password}, headers={}).get("token")
        if not token:
            raise StopUser("No token: are LOADTEST_USERNAME and LOADTEST_PASSWORD right?")
        return str(token)

    def create_device(self) -> tuple[int, str]:
        device = self.ask("POST", "/devices/", 201, {"name": f"device {uuid4()}"})
        if "id" not in device:
            raise StopUser("No device could be created.")
        self.sent[device["id"]], self.names[device["id"]] = [], device["name"]
        return device["id"], device["key"]

    # Readings

    def new_reading(self, at: datetime) -> Reading:
        return {"recorded_at": written(at), **{axis: self.random.uniform(-1000, 1000) for axis in AXES}}

    # Answers

    def ask(self, method: str, path: str, status: int = 200, body: Any = None, **options: Any) -> dict[str, Any]:
        """The JSON object of an answer; an empty one after a failure that will not pass."""
        answer = self.send(method, path, status, body, **options)
        return answer if isinstance(answer, dict) else {}

    def send(
        self, method: str, path: str, status: int | tuple[int, ...] = 200, body: Any = None,
        check: Callable[[Any], None] | None = None, name: str = "", headers: dict[str, str] | None = None,
    ) -> Any:  # fmt: skip
        """The decoded answer, once it has one of these statuses and the check holds; what may pass is tried again."""
        statuses = (status,) if isinstance(status, int) else status
        sent = {"data": body} if isinstance(body, str) else {"json": body} if body is not None else {}
        while True:
            with self.client.request(
                method, f"{API}{path}", name=name or path.partition("?")[0], catch_response=True,
                headers=self.headers if headers is None else headers, **sent,
            ) as response:  # fmt: skip
                if response.status_code in statuses:
                    answer = None if response.status_code == 204 else response.json()
                    if check is not None:
                        check(answer)
                    return answer
                reason = (
                    f"Expected {statuses}, got {response.status_code}: {str(response.text or response.error)[:200]}"
                )
                raise ResponseError(reason)
            if response.status_code in statuses or response.status_code not in (0, 503):
                return None  # a wrong answer, which Locust has noted; asking again would not mend it
            totals["sent again"] += 1
            sleep(float((response.headers or {}).get("Retry-After", 1)))


class Sensor(Client):
    """A device with its key: one reading a second, of now."""

    weight = int(number("SENSORS", 10))
    wait_time = constant_pacing(number("SENSOR_SECONDS", 1))

    def on_start(self) -> None:
        super().on_start()
        self.device_id, self.key = self.create_device()

    @task
    def post_reading(self) -> None:
        reading = self.new_reading(datetime.now(UTC))

        def check(answer: Any) -> None:
            expect(reading.items() <= answer.items() and answer["device"] == self.device_id, f"{reading}: {answer}")

        headers = {"Authorization": f"Device {self.key}", "Content-Type": "application/json"}
        path = f"/devices/{self.device_id}/readings/"
        self.send("POST", path, (201, 200), json.dumps(reading), check, "/devices/{id}/readings/", headers)
        self.sent[self.device_id].append(reading)


class Gateway(Client):
    """Sends for a few devices at once what they have kept for an hour; now and then again, or with a bad row."""

    weight = int(number("GATEWAYS", 3))
    wait_time = constant_pacing(number("GATEWAY_SECONDS", 2))
    rows = int(number("GATEWAY_ROWS", 500))

    def on_start(self) -> None:
        super().on_start()
        self.device_ids = [self.create_device()[0] for _ in range(5)]
        self.last: list[Reading] = []

    @task(8)
    def post_batch(self) -> None:
        self.last = [self.new_row() for _ in range(self.rows)]
        self.post(self.last, rejected=0)

    @task(1)
    def post_again(self) -> None:
        if self.last:
            self.post(self.last, rejected=0, is_new=False)

    @task(1)
    def post_with_a_bad_row(self) -> None:
        bad = {**self.new_row(), "x": "much"}
        self.last = [self.new_row() for _ in range(self.rows)]
        self.post([bad, *self.last], rejected=1)

    def new_row(self) -> Reading:
        self.step += 1
        at = START - timedelta(hours=1) + timedelta(milliseconds=100 * self.step)
        return {"device": self.random.choice(self.device_ids), **self.new_reading(at)}

    def post(self, rows: list[Reading], rejected: int, is_new: bool = True) -> None:
        good = len(rows) - rejected

        def check(receipt: Any) -> None:
            created, duplicates = receipt["created"], receipt["duplicates"]
            expect(receipt["received"] == len(rows) and created + duplicates == good, f"{receipt}")
            expect([row["index"] for row in receipt["rejected"]] == [0] * rejected, f"{receipt}")
            # Met as duplicates: those of a batch that was sent again because nobody knew what had become of it.
            expect(created == (good if is_new else 0) or bool(totals["sent again"]), f"{receipt}")

        name = "/readings/" if is_new else "/readings/ (again)"
        self.send("POST", "/readings/?partial=true", 200, rows, check, name)
        if is_new:
            for row in rows[rejected:]:
                self.sent[row["device"]].append(row)


class Asker(Client):
    """Has a device with a history, and asks about it."""

    abstract = True

    def on_start(self) -> None:
        super().on_start()
        self.device_id, _ = self.create_device()
        self.post_history(self.device_id)

    def post_history(self, device_id: int) -> None:
        """Readings of the days before, a few at one time, as CSV."""
        first = START - timedelta(days=3)
        readings = [self.new_reading(first + timedelta(seconds=n // 3 * 300)) for n in range(HISTORY)]
        body = "recorded_at,x,y,z\n" + "".join(
            f"{reading['recorded_at']},{reading['x']!r},{reading['y']!r},{reading['z']!r}\n" for reading in readings
        )
        path, headers = f"/devices/{device_id}/readings/", {**self.headers, "Content-Type": "text/csv"}
        receipt = self.ask("POST", path, 200, body, name="/devices/{id}/readings/ (CSV)", headers=headers)
        self.sent[device_id] += readings
        expect(receipt["received"] == HISTORY == receipt["created"] + receipt["duplicates"], f"history: {receipt}")

    def window(self, readings: list[Reading]) -> tuple[list[Reading], dict[str, str]]:
        """Some of the readings, by time, and the query for them."""
        begin, end = sorted(self.random.choice(readings)["recorded_at"] for _ in range(2))
        return [row for row in readings if begin <= row["recorded_at"] < end], {"start_time": begin, "end_time": end}

    def checking(self, name: str) -> "Noted":
        return Noted(self.environment, name)


class Person(Asker):
    """Looks at devices, at a window of readings page by page, and at its figures."""

    weight = int(number("PERSONS", 3))
    wait_time = constant_pacing(number("PERSON_SECONDS", 2))

    @task(2)
    def browse(self) -> None:
        is_mine = lambda page: expect([row["id"] for row in page["results"]] == [self.device_id], f"{page}")  # noqa: E731
        query = joined({"search": self.names[self.device_id].replace(" ", "%20")})
        self.send("GET", f"/devices/?{query}", 200, None, is_mine)
        newest = max(reading["recorded_at"] for reading in self.sent[self.device_id])
        check = lambda answer: expect(answer["recorded_at"] == newest, f"{answer}, not {newest}")  # noqa: E731
        self.send("GET", f"/devices/{self.device_id}/latest/", 200, None, check, "/devices/{id}/latest/")

    @task(2)
    def read_window(self) -> None:
        with self.checking("/devices/{id}/readings/ (all pages)"):
            self.compare_pages()

    def compare_pages(self) -> None:
        expected, query = self.window(self.sent[self.device_id])
        url = f"/devices/{self.device_id}/readings/?page_size=500&{joined(query)}"
        found: list[Reading] = []
        while url:
            page = self.ask("GET", url, name="/devices/{id}/readings/")
            found += page.get("results", [])
            url = str(page.get("next") or "").partition(API)[2]
        expect(sorted(map(identity, found)) == sorted(map(identity, expected)), f"{len(found)}, {len(expected)}")

    @task(4)
    def ask_for_figures(self) -> None:
        expected, query = self.window(self.sent[self.device_id])
        path = f"/devices/{self.device_id}/analytics/?{joined(query)}"
        self.send("GET", path, 200, None, lambda answer: expect_figures(answer, expected), "/devices/{id}/analytics/")


class Analyst(Asker):
    """Starts background analyses, waits for them, and compares what they found."""

    weight = int(number("ANALYSTS", 1))
    wait_time = constant_pacing(number("ANALYST_SECONDS", 5))

    @task
    def analyse(self) -> None:
        with self.checking("analysis (from the request to its end)"):
            self.compare_analysis()

    def compare_analysis(self) -> None:
        expected, query = self.window(self.sent[self.device_id])
        body = {**query, "interval": "day", "percentiles": f"50,{self.random.uniform(0, 100):.6f}"}
        path = f"/devices/{self.device_id}/analyses/"
        analysis = self.ask("POST", path, 202, body, name="/devices/{id}/analyses/")
        deadline = time.monotonic() + PATIENCE
        while analysis.get("status") in ("pending", "running"):
            expect(time.monotonic() < deadline, f"not ended after {PATIENCE} s: {analysis}")
            sleep(0.2)
            analysis = self.ask("GET", f"/analyses/{analysis['id']}/", name="/analyses/{id}/")
        expect(analysis.get("status") == "succeeded", f"{analysis}")
        expect_figures(analysis["result"], expected)
        expect(sum(bucket["count"] for bucket in analysis["result"]["buckets"]) == len(expected), f"{analysis}")
        totals["analyses"] += 1


class Noted:
    """What takes several requests, as one line of Locust's: its time, and its failure if it had one."""

    def __init__(self, environment: Environment, name: str) -> None:
        self.environment, self.name = environment, name

    def __enter__(self) -> None:
        self.begin = time.perf_counter()

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        is_failure = error is None or isinstance(error, ResponseError | KeyError | TypeError)
        if is_failure:
            self.environment.events.request.fire(
                request_type="CHECK", name=self.name, response_time=(time.perf_counter() - self.begin) * 1000,
                response_length=0, exception=error, context={},
            )  # fmt: skip
        return is_failure


def expect(holds: bool, what: str) -> None:
    """Otherwise a ResponseError, which Locust counts as a failure."""
    if not holds:
        raise ResponseError(f"Not so: {what[:300]}")


def expect_figures(answer: Any, readings: list[Reading]) -> None:
    """Count, and per axis the figures: exact, but for sums, which are right to 1e-12 of the magnitudes."""
    expect(answer["count"] == len(readings), f"{answer['count']}, not {len(readings)}")
    for axis in AXES:
        values = [reading[axis] for reading in readings]
        found = [answer[axis][figure] for figure in FIGURES]
        if not values:
            expect(found == [None] * len(FIGURES), f"{axis}: {found}")
            continue
        total, bound = math.fsum(values), 1e-12 * math.fsum(map(abs, values))
        low, high, sum_found, average, median = found
        expect((low, high, median) == (min(values), max(values), statistics.median(values)), f"{axis}: {found}")
        expect(abs(sum_found - total) <= bound, f"{axis}: {found}, not {total}")
        expect(abs(average * len(values) - total) <= 2 * bound, f"{axis}: {found}, not {total}")


def written(at: datetime) -> str:
    """As the service writes it."""
    return at.isoformat().replace("+00:00", "Z")


def joined(query: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in query.items())


def identity(reading: Reading) -> tuple[Any, ...]:
    return (reading["recorded_at"], *(reading[axis] for axis in AXES))
