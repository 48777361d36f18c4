"""Which database answers are read from: a replica of the one that all is written to, where the service has one.

Analytics alone are, and those as a whole: what a block reads is of one moment, behind the writers by the replica's lag.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

REPLICA = "replica"
LEFT_ALONE = 10.0  # seconds, after it did not answer

logger = logging.getLogger(__name__)
_alias: ContextVar[str] = ContextVar("the database that is read", default=DEFAULT_DB_ALIAS)
_away_until = float("-inf")


class Router:
    """Django's: a block that reads from the replica does so with every model; nothing is written there."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias.get()

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == DEFAULT_DB_ALIAS


def current_connection() -> BaseDatabaseWrapper:
    """The connection that is read from; outside of `preferred` the one that is written to."""
    return connections[_alias.get()]


@contextmanager
def preferred() -> Iterator[None]:
    """Within the block read from the replica, unless there is none, or it does not answer: then as ever."""
    if _alias.get() == REPLICA or not answers():
        yield
        return
    token = _alias.set(REPLICA)
    try:
        yield
    finally:
        _alias.reset(token)
        connections[REPLICA].close()  # back into the pool, whatever kind of thread this is


def answers() -> bool:
    """Whether there is a replica, and a connection to it can be had; once it could not, not asked for some seconds."""
    global _away_until  # noqa: PLW0603  # one for the process
    if REPLICA not in settings.DATABASES or monotonic() < _away_until:
        return False
    try:
        connections[REPLICA].ensure_connection()
    except (OperationalError, InterfaceError) as error:
        _away_until = monotonic() + LEFT_ALONE
        logger.warning("The replica does not answer, so the primary does: %s", error)
        return False
    return True
