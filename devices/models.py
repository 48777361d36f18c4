"""Devices, their keys and their readings."""

import hashlib
import secrets
from functools import cache
from typing import Any, Self
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils.crypto import constant_time_compare

from devices import reading_ids
from devices.querysets import DeviceQuerySet, ReadingQuerySet, RefusalQuerySet
from devices.transactions import exclusive_device_lock, shared_device_locks

YEAR_IN_SECONDS = 366 * 24 * 3600
CENTURY_IN_DAYS = 36_500


@cache
def timezones() -> set[str]:
    """The names of all zones; it reads folders, in which there may be a file of the machine's beside those of zones."""
    return available_timezones() - {"localtime"}


def validate_timezone(name: str) -> None:
    if name not in timezones():
        raise ValidationError(f"{name!r} is not the name of an IANA time zone.", code="unknown_timezone")


class Device(models.Model):
    """A thing that sends readings, and belongs to one user."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="devices", db_index=False)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, max_length=2000)
    timezone = models.CharField(
        max_length=64, blank=True, validators=[validate_timezone], help_text="IANA name, such as Europe/Berlin."
    )
    expected_interval = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001), MaxValueValidator(YEAR_IN_SECONDS)],
        help_text="Seconds that usually pass between two readings.",
    )
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(CENTURY_IN_DAYS)],
        help_text="For so many days its readings are kept; empty: for as many as the service says.",
    )
    is_active = models.BooleanField(default=True, help_text="An inactive device takes no readings.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = models.Manager.from_queryset(DeviceQuerySet)()

    class Meta:
        constraints = [
            # Its index also serves the look-ups by owner alone, and the foreign key.
            models.UniqueConstraint(fields=["owner", "name"], name="device_name_unique_per_owner"),
        ]

    def __str__(self) -> str:
        return self.name

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the device for good: itself and its keys at once, its readings, unreachable by then, in steps."""
        device_id = self.pk
        with exclusive_device_lock(device_id):
            deleted = super().delete(*args, **kwargs)
            transaction.on_commit(lambda: Reading.objects.purge([device_id]), robust=True)
        return deleted


class DeviceState(models.Model):
    """How far the history of a device is closed. A row of its own, so that raising it does not touch the device's.

    What is before `pruned_before` is deleted, or about to be, and is not taken in again, see `retention`. It is never
    after `closed_until`, so who looks at the one knows on which side of the other he is. `emptied_before` follows it:
    there is no reading from before that, nor will there be. None of the three ever falls.
    """

    device = models.OneToOneField(Device, models.CASCADE, primary_key=True, related_name="state")
    closed_until = models.DateTimeField()
    pruned_before = models.DateTimeField(null=True)
    emptied_before = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"device {self.device_id}, closed until {self.closed_until.isoformat()}"


class DeviceActivity(models.Model):
    """When an active device was heard of last, and whether that is too long ago: as of the last minute, see `figures`.

    A row of its own, so that a minute's refresh rewrites no device; only the status has an index, as it seldom changes.
    """

    class Status(models.TextChoices):
        REPORTING = "reporting", "reporting"
        SILENT = "silent", "silent"
        UNKNOWN = "unknown", "without an expected interval"
        INACTIVE = "inactive", "inactive"

    device = models.OneToOneField(Device, models.CASCADE, primary_key=True, related_name="activity")
    last_reading_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=9, choices=Status.choices)

    class Meta:
        indexes = [models.Index(fields=["status", "device"], name="activity_by_status")]

    def __str__(self) -> str:
        return f"device {self.device_id}, {self.status}"


class HourlyCount(models.Model):
    """How many readings have a time in an hour of the last day, over all devices: as of the last minute."""

    hour = models.DateTimeField(primary_key=True)
    count = models.BigIntegerField(default=0)
    counted_until = models.DateTimeField()
    is_final = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.count} readings in the hour from {self.hour.isoformat()}"


class Figure(models.Model):
    """A total, as of the last minute."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.BigIntegerField()
    computed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class Refusal(models.Model):
    """That readings of a device were refused, and why; nothing of what was sent. See `refusals`."""

    # No constraints, so that writing it waits for nobody; a row of a device that is gone is met by nobody, and expires.
    device = models.ForeignKey(
        Device, models.CASCADE, null=True, related_name="refusals", db_constraint=False, db_index=False
    )
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+", db_constraint=False, db_index=False,
        help_text="The account that sent it, where it was no device with its key.",
    )  # fmt: skip
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(help_text="Of the answer.")
    faults = models.PositiveIntegerField(help_text="How many, or how many of them the answer named.")
    size = models.BigIntegerField(help_text="Of the body, in bytes.")
    pointer = models.CharField(max_length=100, blank=True, help_text="The place of the first fault.")
    code = models.CharField(max_length=50)
    detail = models.CharField(max_length=200)

    objects = models.Manager.from_queryset(RefusalQuerySet)()

    class Meta:
        indexes = [
            # Read by the device's page, the cap and the cascades; the second by the list and by what expires.
            models.Index(fields=["device", "-at"], name="refusal_of_device"),
            models.Index(fields=["sender", "-at"], name="refusal_of_sender"),
            models.Index(fields=["at"], name="refusal_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.code} at {self.at.isoformat()}"


class DeviceKey(models.Model):
    """A secret that lets a device speak for itself. Only its hash is kept; revoking it deletes the row.

    The secret has 256 random bits, so one round of SHA-256 is as good as any number: there is nothing to guess.
    """

    device = models.ForeignKey(Device, models.CASCADE, related_name="keys")
    prefix = models.CharField(max_length=12, unique=True)
    secret_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.prefix

    @classmethod
    def issue(cls, device: Device) -> tuple[Self, str]:
        """A new key of a device, and its text `prefix.secret`, which can't be had again."""
        prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with shared_device_locks([device.pk]):  # a deletion at the same time would miss the key, and fail on it
            key = cls.objects.create(device=device, prefix=prefix, secret_hash=hash_of(secret))
        return key, f"{prefix}.{secret}"

    def matches(self, secret: str) -> bool:
        return constant_time_compare(self.secret_hash, hash_of(secret))


def hash_of(secret: str) -> str:
    """What is kept of a key's secret. It is 256 random bits, so a quick hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Reading(models.Model):
    """What a device measured at one moment. A reading is its content: the same one twice is one row.

    Rows are written by `devices.ingest` alone, and never changed: a changed value is another reading.
    """

    pk = models.CompositePrimaryKey("device", "recorded_at", "x", "y", "z")
    # No constraint in the database: it costs more than half of the ingest rate. The lock of
    # `devices.transactions` keeps readings of deleted devices out instead.
    device = models.ForeignKey(Device, models.DO_NOTHING, related_name="readings", db_constraint=False, db_index=False)
    recorded_at = models.DateTimeField()
    x = models.FloatField()
    y = models.FloatField()
    z = models.FloatField()

    objects = models.Manager.from_queryset(ReadingQuerySet)()

    def __str__(self) -> str:
        return f"device {self.device_id} at {self.recorded_at.isoformat()}"

    @property
    def id(self) -> str:
        """The public name of the reading, unique within its device."""
        return reading_ids.encode(self.recorded_at, self.x, self.y, self.z)
