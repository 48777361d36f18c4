"""`python -m tests.load`: the load scenarios, mixed, against a service that this starts and checks afterwards.

gunicorn behind the shipped proxy where nginx is installed, a PostgreSQL and a Valkey of its own, and a worker. Locust
leaves an HTML report; its totals are held against the table of readings, /metrics and `verify_rollups`.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.nginx import installed_nginx, proxying
from tests.postgresql import Cluster
from tests.service import ROOT, Service, Worker, cpu_seconds, manage, serving, working
from tests.valkey import Valkey

METRICS_TOKEN = "a-token-of-the-load-test-for-its-metrics"
LOCUST = ROOT / ".venv" / "loadtest" / "bin" / "locust"
SIGN_IN = """
from knox.models import AuthToken
from users.models import User
print(AuthToken.objects.create(User.objects.create_superuser("load"))[1])
"""
COUNT = """
from devices.models import Reading
print(Reading.objects.count())
"""


@dataclass(frozen=True)
class Run:
    """What Locust said, and what the service has: both have to be equal."""

    exit_code: int
    output: str
    totals: dict[str, int]
    stored: int
    accepted: float
    rollups_agree: bool
    cpu: dict[str, float]

    def check(self) -> None:
        assert self.exit_code == 0, self.output[-5000:]
        assert self.totals["acknowledged"] > 0, self.output[-5000:]
        assert self.totals["acknowledged"] == self.totals["counted"] == self.stored == self.accepted, self
        assert self.rollups_agree, self


def run(locust: Path, report: Path, users: int, seconds: int, seed: str, database_url: str) -> Run:
    """Raises nothing for a bad run: see `check`."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder, stack(database_url) as (service, worker, url):
        token = manage(service.environment, "shell", "--verbosity", "0", "-c", SIGN_IN).strip()
        summary = Path(folder) / "summary.json"
        environment = {
            "PATH": os.environ["PATH"], "LOADTEST_TOKEN": token, "LOADTEST_SEED": seed, "LOADTEST_KEEP": "yes",
            "LOADTEST_SUMMARY": str(summary),
            **{name: value for name, value in os.environ.items() if name.startswith("LOADTEST_") and value},
        }  # fmt: skip
        command: list[str | Path] = [
            locust, "-f", "loadtest/locustfile.py", "--headless", "--users", str(users), "--spawn-rate", "5",
            "--run-time", f"{seconds}s", "--stop-timeout", "120", "--host", url, "--html", report, "--only-summary",
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=False, text=True, timeout=seconds + 300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = {
            "Locust": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "gunicorn": cpu_seconds(service.process.pid),
            "worker": cpu_seconds(worker.process.pid),
        }
        totals = json.loads(summary.read_text()) if summary.exists() else {}
        stored = int(manage(service.environment, "shell", "--verbosity", "0", "-c", COUNT))
        return Run(done.returncode, done.stdout, totals, stored, accepted(service), rollups_agree(service), cpu)


@contextmanager
def stack(database_url: str) -> Iterator[tuple[Service, Worker, str]]:
    valkey = Valkey()
    settings = {"BROKER_URL": valkey.url, "METRICS_TOKEN": METRICS_TOKEN, "TRUSTED_PROXIES": "1"}
    if database_url:
        settings["DATABASE_URL"] = database_url
    try:
        with serving(**settings) as service, working(service, concurrency=1) as worker:
            if installed_nginx() is None:
                yield service, worker, service.url
                return
            with proxying(service.port) as url:
                yield service, worker, url
    finally:
        valkey.kill()


def accepted(service: Service) -> float:
    request = Request(f"{service.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    with urlopen(request, timeout=30) as response:
        lines = response.read().decode().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith("monitoring_readings_accepted_total ")]
    return float(value)


def rollups_agree(service: Service) -> bool:
    command = ["verify_rollups", "--verbosity", "0"]
    try:
        manage(service.environment, *command)
    except subprocess.CalledProcessError:
        return False
    return True


def described(run: Run, seconds: float) -> str:
    cpu = ", ".join(f"{name} {used:.0f} s" for name, used in run.cpu.items())
    return f"{run.totals}; {run.stored} stored, {run.accepted:.0f} accepted. CPU in {seconds:.0f} s: {cpu}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--locust", type=Path, default=LOCUST)
    parser.add_argument("--report", type=Path, default=ROOT / "data" / "loadtest.html")
    options: Any = parser.parse_args()
    options.report.parent.mkdir(exist_ok=True)
    cluster = Cluster(durable=True)
    os.environ["DATABASE_URL"] = cluster.url
    begin = time.monotonic()
    try:
        done = run(options.locust, options.report, options.users, options.seconds, options.seed, "")
        seconds = time.monotonic() - begin
        done.cpu["PostgreSQL"] = cpu_seconds(cluster.process_id())
    finally:
        cluster.stop()
    print(done.output)
    print(described(done, seconds))
    print(f"The report: {options.report}")
    done.check()


if __name__ == "__main__":
    main()
