from django.db import migrations, models

AXES = ("x", "y", "z")


class Migration(migrations.Migration):
    """The columns get another name with their other form, so that nobody takes the one for the other."""

    dependencies = [("analytics", "0004_create_analysis")]

    operations = [
        *(migrations.RenameField("rollup", f"{axis}_values", f"{axis}_packed") for axis in AXES),
        *(migrations.AddField("rollup", f"{axis}_decimals", models.SmallIntegerField(null=True)) for axis in AXES),
    ]
