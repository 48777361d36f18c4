"""A reading's public id: its content, packed and in URL-safe base64, so that it needs no column of its own."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from devices.values import InvalidValue, checked_number, checked_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CONTENT = struct.Struct(">qddd")  # microseconds since 1970, x, y, z


def microseconds(time: datetime) -> int:
    """A time as microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The time that is so many microseconds after 1970, in UTC."""
    return EPOCH + value * MICROSECOND


class Content(NamedTuple):
    recorded_at: datetime
    x: float
    y: float
    z: float


def encode(recorded_at: datetime, x: float, y: float, z: float) -> str:
    """43 characters for a reading."""
    packed = CONTENT.pack(microseconds(recorded_at), x, y, z)
    return urlsafe_b64encode(packed).decode().rstrip("=")


def decode(reading_id: str) -> Content:
    """The content that an id names; ValueError for one that is not exactly as `encode` writes it."""
    try:
        microseconds, x, y, z = CONTENT.unpack(urlsafe_b64decode(reading_id + "="))
        content = Content(checked_time(EPOCH + timedelta(microseconds=microseconds)), *map(checked_number, (x, y, z)))
    except (struct.error, OverflowError, InvalidValue) as error:
        raise ValueError("not a reading's id") from error
    if encode(*content) != reading_id:
        raise ValueError("not a reading's id in its canonical form")
    return content
