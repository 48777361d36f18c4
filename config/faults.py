"""A database that is away, busy, full or closed to writers: 503 with Retry-After on every path, and soon."""

import logging
import sys
from collections.abc import Callable
from threading import Lock, Thread
from time import sleep

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from config import problems
from users.integrity import is_passing

RETRY_AFTER = "2"  # seconds
DETAIL = "The database can't be reached, or can't do this, at the moment. Try again later."

NEVER_REFUSED = ("/health/", "/metrics")  # they say what is the matter

logger = logging.getLogger(__name__)


class DatabaseFaults:
    """Middleware: a passing fault of the database is 503 and not a defect.

    While no connection can be had, a thread of its own waits for one and callers are told at once: if they waited, a
    few would take all threads, and those behind them, and the checks of health, would wait longer than anybody does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.is_away = False
        self.noticing = Lock()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if self.is_away and not request.path.startswith(NEVER_REFUSED):
            return unavailable(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not is_passing(exception):
            return None
        logger.warning("%s %s: %s", request.method, request.path, exception)
        if getattr(exception.__cause__, "sqlstate", "") is None:  # not PostgreSQL's own word: there is no connection
            self._notice_absence()
        return unavailable(request)

    def _notice_absence(self) -> None:
        with self.noticing:
            if not self.is_away:
                self.is_away = True
                Thread(target=self._wait_for_return, daemon=True).start()

    def _wait_for_return(self) -> None:
        while self.is_away:
            try:
                connection.ensure_connection()
                self.is_away = False
            except Exception as error:  # whatever it is: without this thread all would be refused for ever
                logger.warning("still no connection to the database: %s", error)
                sleep(0.1)
            finally:
                connection.close()  # or the pool never gets it back from a thread that has ended


def unavailable(request: HttpRequest) -> HttpResponse:
    response = problems.answer(request, 503, "unavailable", DETAIL)
    response["Retry-After"] = RETRY_AFTER
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """While an exception is handled that no view has raised: what a middleware asks of the database may fail, too."""
    return unavailable(request) if is_passing(sys.exc_info()[1]) else problems.server_error(request)
