"""The caller behind a device key."""

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser

if TYPE_CHECKING:
    from devices.models import Device


class DevicePrincipal(AnonymousUser):
    """No user, and no rights of one: whatever asks for a signed-in user refuses it. It may act for one device."""

    def __init__(self, device: "Device") -> None:
        super().__init__()
        self.device = device
