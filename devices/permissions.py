"""What callers may do with a device they see: its owner all, staff by model permission, its key what a view lists."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request

from devices.models import Device, DeviceKey, Reading
from devices.principals import DevicePrincipal
from users.permissions import may_write


class DevicePermission(IsAuthenticated):
    """Views name what a device key may do in `device_key_actions`, and the model whose permission writing needs.

    The object is the device: whoever may write to a device may write its keys and readings. Of a reading, for which the
    browsable API asks before it shows a form, it is that reading's.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.user, DevicePrincipal):
            return view.action in view.device_key_actions
        return super().has_permission(request, view)

    def has_object_permission(self, request: Request, view: Any, obj: Device | DeviceKey | Reading) -> bool:
        if request.method in SAFE_METHODS or isinstance(request.user, DevicePrincipal):
            return True  # for a key, has_permission has decided
        device = obj if isinstance(obj, Device) else obj.device
        return device.owner_id == request.user.pk or may_write(request, view.model)
