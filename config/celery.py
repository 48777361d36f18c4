"""Celery: `celery -A config worker -B` runs background work, and the clock for it. See CELERY_ in the settings."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
def refuse_without_broker(**kwargs: Any) -> None:
    if not app.conf.broker_url:
        raise SystemExit(
            "Refused to start: BROKER_URL: a worker needs one; without it, the service runs analyses itself"
        )
