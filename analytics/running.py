"""The one way in which an analysis is run: by a worker of Celery, or by the service itself."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg
from django.db import InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.renderers import JSONRenderer

from analytics import analyses, answers
from analytics.answers import Question
from analytics.models import Analysis
from analytics.serializers import AnalysisParameters, UserAnalysisParameters
from devices.models import Device
from devices.transactions import answering
from users.models import User

TICK = 0.5  # seconds; so long may it take until a stop is noticed, and a statement interrupted again
TICKS_PER_BEAT = 4
PASSING = (OperationalError, InterfaceError, psycopg.OperationalError, sqlite3.OperationalError)
GONE = "There is no such device or user any more, or it is not the requester's to see."
DEFECT = "The service failed at this analysis. Its log has the details."
AWAY = "The database did not answer."

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The analysis is ours no more, or the process stops."""


class Heartbeat:
    """While the block runs, a thread with a connection of its own renews the lease of the analysis.

    When the analysis is ours no more, or the process is to stop, it interrupts the statement that a connection of the
    block is in, again and again until the block has ended, which may begin no other: Stopped.
    """

    def __init__(self, analysis: Analysis, stopping: Event) -> None:
        self.analysis, self.stopping = analysis, stopping
        self.progress, self.stopped, self.ended = 0.0, False, Event()
        self.block: Sequence[BaseDatabaseWrapper] = connections.all()  # this thread's, which `connection` is not
        self.thread = Thread(target=self._run, name=f"analysis {analysis.pk}", daemon=True)

    def __enter__(self) -> "Heartbeat":
        for each in self.block:
            each.execute_wrappers.append(self._guard)
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the thread first, so that no statement after the block is interrupted."""
        self.ended.set()
        self.thread.join()
        for each in self.block:
            each.execute_wrappers.remove(self._guard)

    def report(self, progress: float) -> None:
        self.progress = progress

    def _guard(self, execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if self.stopped and sql != "ROLLBACK":  # with which `snapshot` ends on SQLite
            raise Stopped
        return execute(sql, *args)

    def _run(self) -> None:
        try:
            self._beat_until_lost()
        finally:
            connection.close()
        while not self.ended.wait(TICK / 2):
            self.stopped = True
            for each in self.block:
                _interrupt(each.connection)

    def _beat_until_lost(self) -> None:
        for tick in count(1):
            if self.ended.wait(TICK) or self.stopping.is_set():
                return
            if tick % TICKS_PER_BEAT == 0 and not self._beat():
                return

    def _beat(self) -> bool:
        try:
            return analyses.beat(self.analysis, self.progress)
        except PASSING as error:  # if it lasts, the lease decides
            logger.warning("%s has no heartbeat: %s", self.analysis, error)
            connection.close()
            return True


def run(analysis_id: UUID, stopping: Event | None = None) -> None:
    """Run an analysis that is free, to whatever end; nothing where it is another's, over or gone.

    Once `stopping` is set it is given back, and its attempt does not count.
    """
    analysis = analyses.claim(analysis_id)
    if analysis is None:
        return
    try:
        _run_claimed(analysis, stopping or Event())
    except PASSING as error:  # whoever can't say how it ended leaves it to the lease
        logger.warning("%s: the database is away, its lease will run out: %s", analysis, error)


def _run_claimed(analysis: Analysis, stopping: Event) -> None:
    heartbeat = Heartbeat(analysis, stopping)
    try:
        with heartbeat:
            result = _rendered_answer(analysis, heartbeat.report)
    except Exception as error:  # each has its end
        _end(analysis, error, heartbeat.stopped)
    else:
        analyses.finish(analysis, result)


def _end(analysis: Analysis, error: Exception, stopped: bool) -> None:
    if stopped:
        analyses.release(analysis)  # nothing, where it was cancelled or lost
    elif isinstance(error, PASSING):
        logger.warning("%s is tried again: %s", analysis, error)
        analyses.give_back(analysis, AWAY)
    elif isinstance(error, Http404):
        analyses.fail(analysis, GONE)
    elif isinstance(error, APIException):
        analyses.fail(analysis, _reason(error.detail))
    else:
        logger.error("%s failed", analysis, exc_info=error)
        analyses.fail(analysis, DEFECT)


def _rendered_answer(analysis: Analysis, report: Callable[[float], None]) -> str:
    """What the call of analytics would have answered, by the same renderer, all of one moment."""
    answer = _question_of(analysis, report)
    with answering():
        rendered: bytes = JSONRenderer().render(answer())
    return rendered.decode()


def _question_of(analysis: Analysis, report: Callable[[float], None]) -> Callable[[], dict[str, Any]]:
    """What is asked, of what the requester may see."""
    form = UserAnalysisParameters if analysis.user_id else AnalysisParameters
    parameters = form(data=analysis.parameters)
    parameters.is_valid(raise_exception=True)
    question = dict(parameters.validated_data)
    if analysis.device_id:
        device = get_object_or_404(Device.objects.visible_to(analysis.requested_by), pk=analysis.device_id)
        return partial(answers.of_device, device, Question(**question))
    user = get_object_or_404(User.objects.visible_to(analysis.requested_by), pk=analysis.user_id)
    if question.pop("aggregate"):
        return partial(answers.of_user, user, Question(**question))
    return partial(answers.of_each_device, user, Question(**question), report)


def _reason(detail: Any) -> str:
    """The first fault of an exception, in words."""
    while isinstance(detail, dict | list):
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail), "")
    return str(detail)


def _interrupt(raw: Any) -> None:
    """Have the statement fail that this connection is in, if it is in one."""
    try:
        if isinstance(raw, psycopg.Connection):
            raw.cancel_safe(timeout=2)
        elif isinstance(raw, sqlite3.Connection):
            raw.interrupt()
    except (psycopg.Error, sqlite3.Error, OSError) as error:
        logger.warning("A statement could not be interrupted: %s", error)
