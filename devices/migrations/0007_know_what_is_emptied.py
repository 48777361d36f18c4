from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0006_keep_readings_for_so_long")]

    operations = [
        migrations.AddField(
            model_name="devicestate", name="emptied_before", field=models.DateTimeField(null=True)
        ),
    ]
