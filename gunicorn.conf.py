"""How gunicorn serves: `gunicorn config.wsgi`. It needs a buffering proxy in front where strangers can reach it."""

import sys

from django.core.exceptions import ImproperlyConfigured

try:
    from config import settings
except ImproperlyConfigured as error:
    sys.exit(f"Refused to start: {error}")

bind = f"{settings.environment.bind}:{settings.environment.port}"
worker_class = "gthread"
workers = 2
threads = 4  # at most DATABASE_POOL_SIZE, so that no thread has to wait for a connection
worker_tmp_dir = "/dev/shm"  # the heartbeat file; on a slow disk it would hold workers up
logconfig_dict = settings.LOGGING
accesslog = None  # a request has its line already, with its id and without its query
control_socket_disable = True  # nobody manages it there, and a read-only container has no place for it
