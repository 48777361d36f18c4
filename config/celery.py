"""Celery: `celery -A config worker -B` runs background work, and the clock for it. See CELERY_ in the settings."""

import logging
import os
from threading import Thread
from time import sleep
from typing import Any

from celery import Celery
from celery.platforms import EX_FAILURE
from celery.signals import celeryd_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

logger = logging.getLogger(__name__)


@celeryd_init.connect
def refuse_without_broker(**kwargs: Any) -> None:
    if not app.conf.broker_url:
        raise SystemExit(
            "Refused to start: BROKER_URL: a worker needs one; without it, the service runs analyses itself"
        )


@worker_ready.connect
def watch_the_clock(sender: Any, **kwargs: Any) -> None:
    """With -B: Celery goes on without a clock that was killed, and then nothing is swept any more."""
    if sender.controller.beat is not None:
        Thread(target=_end_without, args=[sender.controller.beat], name="clock watch", daemon=True).start()


def _end_without(clock: Any) -> None:
    from celery.worker import state  # noqa: PLC0415  # of a worker's process, and large

    while clock.is_alive():
        sleep(2)
    if state.should_stop is None:
        logger.error("The clock has died. The worker ends, to be started again.")
        state.should_stop = EX_FAILURE
