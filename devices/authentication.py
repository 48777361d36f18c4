"""`Authorization: Device <prefix.secret>`: the key brings its device along, in one query."""

import re
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from devices.models import DeviceKey
from devices.principals import DevicePrincipal
from users.failures import Attempt

SCHEME = "Device"
PLAUSIBLE_PREFIX = re.compile(r"[0-9a-f]{12}")
LAST_USED_PRECISION = timedelta(minutes=1)


class InvalidKey(AuthenticationFailed):
    default_detail = "This device key is not valid."


class DeviceKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[DevicePrincipal, DeviceKey] | None:
        """The device behind a key; None for another scheme; AuthenticationFailed for a key that is not good."""
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        key = self._find(request, text.strip())
        note_use(key.pk, key.last_used_at)
        return DevicePrincipal(key.device), key

    def authenticate_header(self, request: Request) -> str:
        return SCHEME

    def _find(self, request: Request, text: str) -> DeviceKey:
        prefix, secret, attempt = checked(request, text)
        keys = DeviceKey.objects.select_related("device").filter(device__owner__is_active=True)
        key = keys.filter(prefix=prefix).first()
        if key is None or not key.matches(secret):
            attempt.failed()
            raise InvalidKey
        attempt.succeeded()
        return key


def checked(request: Request | HttpRequest, text: str) -> tuple[str, str, Attempt]:
    """Prefix and secret of a key that is worth a query; InvalidKey or TooManyFailures for one that is not."""
    prefix, _, secret = text.partition(".")
    if not PLAUSIBLE_PREFIX.fullmatch(prefix):  # (a NUL in it would be an error on PostgreSQL)
        raise InvalidKey
    attempt = Attempt(request, "key", prefix, secret)
    attempt.refuse_if_too_many()
    return prefix, secret, attempt


def note_use(key_id: int, last_used_at: datetime | None) -> None:
    """At most once a minute, so that a busy device does not write its key's row with every reading."""
    now = timezone.now()
    if last_used_at is None or now - last_used_at >= LAST_USED_PRECISION:
        DeviceKey.objects.filter(pk=key_id).update(last_used_at=now)


class DeviceKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers by being defined
    target_class = DeviceKeyAuthentication
    name = "deviceKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"A device's key, `prefix.secret`. Write `{SCHEME} `, with its space, before it.",
        }
