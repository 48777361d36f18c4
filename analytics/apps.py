from django.apps import AppConfig
from django.db.backends.signals import connection_created


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        from analytics.aggregates import register_sqlite_aggregates  # noqa: PLC0415  # models are not there before

        connection_created.connect(register_sqlite_aggregates)
