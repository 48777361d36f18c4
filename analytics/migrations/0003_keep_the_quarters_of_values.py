from typing import Any

from django.db import migrations, models

AXES = ("x", "y", "z")


def store_uncompressed(apps: Any, schema_editor: Any) -> None:
    """To find that it can hardly be compressed takes PostgreSQL longer than to write it."""
    if schema_editor.connection.vendor == "postgresql":
        columns = [f"ALTER COLUMN {axis}_quarters SET STORAGE EXTERNAL" for axis in AXES]
        schema_editor.execute(f"ALTER TABLE analytics_rollup {', '.join(columns)}")


class Migration(migrations.Migration):
    dependencies = [("analytics", "0002_keep_blobs_readable_by_slice")]

    operations = [
        *(migrations.AddField("rollup", f"{axis}_quarters", models.BinaryField(null=True)) for axis in AXES),
        migrations.RunPython(store_uncompressed, migrations.RunPython.noop),
    ]
