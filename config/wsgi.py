"""The WSGI application: `gunicorn config.wsgi`."""

import os

from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

from analytics import embedded  # noqa: E402  # models are not there before

# gunicorn.conf.py starts it with the process; under another server, the first request does.
request_started.connect(embedded.start)
