"""Owners of devices who send readings and hold every answer against what they sent.

`LOADTEST_USERNAME` and `LOADTEST_PASSWORD`, or a `LOADTEST_TOKEN`, say who calls; `LOADTEST_SEED` makes the readings
the same in each run. Speaks HTTP only: it imports nothing of the service.
"""

import os
import random
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from gevent.lock import Semaphore
from locust import FastHttpUser, between, events, task
from locust.env import Environment
from locust.exception import ResponseError, StopUser

API = "/api/v1"
START = datetime(2026, 1, 1, tzinfo=UTC)
MAX_BATCH = 100

USERNAME = os.environ.get("LOADTEST_USERNAME", "")
PASSWORD = os.environ.get("LOADTEST_PASSWORD", "")
TOKEN = os.environ.get("LOADTEST_TOKEN", "")
SEED = os.environ.get("LOADTEST_SEED", "")


@events.init.add_listener
def require_credentials(environment: Environment, **kwargs: Any) -> None:
    if not TOKEN and not (USERNAME and PASSWORD):
        sys.exit("Set LOADTEST_USERNAME and LOADTEST_PASSWORD, or LOADTEST_TOKEN.")


class DeviceOwner(FastHttpUser):
    """Owns one device, whose readings nobody else touches: so their count, minimum and maximum are known exactly."""

    wait_time = between(0.1, 0.5)
    numbers = count()
    token = TOKEN
    signing_in = Semaphore()

    def on_start(self) -> None:
        self.random = random.Random(f"{SEED}/{next(self.numbers)}" if SEED else None)
        self.last_time = START
        self.device_id: int | None = None
        self.sign_in()
        self.create_device()

    def on_stop(self) -> None:
        self.delete_device()

    @task(6)
    def post_batch(self) -> None:
        readings = [self.new_reading() for _ in range(self.random.randint(1, MAX_BATCH))]
        with self.post_readings(readings, name="/devices/{id}/readings/ (batch)") as response:
            receipt = answer(response, 200)
            if receipt.get("created") != len(readings):
                raise ResponseError(f"Sent {len(readings)} new readings, and the receipt is {receipt}")
            self.remember(readings)
            return
        self.replace_device()  # a ResponseError ends the `with` and goes on here

    @task(3)
    def post_reading(self) -> None:
        reading = self.new_reading()
        with self.post_readings(reading, name="/devices/{id}/readings/") as response:
            answer(response, 201)
            self.remember([reading])
            return
        self.replace_device()

    @task(1)
    def get_analytics(self) -> None:
        with self.client.get(
            f"{API}/devices/{self.device_id}/analytics/",
            headers=self.as_owner(),
            name="/devices/{id}/analytics/",
            catch_response=True,
        ) as response:
            analytics = answer(response, 200)
            x = analytics.get("x") or {}
            found = {"count": analytics.get("count"), "min": x.get("min"), "max": x.get("max")}
            expected = {"count": self.sent, "min": self.x_min, "max": self.x_max}
            if found != expected:
                raise ResponseError(f"Sent {expected}, and the analytics say {found}")

    def sign_in(self) -> None:
        """One token for all users here: an account has few, and the newest would revoke the oldest."""
        with self.signing_in:
            if DeviceOwner.token:
                return
            with self.client.post(
                f"{API}/auth/token/",
                json={"username": USERNAME, "password": PASSWORD},
                name="/auth/token/",
                catch_response=True,
            ) as response:
                DeviceOwner.token = answer(response, 200).get("token", "")
        if not DeviceOwner.token:
            raise StopUser("No token: are LOADTEST_USERNAME and LOADTEST_PASSWORD right?")

    def create_device(self) -> None:
        self.sent = 0
        self.x_min: float | None = None
        self.x_max: float | None = None
        with self.client.post(
            f"{API}/devices/",
            json={"name": f"loadtest {uuid4()}"},
            headers=self.as_owner(),
            name="/devices/",
            catch_response=True,
        ) as response:
            device = answer(response, 201)
            self.device_id, self.device_key = device.get("id"), device.get("key")
        if self.device_id is None:
            raise StopUser("No device could be created.")

    def delete_device(self) -> None:
        if self.device_id is None:  # none could be created
            return
        with self.client.delete(
            f"{API}/devices/{self.device_id}/", headers=self.as_owner(), name="/devices/{id}/", catch_response=True
        ) as response:
            expect_status(response, 204)
        self.device_id = None

    def replace_device(self) -> None:
        """After a failed POST nobody knows what is stored: go on where that is known again."""
        self.delete_device()
        self.create_device()

    def new_reading(self) -> dict[str, Any]:
        self.last_time += timedelta(seconds=1)  # no two readings are of one time, so each is a new one
        axes = {axis: self.random.uniform(-1000, 1000) for axis in ("x", "y", "z")}
        return {"recorded_at": self.last_time.strftime("%Y-%m-%dT%H:%M:%SZ"), **axes}

    def post_readings(self, body: Any, name: str) -> Any:
        return self.client.post(
            f"{API}/devices/{self.device_id}/readings/",
            json=body,
            headers={"Authorization": f"Device {self.device_key}"},
            name=name,
            catch_response=True,
        )

    def remember(self, readings: list[dict[str, Any]]) -> None:
        xs = [reading["x"] for reading in readings]
        self.sent += len(xs)
        self.x_min = min(xs) if self.x_min is None else min(self.x_min, *xs)
        self.x_max = max(xs) if self.x_max is None else max(self.x_max, *xs)

    def as_owner(self) -> dict[str, str]:
        return {"Authorization": f"Token {DeviceOwner.token}"}


def answer(response: Any, status: int) -> dict[str, Any]:
    """The JSON object of an answer with this status; else a ResponseError, which Locust counts as a failure."""
    expect_status(response, status)
    try:
        body = response.json()
    except ValueError as error:
        raise ResponseError(f"The answer is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ResponseError("The answer is not a JSON object")
    return body


def expect_status(response: Any, status: int) -> None:
    if response.status_code != status:
        reason = response.text or response.error or ""
        raise ResponseError(f"Expected {status}, got {response.status_code}: {str(reason)[:200]}")
