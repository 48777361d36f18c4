"""`/metrics`, in Prometheus' form and over all processes of the service, for who has METRICS_TOKEN.

Each process counts into files of its own, which gunicorn.conf.py finds a place for, and whichever is asked adds up.
What the database knows is read when it is asked.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connection, transaction
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.crypto import constant_time_compare
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from analytics.building import GRACE
from analytics.models import Analysis, Rollup
from analytics.periods import Level, floor
from config import problems
from devices import replica
from devices.lookups import chunks, of_each
from devices.models import Device, DeviceState
from devices.reading_ids import microseconds

Handler = Callable[[HttpRequest], HttpResponseBase]

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SAMPLED = 1.0  # seconds between two looks at the pool of connections
LONGEST_LOOK = 2000  # milliseconds that a figure of the database may take

REQUESTS = Counter("monitoring_http_requests", "Requests answered.", ["method", "view", "status"])
SECONDS = Histogram(
    "monitoring_http_request_seconds", "Time to an answer, or to the first byte of a stream.", ["view"], buckets=BUCKETS
)
POOL_SIZE = Gauge("monitoring_database_pool_size", "Connections that are open.", multiprocess_mode="livesum")
POOL_USED = Gauge("monitoring_database_pool_used", "Connections that are at work.", multiprocess_mode="livesum")
POOL_MAX = Gauge("monitoring_database_pool_max", "Connections that may be open.", multiprocess_mode="livesum")
POOL_WAITING = Gauge("monitoring_database_pool_waiting", "Who waits for a connection.", multiprocess_mode="livesum")
POOL_WAITED = Gauge(
    "monitoring_database_pool_waited_seconds", "Time spent waiting for connections.", multiprocess_mode="livesum"
)
POOL_REFUSED = Gauge("monitoring_database_pool_refused", "Who waited in vain.", multiprocess_mode="livesum")


def requests(get_response: Handler) -> Handler:
    """Middleware: count what was answered and how long it took, by the name of the view and not by the path."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = get_response(request)
        view = request.resolver_match.view_name if request.resolver_match else "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(method, view, response.status_code).inc()
        SECONDS.labels(view).observe(time.perf_counter() - started)
        return response

    return handle


def metrics(request: HttpRequest) -> HttpResponse:
    """404 where METRICS_TOKEN is not set, 401 to who does not show it."""
    if not settings.METRICS_TOKEN:
        return problems.answer(request, 404, "not_found", "Not found.")
    if not _may_read(request):
        response = problems.answer(request, 401, "not_authenticated", "Send the token: Authorization: Bearer ….")
        response["WWW-Authenticate"] = "Bearer"
        return response
    sample_pool()
    return HttpResponse(generate_latest(_counted()) + generate_latest(STORED), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_read(request: HttpRequest) -> bool:
    sent = request.META.get("HTTP_AUTHORIZATION", "").encode(errors="replace")
    return constant_time_compare(sent, f"Bearer {settings.METRICS_TOKEN}".encode())


def _counted() -> CollectorRegistry:
    """What all processes have counted; under a server that gave them no place for it, this one alone."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types for it
    return registry


def watch_pool() -> None:
    """Have this process tell how its connections are used, also while nobody asks it for anything."""
    Thread(target=_sample_for_ever, name="metrics", daemon=True).start()


def _sample_for_ever() -> None:
    while True:
        sample_pool()
        time.sleep(SAMPLED)


def sample_pool() -> None:
    """Note how the connections of this process are used; nothing where it has no pool, or none yet."""
    pool = getattr(connection, "_connection_pools", {}).get(DEFAULT_DB_ALIAS)
    if pool is None:
        return
    stats = pool.get_stats()
    POOL_MAX.set(stats["pool_max"])
    POOL_SIZE.set(stats.get("pool_size", 0))
    POOL_USED.set(stats.get("pool_size", 0) - stats.get("pool_available", 0))
    POOL_WAITING.set(stats.get("requests_waiting", 0))
    POOL_WAITED.set(stats.get("requests_wait_ms", 0) / 1000)
    POOL_REFUSED.set(stats.get("requests_errors", 0))


class Stored(Collector):
    """What the database knows: the same whichever process is asked. Without it, that it is away."""

    def collect(self) -> Iterator[Metric]:
        found: list[Metric] = []
        try:
            with transaction.atomic():
                _bound_statements()
                found = [_analyses(), _rollup_lag(), _rollups_to_build()]
        except Error:
            pass  # the figures are missing, and the next line says why
        yield GaugeMetricFamily("monitoring_database_up", "Whether the database answered.", float(bool(found)))
        yield from found
        yield _replica_lag()


def _bound_statements() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {LONGEST_LOOK}")


def _analyses() -> Metric:
    family = GaugeMetricFamily("monitoring_analyses", "Background analyses that are kept.", labels=["status"])
    counts = dict(Analysis.objects.order_by().values_list("status").annotate(Count("pk")))
    for status in Analysis.Status.values:
        family.add_metric([status], counts.get(status, 0))
    return family


def _rollup_lag() -> Metric:
    """Of the device that is furthest behind. A new one counts from its creation, once it has readings to close."""
    now = datetime.now(UTC)
    closed = DeviceState.objects.aggregate(first=Min("closed_until"))["first"]
    firsts = [first for first in (closed, _first_never_closed(now)) if first is not None]
    return GaugeMetricFamily(
        "monitoring_rollup_lag_seconds",
        "Since the time up to which the history of every device is closed; about an hour where all is well.",
        (now - min(firsts)).total_seconds() if firsts else 0,
    )


def _first_never_closed(now: datetime) -> datetime | None:
    """When the first device was made that has readings of an hour that should be closed by now, and none that is."""
    due = floor(microseconds(now) - GRACE, Level.HOUR)
    never_closed = Device.objects.filter(state=None).order_by("created_at").values_list("pk", "created_at")
    created: dict[int, datetime] = dict(never_closed)
    for some in chunks(created):
        oldest = of_each("min(recorded_at)", some, stop=due)
        for device_id in some:
            if oldest[device_id] is not None:
                return created[device_id]
    return None


def _rollups_to_build() -> Metric:
    number = Rollup.objects.filter(status__lt=Rollup.Status.READY).count()
    return GaugeMetricFamily("monitoring_rollups_to_build", "Rollups that are stale or being built.", number)


def _replica_lag() -> Metric:
    """Also while nothing comes from the primary any more; up to a minute, then, where all is well and nobody writes."""
    text = "Since the last write that the replica has; missing while it does not answer, or where there is none."
    family = GaugeMetricFamily("monitoring_replica_lag_seconds", text)
    if replica.answers():
        with suppress(Error), replica.preferred(), replica.current_connection().cursor() as cursor:
            cursor.execute("SELECT coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::float8")
            family.add_metric([], cursor.fetchone()[0])
    return family


STORED = CollectorRegistry()
STORED.register(Stored())
