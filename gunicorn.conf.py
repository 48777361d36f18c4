"""How gunicorn serves: `gunicorn config.wsgi`. It needs a buffering proxy in front where strangers can reach it."""

import sys
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


def post_worker_init(worker: Any) -> None:
    """In each process that serves, never in the master: a fork takes no threads along."""
    from analytics import embedded  # noqa: PLC0415  # models are not there before

    embedded.start()


def worker_exit(server: Any, worker: Any) -> None:
    from analytics import embedded  # noqa: PLC0415

    embedded.stop()
