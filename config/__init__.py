"""How the apps are put together. Celery's own has to be known to every process that may publish."""

from config.celery import app as celery_app

__all__ = ("celery_app",)
