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
from devices.querysets import DeviceQuerySet, ReadingQuerySet
from devices.transactions import exclusive_device_lock, shared_device_locks

YEAR_IN_SECONDS = 366 * 24 * 3600


_timezones = cache(available_timezones)  # which reads folders


def validate_timezone(name: str) -> None:
    if name not in _timezones() or name == "localtime":  # a file of the machine's, beside those of the zones
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
    """How far the history of a device is closed. A row of its own, so that raising it does not touch the device's."""

    device = models.OneToOneField(Device, models.CASCADE, primary_key=True, related_name="state")
    closed_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"device {self.device_id}, closed until {self.closed_until.isoformat()}"


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
            key = cls.objects.create(device=device, prefix=prefix, secret_hash=_sha256(secret))
        return key, f"{prefix}.{secret}"

    def matches(self, secret: str) -> bool:
        return constant_time_compare(self.secret_hash, _sha256(secret))


def _sha256(secret: str) -> str:
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
