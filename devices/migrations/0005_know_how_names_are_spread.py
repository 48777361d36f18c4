from typing import Any

from django.db import migrations


def create_statistics(apps: Any, schema_editor: Any) -> None:
    """So that PostgreSQL knows of a part of a name that many have, and does not sort them all for a page of them."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("CREATE STATISTICS device_name_upper ON (UPPER(name::text)) FROM devices_device")


def drop_statistics(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS device_name_upper")


class Migration(migrations.Migration):
    dependencies = [("devices", "0004_keep_what_was_refused")]

    operations = [migrations.RunPython(create_statistics, drop_statistics)]
