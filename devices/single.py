"""The hot path of a fleet: one reading, posted by its device with its key, stored in one round trip.

It answers only where everything is as usual, on PostgreSQL. Wherever anything is not, nothing has been stored, and the
view behind it, which knows every case and every error, takes the request as if it had come there first.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any
from weakref import WeakSet

import msgspec
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.exceptions import APIException

from devices import metrics, reading_ids, values
from devices.authentication import checked, note_use
from devices.formats import DecodedReading
from devices.models import hash_of
from devices.rows import Row
from devices.transactions import LOCK_BUCKETS, LOCK_CLASS
from devices.values import InvalidValue
from users.integrity import is_passing

View = Callable[..., HttpResponseBase]

PREPARE = """
PREPARE devices_store_single (text, text, bigint, timestamptz, float8, float8, float8) AS
WITH caller AS (
    SELECT key.id, key.last_used_at FROM devices_devicekey key
    JOIN devices_device device ON device.id = key.device_id
    JOIN users_user owner ON owner.id = device.owner_id
    WHERE key.prefix = $1 AND key.secret_hash = $2 AND device.id = $3 AND device.is_active AND owner.is_active
    -- What comes late, into a closed time, is for the full path, which tells of it; and refuses what is from before
    -- `pruned_before`, which is never after `closed_until`.
    AND NOT EXISTS (SELECT FROM devices_devicestate state WHERE state.device_id = $3 AND state.closed_until > $4)
), created AS (
    INSERT INTO devices_reading (device_id, recorded_at, x, y, z)
    SELECT $3, $4, $5, $6, $7 FROM caller ON CONFLICT DO NOTHING RETURNING 1
)
SELECT caller.id, caller.last_used_at, (SELECT count(*) FROM created) FROM caller
"""
# Two statements in one message: the second sees what was committed while the first waited for the lock. They are one
# transaction, which the server commits before it answers.
STORE = """
SELECT pg_advisory_xact_lock_shared(%s, %s);
EXECUTE devices_store_single (%s, %s, %s, %s, %s, %s, %s)
"""
_prepared: WeakSet[Any] = WeakSet()  # the connections of the pool that know the statement


_DECODER = msgspec.json.Decoder(DecodedReading)


def in_one_round_trip(view: View) -> View:
    """Answer a device's usual single POST, and leave everything else to the view."""

    @wraps(view)
    def handle(request: HttpRequest, device_id: int, **kwargs: Any) -> HttpResponseBase:
        response = _store(request, device_id) if _is_usual(request) else None
        return response if response is not None else view(request, device_id=device_id, **kwargs)

    return handle


def _is_usual(request: HttpRequest) -> bool:
    meta = request.META
    return (
        request.method == "POST"
        and connection.vendor == "postgresql"
        and meta.get("CONTENT_TYPE") == "application/json"
        and meta.get("HTTP_AUTHORIZATION", "").startswith("Device ")
        and meta.get("HTTP_ACCEPT", "*/*") in ("*/*", "application/json")
        and "HTTP_CONTENT_ENCODING" not in meta
        and not meta.get("QUERY_STRING")
    )


def _store(request: HttpRequest, device_id: int) -> HttpResponse | None:
    """201 or 200 with the reading; None where the usual way does not do."""
    try:
        row = _row(request.body, device_id)
        prefix, secret, attempt = checked(request, request.META["HTTP_AUTHORIZATION"].removeprefix("Device ").strip())
        stored = _execute(prefix, secret, row)
    except (APIException, InvalidValue, msgspec.MsgspecError, RecursionError, ValueError):
        return None
    except DatabaseError as error:
        if is_passing(error):  # the other way would only wait for it once more
            raise
        return None
    if stored is None:
        return None
    attempt.succeeded()
    key_id, last_used_at, created = stored
    metrics.count_stored(1, created)
    with suppress(DatabaseError):  # the reading is stored, and what comes after that may not fail
        note_use(key_id, last_used_at)
    return HttpResponse(_answer(row), content_type="application/json", status=201 if created else 200)


def _row(body: bytes, device_id: int) -> Row:
    device_id = values.identifier(device_id)
    reading = _DECODER.decode(body)
    axes = map(values.checked_number, (reading.x, reading.y, reading.z))
    return Row(device_id, values.time(reading.recorded_at), *axes)


def _execute(prefix: str, secret: str, row: Row) -> tuple[int, Any, int] | None:
    """The key's id, when it was last used, and how many readings are new; None where key or device do not let it."""
    secret_hash = hash_of(secret)
    with connection.cursor() as cursor:
        if connection.connection not in _prepared:
            cursor.execute(PREPARE)
            _prepared.add(connection.connection)
        cursor.execute(STORE, [LOCK_CLASS, row.device_id % LOCK_BUCKETS, prefix, secret_hash, *row])
        cursor.nextset()
        stored: tuple[int, Any, int] | None = cursor.fetchone()
    return stored


def _answer(row: Row) -> bytes:
    device_id, recorded_at, *axes = row
    fields = {
        "id": reading_ids.encode(recorded_at, *axes),
        "device": device_id,
        "recorded_at": values.text_of_time(recorded_at),
    }
    return msgspec.json.encode({**fields, **dict(zip("xyz", axes, strict=True))})
