"""What is kept so that answers need no scan."""

from typing import Any

from django.db import models

from devices.models import Device
from devices.reading_ids import from_microseconds


class Rollup(models.Model):
    """All readings of one closed period of a device, sorted: a few figures, and per axis every value and a grid.

    Only a READY one agrees with the readings, in each snapshot of the database. A writer who changes readings of the
    period makes it STALE in the same transaction; a BUILDING one becomes READY only if nobody did, see `building`.
    """

    class Status(models.IntegerChoices):
        STALE = 0
        BUILDING = 1
        READY = 2

    pk = models.CompositePrimaryKey("device", "level", "period_start")
    device = models.ForeignKey(Device, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    level = models.IntegerField(help_text="The length of the period in seconds.")
    period_start = models.BigIntegerField(help_text="Microseconds since 1970, as all times here.")
    status = models.SmallIntegerField(choices=Status.choices)
    token = models.BigIntegerField(null=True, help_text="Whose BUILDING this is.")
    count = models.IntegerField(default=0)
    first_at = models.BigIntegerField(null=True)
    last_at = models.BigIntegerField(null=True)
    # Per axis: figures, and little-endian doubles in ascending order, from which a database can read a slice.
    x_sum = models.FloatField(null=True)
    y_sum = models.FloatField(null=True)
    z_sum = models.FloatField(null=True)
    x_median = models.FloatField(null=True)
    y_median = models.FloatField(null=True)
    z_median = models.FloatField(null=True)
    x_grid = models.BinaryField(default=bytes)
    y_grid = models.BinaryField(default=bytes)
    z_grid = models.BinaryField(default=bytes)
    x_values = models.BinaryField(default=bytes)
    y_values = models.BinaryField(default=bytes)
    z_values = models.BinaryField(default=bytes)
    # Of an hour: in which quarter of it each value was read, two bits for each, see `quarters`.
    x_quarters = models.BinaryField(null=True)
    y_quarters = models.BinaryField(null=True)
    z_quarters = models.BinaryField(null=True)

    objects: Any = models.Manager()

    class Meta:
        indexes = [
            # Read by the builder: what is left to do, which is little.
            models.Index(
                fields=["device", "level", "period_start"],
                name="rollup_to_build",
                condition=models.Q(status__lt=2),
            ),
        ]

    def __str__(self) -> str:
        return f"device {self.device_id}, {self.level} s from {from_microseconds(self.period_start)}"
