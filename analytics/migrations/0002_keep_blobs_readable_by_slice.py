from typing import Any

from django.db import migrations

AXES = ("x", "y", "z")


def store_uncompressed(apps: Any, schema_editor: Any) -> None:
    """PostgreSQL reads a slice of a value without the rest only where it is not compressed."""
    if schema_editor.connection.vendor == "postgresql":
        columns = [f"ALTER COLUMN {axis}_{part} SET STORAGE EXTERNAL" for axis in AXES for part in ("values", "grid")]
        schema_editor.execute(f"ALTER TABLE analytics_rollup {', '.join(columns)}")


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_create_rollup")]

    operations = [migrations.RunPython(store_uncompressed, migrations.RunPython.noop)]
