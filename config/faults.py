"""A database that is away, busy, full or closed to writers: 503 with Retry-After on every path, and soon."""

import logging
import sys
from collections.abc import Callable
from threading import Lock

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.defaults import server_error as django_server_error
from psycopg_pool import PoolTimeout

from config.problems import problem_response
from users.integrity import is_passing

RETRY_AFTER = "2"  # seconds
DETAIL = "The database can't be reached, or can't do this, at the moment. Try again later."

logger = logging.getLogger(__name__)


class DatabaseFaults:
    """Middleware: a passing fault of the database is 503 and not a defect.

    While no connection can be had, one caller at a time waits for one and the others are told at once: a few who wait
    would take all threads, and those behind them, and the checks of health, would wait for longer than anybody does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.is_away = False
        self.asking = Lock()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if self.is_away and not request.path.startswith("/health/") and not self._is_back():
            return unavailable(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not is_passing(exception):
            return None
        logger.warning("%s %s: %s", request.method, request.path, exception)
        self.is_away |= isinstance(exception.__cause__, PoolTimeout)
        return unavailable(request)

    def _is_back(self) -> bool:
        if not self.asking.acquire(blocking=False):
            return False
        try:
            connection.ensure_connection()
            self.is_away = False
        except DatabaseError as error:
            logger.warning("still no connection to the database: %s", error)
        finally:
            self.asking.release()
        return not self.is_away


def unavailable(request: HttpRequest) -> HttpResponse:
    """503: a problem below `/api/`, a plain text elsewhere."""
    if request.path.startswith("/api/"):
        response: HttpResponse = problem_response(503, "unavailable", DETAIL)
    else:
        response = HttpResponse(DETAIL, status=503, content_type="text/plain; charset=utf-8")
    response["Retry-After"] = RETRY_AFTER
    return response


def server_error(request: HttpRequest) -> HttpResponseBase:
    """While an exception is handled that no view has raised: what a middleware asks of the database may fail, too."""
    exception = sys.exc_info()[1]
    return unavailable(request) if is_passing(exception) else django_server_error(request)
