"""Whether the process runs, and whether it can serve. Every wait has a bound, see the settings of the database."""

from functools import cache

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from kombu.connection import Connection
from redis import Redis

from config.faults import RETRY_AFTER
from devices import replica

BROKER_TIMEOUT = 1  # second


def live(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """The database answers too, and has the tables that this code knows; 503 otherwise.

    A broker that is away is told, and does not count: everything is accepted without it, and runs when it is back. Nor
    does a replica: the primary answers in its place.
    """
    parts = _database()
    status = "ok" if all(state == "ok" for state in parts.values()) else "unavailable"
    if settings.BROKER_URL:
        parts["broker"] = "ok" if _broker_answers() else "no answer"
    if replica.REPLICA in settings.DATABASES:
        parts["replica"] = "ok" if replica.answers() else "no answer"
    if status == "ok":
        return JsonResponse({"status": status, **parts})
    return JsonResponse({"status": status, **parts}, status=503, headers={"Retry-After": RETRY_AFTER})


def _database() -> dict[str, str]:
    try:
        applied = MigrationRecorder(connection).applied_migrations()
    except Error:
        return {"database": "no answer"}
    return {"database": "ok", "migrations": "ok" if _last_migrations() <= applied.keys() else "missing"}


@cache
def _last_migrations() -> set[tuple[str, str]]:
    """Of each app. More than these may be applied: a newer release migrates while this one still serves."""
    return set(MigrationLoader(None).graph.leaf_nodes())


def _broker_answers() -> bool:
    try:
        if settings.BROKER_URL.startswith("redis"):
            with Redis.from_url(settings.BROKER_URL, **settings.REDIS_OPTIONS) as redis:
                return bool(redis.ping())
        with Connection(settings.BROKER_URL, connect_timeout=BROKER_TIMEOUT) as broker:  # type: ignore[no-untyped-call]  # kombu has no types
            broker.transport.establish_connection()  # once: `connect` tries again
    except Exception:  # whatever the client makes of it
        return False
    return True
