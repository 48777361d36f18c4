"""How many background analyses a second are done: by one, two and four workers, over a Valkey of their own.

`BENCH_ANALYSES` (default 1,000) messages are waiting when the workers start. The time is that of the rows, from the
first start to the last end.
"""

import os
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from django.conf import settings
from django.db.models import Max, Min
from django.utils import timezone

from analytics import analyses, wakeups
from analytics.models import Analysis
from config.celery import app
from devices import ingest
from devices.columns import Columns
from devices.models import Device
from devices.reading_ids import microseconds
from tests.service import Worker
from tests.valkey import Valkey
from users.models import User

ANALYSES = int(os.environ.get("BENCH_ANALYSES", "1000"))
READINGS = 20_000
WORKERS = [1, 2, 4]
IN_TIME_TO_COME = datetime(2100, 1, 1, tzinfo=UTC)  # where no rollup makes it quicker


def run() -> None:
    """Print analyses per second, and what each worker adds."""
    user = User.objects.create_user("bench")
    device = _device(user)
    valkey = Valkey()
    try:
        settings.BROKER_URL = app.conf.broker_url = valkey.url
        print(f"\n{ANALYSES:,} analyses of {READINGS:,} readings each, read raw")
        rates = {workers: _rate(user, device, valkey, workers) for workers in WORKERS}
    finally:
        valkey.kill()
    for workers, rate in rates.items():
        print(f"  {workers} workers {rate:8.1f} analyses/s   {rate / rates[1]:5.2f}")


def _device(owner: User) -> Device:
    device = Device.objects.create(owner=owner, name="Bench")
    seconds = np.arange(READINGS)
    axes = (np.random.default_rng(axis).normal(0, 1, READINGS) for axis in range(3))
    times = microseconds(IN_TIME_TO_COME) + seconds * 1_000_000
    ingest.store(Columns(np.full(READINGS, device.pk), times, *axes))
    return device


def _rate(user: User, device: Device, valkey: Valkey, workers: int) -> float:
    Analysis.objects.all().delete()
    valkey.command("FLUSHALL")
    _ask(user, device)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        for number in range(workers):
            environment = os.environ | {"BROKER_URL": valkey.url}
            worker = Worker(environment, Path(folder) / f"{number}.log", concurrency=1)
            worker.start()
            stack.callback(worker.stop)
        while Analysis.objects.filter(status__in=Analysis.OPEN).exists():
            time.sleep(0.5)
    return _checked_rate()


def _ask(user: User, device: Device) -> None:
    asked = [
        Analysis(
            requested_by=user, device=device, parameters={"percentiles": f"5.{number:05}"}, fingerprint=str(number)
        )
        for number in range(ANALYSES)
    ]
    for analysis in asked:
        analysis.lease_until = timezone.now() + analyses.PICK_UP + timedelta(hours=1)  # each is published once, here
    Analysis.objects.bulk_create(asked)
    for analysis in asked:
        wakeups.publish(analysis.pk)


def _checked_rate() -> float:
    once = Analysis.objects.filter(status=Analysis.Status.SUCCEEDED, attempts=1)
    assert once.count() == ANALYSES, "each is run once"
    ends = once.aggregate(first=Min("started_at"), last=Max("finished_at"))
    seconds: float = (ends["last"] - ends["first"]).total_seconds()
    return ANALYSES / seconds
