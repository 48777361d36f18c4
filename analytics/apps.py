from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        # Models are not there before.
        from analytics.aggregates import register_sqlite_aggregates  # noqa: PLC0415
        from analytics.building import discard, forget, mark_stale  # noqa: PLC0415
        from devices.models import Device  # noqa: PLC0415
        from devices.signals import readings_changed, readings_pruned  # noqa: PLC0415

        connection_created.connect(register_sqlite_aggregates)
        readings_changed.connect(mark_stale)
        readings_pruned.connect(discard)
        post_delete.connect(forget, sender=Device)
