"""`Authorization: Device <prefix.secret>`: the key brings its device along, in one query."""

from datetime import datetime, timedelta

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from devices.models import DeviceKey
from devices.principals import DevicePrincipal

SCHEME = "Device"
LAST_USED_PRECISION = timedelta(minutes=1)


class DeviceKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[DevicePrincipal, DeviceKey] | None:
        """The device behind a key; None for another scheme; AuthenticationFailed for a key that is not good."""
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        key = self._find(text.strip())
        note_use(key.pk, key.last_used_at)
        return DevicePrincipal(key.device), key

    def authenticate_header(self, request: Request) -> str:
        return SCHEME

    def _find(self, text: str) -> DeviceKey:
        prefix, _, secret = text.partition(".")
        keys = DeviceKey.objects.select_related("device").filter(device__owner__is_active=True)
        # A prefix that no key could have is not worth a query (and a NUL in it would be an error on PostgreSQL).
        key = keys.filter(prefix=prefix).first() if prefix.isalnum() and prefix.isascii() else None
        if key is None or not key.matches(secret):
            raise AuthenticationFailed("This device key is not valid.")
        return key


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
            "description": f'A device\'s key, as "{SCHEME} prefix.secret".',
        }
