"""Word of a new analysis, for whoever runs them. It may get lost: the row is what counts, and the sweeper finds it.

With a broker, a message to the workers, sent by a thread of its own, so that no request waits for a broker that does
not answer. Without one, a sign to the thread of this process that runs analyses, if it has one.
"""

import logging
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Lock, Thread
from uuid import UUID

from celery import current_app
from django.conf import settings

RUN = "analytics.tasks.run_analysis"
ROOM = 1000  # while the broker is away, later ones wait for the sweeper

woken = Event()
_waiting: Queue[UUID] = Queue(ROOM)
_lock = Lock()
_thread: Thread | None = None
logger = logging.getLogger(__name__)


def wake(analysis_id: UUID) -> None:
    """Say that there is something to run; returns at once."""
    if not settings.BROKER_URL:
        woken.set()
        return
    with suppress(Full):
        _waiting.put_nowait(analysis_id)
    _ensure_thread()


def publish(analysis_id: UUID) -> None:
    """Tell the workers, and wait until the broker has it; its errors are of kombu."""
    current_app.send_task(RUN, [str(analysis_id)])


def _ensure_thread() -> None:
    """Begun when it is needed, so that it is in the process that serves: a fork takes no threads along."""
    global _thread  # noqa: PLW0603  # one for the process
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = Thread(target=_publish_all, name="wakeups", daemon=True)
            _thread.start()


def _publish_all() -> None:
    while True:
        analysis_id = _waiting.get()
        try:
            publish(analysis_id)
        except Exception as error:  # whatever the client makes of a broker that is away
            logger.warning("analysis %s waits for the sweeper: %s", analysis_id, error)
