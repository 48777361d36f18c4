"""What is kept so that answers need no scan, and answers that are asked for in the background."""

from typing import Any, Self, cast
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from devices.models import Device
from devices.reading_ids import from_microseconds
from users.models import Caller, User

MOST_BYTES_IN_A_LIST = 16_384  # of a result; a page may have a thousand


class Rollup(models.Model):
    """All readings of one closed period of a device, sorted: a few figures, and per axis every value and a grid.

    Only a READY one agrees with the readings, in each snapshot of the database. A writer who changes readings of the
    period makes it STALE in the same transaction; a BUILDING one becomes READY only if nobody did, see `building`.
    """

    class Status(models.IntegerChoices):
        STALE = 0
        BUILDING = 1
        READY = 3  # 2 was READY of an earlier release, in a form that is not read any more: it is built anew

    pk = models.CompositePrimaryKey("device", "level", "period_start")
    device = models.ForeignKey(Device, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    level = models.IntegerField(help_text="The length of the period in seconds.")
    period_start = models.BigIntegerField(help_text="Microseconds since 1970, as all times here.")
    status = models.SmallIntegerField(choices=Status.choices)
    token = models.BigIntegerField(null=True, help_text="Whose BUILDING this is.")
    count = models.IntegerField(default=0)
    first_at = models.BigIntegerField(null=True)
    last_at = models.BigIntegerField(null=True)
    # Per axis: figures, a grid of doubles, and all values in ascending order, from which a database can read a slice:
    # packed, see `packing`.
    x_sum = models.FloatField(null=True)
    y_sum = models.FloatField(null=True)
    z_sum = models.FloatField(null=True)
    x_median = models.FloatField(null=True)
    y_median = models.FloatField(null=True)
    z_median = models.FloatField(null=True)
    x_grid = models.BinaryField(default=bytes)
    y_grid = models.BinaryField(default=bytes)
    z_grid = models.BinaryField(default=bytes)
    x_decimals = models.SmallIntegerField(null=True)
    y_decimals = models.SmallIntegerField(null=True)
    z_decimals = models.SmallIntegerField(null=True)
    x_packed = models.BinaryField(null=True)
    y_packed = models.BinaryField(null=True)
    z_packed = models.BinaryField(null=True)
    # Read by processes of the earlier release while they are replaced; they go in the next one.
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
                condition=models.Q(status__lt=3),
            ),
        ]

    def __str__(self) -> str:
        return f"device {self.device_id}, {self.level} s from {from_microseconds(self.period_start)}"


class OctetLength(models.Func):
    """How long a text is, without reading it; on SQLite in characters, which in JSON of ours is the same."""

    function = "OCTET_LENGTH"
    output_field = models.IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="LENGTH")


class AnalysisQuerySet(models.QuerySet[Any]):
    def visible_to(self, caller: Caller) -> Self:
        """Staff see every analysis, a user those that they asked for, anybody else none."""
        if not caller.is_authenticated:
            return self.none()
        return self if caller.is_staff else self.filter(requested_by=caller.pk)

    def newest_first(self) -> Self:
        return self.order_by("-requested_at")

    def without_long_results(self) -> Self:
        """For a list: the result is in `short_result`, unless a hundred of its length would be too much."""
        short = models.Q(result_bytes__lte=MOST_BYTES_IN_A_LIST)
        return (
            self.defer("result")
            .annotate(result_bytes=OctetLength("result"))
            .annotate(
                short_result=models.Case(
                    models.When(short, then="result"), default=models.Value("", models.TextField())
                )
            )
        )


class Analysis(models.Model):
    """A question that is answered in the background, and its answer. The row decides: see `analyses`."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (Status.PENDING, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # The composite indexes below serve the foreign keys too.
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    device = models.ForeignKey(Device, models.CASCADE, null=True, blank=True, related_name="+", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    parameters = models.JSONField(help_text="As they were asked.")
    fingerprint = models.CharField(max_length=64, help_text="Equal for equal questions about one target.")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.UUIDField(null=True, blank=True, help_text="Whose run this is.")
    lease_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it is to be seen to: unless its run goes on, or somebody takes it, before.",
    )
    progress = models.FloatField(default=0, help_text="From 0 to 1.")
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True, help_text="Of the last attempt.")
    finished_at = models.DateTimeField(null=True, blank=True)
    # JSON, as it was rendered: PostgreSQL's own type would sort the keys, and make 1e15 a whole number.
    result = models.TextField(blank=True)
    error = models.TextField(blank=True)

    objects = models.Manager.from_queryset(AnalysisQuerySet)()

    class Meta:
        verbose_name_plural = "analyses"
        constraints = [
            models.CheckConstraint(
                name="analysis_has_one_target",
                condition=models.Q(device__isnull=False, user__isnull=True)
                | models.Q(device__isnull=True, user__isnull=False),
            ),
            # Read by `start`: of two equal requests at once, one is kept.
            models.UniqueConstraint(
                name="analysis_open_request_unique",
                fields=["requested_by", "fingerprint"],
                condition=models.Q(status__in=["pending", "running"]),
            ),
        ]
        indexes = [
            # Read by the list of all, of one's own, of a device and of a user, and by the cascades of the latter three.
            models.Index(fields=["requested_at", "id"], name="analysis_by_time"),
            models.Index(fields=["requested_by", "requested_at", "id"], name="analysis_of_requester"),
            models.Index(fields=["device", "requested_at", "id"], name="analysis_of_device"),
            models.Index(fields=["user", "requested_at", "id"], name="analysis_of_user"),
            # Read by the sweeper and by who looks for work: the oldest first. Not on the lease, so that renewing it
            # touches no index; and whole, as SQLite uses no partial index for a status that is a parameter.
            models.Index(fields=["status", "requested_at"], name="analysis_by_status"),
            # Read by `prune`.
            models.Index(fields=["finished_at"], name="analysis_by_end"),
        ]

    def __str__(self) -> str:
        return f"analysis {self.pk}, {self.status}"

    @property
    def target(self) -> Device | User:
        """The device, or the user, whose readings it is about."""
        return cast("Device | User", self.device or self.user)
