from typing import Any

from django.db import migrations, models

AXES = ("x", "y", "z")


def store_uncompressed(apps: Any, schema_editor: Any) -> None:
    """PostgreSQL reads a slice of a value without the rest only where it is not compressed."""
    if schema_editor.connection.vendor == "postgresql":
        columns = [f"ALTER COLUMN {axis}_packed SET STORAGE EXTERNAL" for axis in AXES]
        schema_editor.execute(f"ALTER TABLE analytics_rollup {', '.join(columns)}")


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_create_analysis")]

    operations = [
        *(migrations.AddField("rollup", f"{axis}_decimals", models.SmallIntegerField(null=True)) for axis in AXES),
        *(migrations.AddField("rollup", f"{axis}_packed", models.BinaryField(null=True)) for axis in AXES),
        migrations.AlterField(
            "rollup", "status", models.SmallIntegerField(choices=[(0, "Stale"), (1, "Building"), (3, "Ready")])
        ),
        migrations.RemoveIndex("rollup", "rollup_to_build"),
        migrations.AddIndex(
            "rollup",
            models.Index(
                fields=["device", "level", "period_start"],
                name="rollup_to_build",
                condition=models.Q(status__lt=3),
            ),
        ),
        migrations.RunPython(store_uncompressed, migrations.RunPython.noop),
    ]
