"""Devices, keys and readings as JSON."""

from typing import Any

from rest_framework import serializers

from devices.exports import MEDIA_TYPES
from devices.models import Device, DeviceKey, Reading
from devices.windows import WindowQuery
from users.integrity import save_changes, unique_or_invalid
from users.models import User
from users.serializers import StrictFieldsMixin, UserSerializer

KEY = "To be sent as `Authorization: Device <key>`. It can't be had again."
# What `devices.values` takes: for the document alone.
NUMBER = {
    "min_value": -1e15,
    "max_value": 1e15,
    "help_text": "In whatever unit the device measures; finite, kept to the bit.",
}
TIME = "RFC 3339 with an offset, at most six digits after the second, from 1900 until before 2200; answers are in UTC."


class DeviceSerializer(StrictFieldsMixin, serializers.ModelSerializer[Device]):
    """What sends readings."""

    class Meta:
        model = Device
        fields = [
            "id", "name", "owner", "description", "timezone", "expected_interval", "retention_days", "is_active",
            "created_at",
        ]  # fmt: skip
        read_only_fields = ["created_at"]
        validators: list[Any] = []  # the database decides on uniqueness, see unique_or_invalid

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        caller = self.context["request"].user
        fields["owner"] = serializers.PrimaryKeyRelatedField(
            queryset=User.objects.visible_to(caller),  # a user's own id, or for staff anybody's
            default=serializers.CreateOnlyDefault(serializers.CurrentUserDefault()),
            style={"base_template": "input.html"},  # no choice among a million users
            help_text="The owner's id: the caller unless staff says otherwise.",
        )
        return fields

    def save(self, **kwargs: Any) -> Device:
        with unique_or_invalid("name"):
            return super().save(**kwargs)

    def update(self, instance: Device, validated_data: dict[str, Any]) -> Device:
        save_changes(instance, validated_data)
        return instance


class NewDeviceSerializer(DeviceSerializer):
    """A device with its first key, which is shown this once."""

    key = serializers.CharField(read_only=True, help_text=KEY)

    class Meta(DeviceSerializer.Meta):
        fields = [*DeviceSerializer.Meta.fields, "key"]


class DeviceKeySerializer(serializers.ModelSerializer[DeviceKey]):
    """A key, without its secret."""

    class Meta:
        model = DeviceKey
        fields = ["prefix", "created_at", "last_used_at"]
        extra_kwargs = {
            "prefix": {"help_text": "The part of the key before its dot, by which it is revoked."},
            "last_used_at": {"help_text": "To the minute; null for a key that was never used."},
        }


class NewDeviceKeySerializer(DeviceKeySerializer):
    """A new key with its secret, which is shown this once."""

    key = serializers.CharField(read_only=True, help_text=KEY)

    class Meta(DeviceKeySerializer.Meta):
        fields = [*DeviceKeySerializer.Meta.fields, "key"]


class OwnedDeviceSerializer(serializers.ModelSerializer[Device]):
    """A device by its name."""

    class Meta:
        model = Device
        fields = ["id", "name"]


class OwnerSerializer(UserSerializer):
    """An account with the devices that it owns."""

    devices = OwnedDeviceSerializer(many=True, read_only=True)

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "devices"]


class ReadingSerializer(serializers.ModelSerializer[Reading]):
    """A reading. Its id follows from its content, and is unique within its device."""

    # Out only: what comes in is checked by `devices.rows`.
    id = serializers.CharField(read_only=True, help_text="Of its content; a changed reading has another one.")

    class Meta:
        model = Reading
        fields = ["id", "device", "recorded_at", "x", "y", "z"]
        read_only_fields = ["device"]
        extra_kwargs: dict[str, dict[str, Any]] = {
            "device": {"help_text": "The device's id."},
            "recorded_at": {"help_text": TIME},
            **dict.fromkeys(("x", "y", "z"), NUMBER),
        }


class NewReadingSerializer(ReadingSerializer):
    """A reading on its way in."""

    recorded_at = serializers.DateTimeField(required=False, help_text=f"{TIME} Without it, the time of receipt.")


class DeviceReadingSerializer(ReadingSerializer):
    """A reading on its way in, with the id of its device."""

    device = serializers.IntegerField(min_value=1, help_text="The id of one of the caller's devices.")

    class Meta(ReadingSerializer.Meta):
        read_only_fields: list[str] = []


class ReadingListQuery(WindowQuery):
    ordering = serializers.ChoiceField(
        ["recorded_at", "-recorded_at"], default="recorded_at", help_text="The oldest first, or the newest."
    )


class BatchQuery(serializers.Serializer[Any]):
    partial = serializers.BooleanField(  # type: ignore[assignment]  # declared fields leave the class
        default=False, help_text="Store the good rows although others are bad."
    )


class CascadeQuery(serializers.Serializer[Any]):
    cascade = serializers.BooleanField(default=False, help_text="Delete the user's devices and their readings too.")


class ExportQuery(WindowQuery):
    file_format = serializers.ChoiceField(list(MEDIA_TYPES), default="csv", help_text="The format of the file.")


class RejectedRowSerializer(serializers.Serializer[Any]):
    """A row that was not stored, and why."""

    index = serializers.IntegerField(help_text="The row's place in the batch, from 0.")
    field = serializers.CharField(help_text="Empty where the row as a whole is bad.")
    code = serializers.CharField(help_text="For programs, such as `not_finite`.")
    detail = serializers.CharField(help_text="For people.")


class ReceiptSerializer(serializers.Serializer[Any]):
    """What became of each row of a batch: received = created + duplicates + rejected_count."""

    received = serializers.IntegerField(help_text="How many rows came.")
    created = serializers.IntegerField(help_text="How many are new.")
    duplicates = serializers.IntegerField(help_text="How many were stored already, or came twice.")
    rejected_count = serializers.IntegerField(help_text="How many are bad, and were left out.")
    rejected = RejectedRowSerializer(many=True, help_text="The first 100 of them.")


class DeletedSerializer(serializers.Serializer[Any]):
    """What a deletion has done."""

    deleted = serializers.IntegerField(help_text="How many readings were deleted.")
