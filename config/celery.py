"""Celery: `celery -A config worker -B` runs background work, and the clock for it. See CELERY_ in the settings."""

import logging
import os
from threading import Thread
from time import monotonic, sleep
from typing import Any

from celery import Celery
from celery.platforms import EX_FAILURE
from celery.signals import celeryd_init, task_received, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

logger = logging.getLogger(__name__)
GRACE = 10  # seconds that a worker has to end by itself
SILENCE = 20  # seconds; the clock sends something every five


@celeryd_init.connect
def refuse_without_broker(**kwargs: Any) -> None:
    if not app.conf.broker_url:
        raise SystemExit(
            "Refused to start: BROKER_URL: a worker needs one; without it, the service runs analyses itself"
        )


@worker_ready.connect
def watch_the_worker(sender: Any, **kwargs: Any) -> None:
    """With -B: end a worker that can't be trusted any more, to be started again by what supervises it.

    Celery goes on without a clock that was killed, and then nothing is swept. And a broker that stopped in the middle
    of a word can leave it with a connection that brings nothing any more, and says so to nobody.
    """
    if sender.controller.beat is not None:
        Thread(target=_watch, args=[sender.controller.beat], name="watch", daemon=True).start()


def _watch(clock: Any) -> None:
    from celery.worker import state  # noqa: PLC0415  # of a worker's process, and large

    heard = [monotonic()]
    note = task_received.connect(lambda **kwargs: heard.append(monotonic()), weak=False)
    while note and state.should_stop is None:
        sleep(2)
        heard[:] = heard[-1:]
        if state.active_requests or (monotonic() - heard[-1] > SILENCE and not _broker_answers()):
            heard.append(monotonic())
        if not clock.is_alive() or monotonic() - heard[-1] > SILENCE:
            logger.error(
                "Without a clock, or without a message of it for too long: the worker ends, to be started again"
            )
            state.should_stop = EX_FAILURE
            sleep(GRACE)  # for what runs; a worker that waits for what will never end is ended, and its leases run out
            clock.terminate()
            os._exit(EX_FAILURE)


def _broker_answers() -> bool:
    try:
        with app.connection_for_read() as broker:
            return bool(broker.default_channel.client.ping())
    except Exception:  # whatever the client makes of it
        return False
