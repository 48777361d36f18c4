"""The doors for Celery: each takes ids, if anything, and calls what the service itself would call."""

import random
from datetime import UTC, datetime
from threading import Event
from time import monotonic
from uuid import UUID

from celery import current_app, shared_task
from django.db import OperationalError

from analytics import analyses, running, wakeups
from analytics.building import build
from devices import figures, months, retention
from devices.models import Device

QUEUE = "analyses"
BUILDING_SECONDS = PRUNING_SECONDS = 45


@shared_task
def run_analysis(analysis_id: str) -> None:
    running.run(UUID(analysis_id))


@shared_task
def sweep_analyses() -> None:
    """Take back what was lost, and publish what nobody took. While messages wait, workers are busy: nothing is lost."""
    analyses.sweep()
    if _messages_waiting() == 0:
        for analysis_id in analyses.overdue():
            wakeups.publish(analysis_id)


@shared_task
def prune_analyses() -> None:
    analyses.prune()


@shared_task
def refresh_figures() -> None:
    figures.refresh_if_due()


@shared_task
def build_rollups() -> None:
    """Build what is missing, for so long at most: analyses want workers too. Drawn by lot, each has its turn."""
    deadline = monotonic() + BUILDING_SECONDS
    devices = list(Device.objects.only("pk"))
    random.shuffle(devices)
    for device in devices:
        try:
            for _ in build(device, datetime.now(UTC)):
                if monotonic() > deadline:
                    return
        except OperationalError:  # the next round goes on here
            continue


@shared_task
def prune_readings() -> None:
    retention.prune_for(PRUNING_SECONDS, Event())


@shared_task
def keep_months_ahead() -> None:
    months.keep_ahead(datetime.now(UTC))


def _messages_waiting() -> int:
    with current_app.connection_for_read() as broker:
        declared = broker.default_channel.queue_declare(QUEUE, durable=True, auto_delete=False)
        return int(declared.message_count)
