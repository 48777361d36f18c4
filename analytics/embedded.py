"""Without a broker, the service runs analyses itself: in each of its processes one thread, beside the requests."""

import logging
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import connection

from analytics import analyses, running
from analytics.wakeups import woken
from devices import figures

POLL = 2.0  # seconds; what another process has accepted, or left behind
SWEEP = 5.0
PRUNE = 3600.0
PATIENCE = 10.0

logger = logging.getLogger(__name__)
_lock = Lock()
_runner: "Runner | None" = None


class Runner(Thread):
    """Runs what is pending, one after the other, and does the sweeper's work between them."""

    def __init__(self) -> None:
        super().__init__(name="analyses", daemon=True)
        self.stopping = Event()
        self.swept = self.pruned = float("-inf")

    def run(self) -> None:
        while not self.stopping.is_set():
            woken.clear()
            try:
                self._round()
            except Exception:  # whatever it was, the next round may fare better
                logger.exception("The runner of analyses goes on after a fault")
            finally:
                connection.close()
            woken.wait(POLL)

    def _round(self) -> None:
        self._look_after()
        while not self.stopping.is_set() and (analysis_id := analyses.next_pending()) is not None:
            running.run(analysis_id, self.stopping)
            self._look_after()

    def _look_after(self) -> None:
        if monotonic() - self.swept >= SWEEP:
            analyses.sweep()
            self.swept = monotonic()
        if monotonic() - self.pruned >= PRUNE:
            analyses.prune()
            self.pruned = monotonic()
        figures.refresh_if_due()


def start(**signal: Any) -> None:
    """Have a runner in this process, where there is no broker. Called in processes that serve, after any fork."""
    global _runner  # noqa: PLW0603  # one for the process
    if settings.BROKER_URL or (_runner is not None and _runner.is_alive()):
        return
    with _lock:
        if _runner is None or not _runner.is_alive():
            _runner = Runner()
            _runner.start()


def stop() -> None:
    """Have the runner give back what it runs, and end; a bounded wait."""
    if _runner is not None and _runner.is_alive():
        _runner.stopping.set()
        woken.set()
        _runner.join(PATIENCE)
