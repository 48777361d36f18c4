import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0005_know_how_names_are_spread")]

    operations = [
        migrations.AddField(
            model_name="device",
            name="retention_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="For so many days its readings are kept; empty: for as many as the service says.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(36500),
                ],
            ),
        ),
        migrations.AddField(
            model_name="devicestate", name="pruned_before", field=models.DateTimeField(null=True)
        ),
    ]
