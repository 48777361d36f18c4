"""How gunicorn serves: `gunicorn config.wsgi`. It needs a buffering proxy in front where strangers can reach it."""

import os
import shutil
import sys
import tempfile
from typing import Any

from django.core.exceptions import ImproperlyConfigured

try:
    from config import settings
except ImproperlyConfigured as error:
    sys.exit(f"Refused to start: {error}")

bind = f"{settings.environment.bind}:{settings.environment.port}"
worker_class = "gthread"
workers = 2
threads = 4  # and two for analyses: at most DATABASE_POOL_SIZE, so that no thread has to wait for a connection
worker_tmp_dir = "/dev/shm"  # the heartbeat file; on a slow disk it would hold workers up
logconfig_dict = settings.LOGGING
accesslog = None  # a request has its line already, with its id and without its query
control_socket_disable = True  # nobody manages it there, and a read-only container has no place for it


def on_starting(server: Any) -> None:
    """In the master: find a place where each process counts for /metrics. A new master goes on with the old one's."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-", dir=worker_tmp_dir)


def post_worker_init(worker: Any) -> None:
    """In each process that serves, never in the master: a fork takes no threads along."""
    from analytics import embedded  # noqa: PLC0415  # models are not there before

    embedded.start()

    from config import metrics  # noqa: PLC0415  # its folder is not there before

    metrics.watch_pool()


def worker_exit(server: Any, worker: Any) -> None:
    from analytics import embedded  # noqa: PLC0415  # as above

    embedded.stop()


def child_exit(server: Any, worker: Any) -> None:
    """In the master: what a process had, such as connections, goes with it; what it has counted stays."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  # nor is here

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # the library has no types for it


def on_exit(server: Any) -> None:
    if not server.reexec_pid:  # else a new master has taken over, and counts on
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
