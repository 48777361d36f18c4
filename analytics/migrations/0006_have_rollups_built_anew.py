from typing import Any

from django.db import migrations

STALE = 0


def mark_stale(apps: Any, schema_editor: Any) -> None:
    """What they hold is of the other form. Until `rollup` has built them anew, their readings are read raw."""
    apps.get_model("analytics", "Rollup").objects.update(status=STALE, token=None)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0005_pack_the_values")]

    operations = [migrations.RunPython(mark_stale, mark_stale)]
