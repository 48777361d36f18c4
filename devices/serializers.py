"""Devices, keys and readings as JSON."""

from typing import Any

from rest_framework import serializers

from devices.exports import MEDIA_TYPES
from devices.models import Device, DeviceKey, Reading
from devices.windows import WindowQuery
from users.integrity import save_changes, unique_or_invalid
from users.models import User
from users.serializers import StrictFieldsMixin, UserSerializer


class DeviceSerializer(StrictFieldsMixin, serializers.ModelSerializer[Device]):
    class Meta:
        model = Device
        fields = ["id", "name", "owner", "description", "timezone", "expected_interval", "is_active", "created_at"]
        read_only_fields = ["created_at"]
        validators: list[Any] = []  # the database decides on uniqueness, see unique_or_invalid

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        caller = self.context["request"].user
        fields["owner"] = serializers.PrimaryKeyRelatedField(
            queryset=User.objects.visible_to(caller),  # a user's own id, or for staff anybody's
            default=serializers.CreateOnlyDefault(serializers.CurrentUserDefault()),
            style={"base_template": "input.html"},  # no choice among a million users
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

    key = serializers.CharField(read_only=True)

    class Meta(DeviceSerializer.Meta):
        fields = [*DeviceSerializer.Meta.fields, "key"]


class DeviceKeySerializer(serializers.ModelSerializer[DeviceKey]):
    class Meta:
        model = DeviceKey
        fields = ["prefix", "created_at", "last_used_at"]


class NewDeviceKeySerializer(DeviceKeySerializer):
    """A new key with its secret, which is shown this once."""

    key = serializers.CharField(read_only=True)

    class Meta(DeviceKeySerializer.Meta):
        fields = [*DeviceKeySerializer.Meta.fields, "key"]


class OwnedDeviceSerializer(serializers.ModelSerializer[Device]):
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
    id = serializers.CharField(read_only=True)

    class Meta:
        model = Reading
        fields = ["id", "device", "recorded_at", "x", "y", "z"]
        read_only_fields = ["device"]


class NewReadingSerializer(ReadingSerializer):
    """A reading on its way in."""

    recorded_at = serializers.DateTimeField(required=False, help_text="Without it, the time of receipt.")


class DeviceReadingSerializer(ReadingSerializer):
    """A reading on its way in, with the id of its device."""

    device = serializers.IntegerField()

    class Meta(ReadingSerializer.Meta):
        read_only_fields: list[str] = []


class ReadingListQuery(WindowQuery):
    ordering = serializers.ChoiceField(["recorded_at", "-recorded_at"], default="recorded_at")


class BatchQuery(serializers.Serializer[Any]):
    partial = serializers.BooleanField(  # type: ignore[assignment]  # declared fields leave the class
        default=False, help_text="Store the good rows although others are bad."
    )


class ExportQuery(WindowQuery):
    file_format = serializers.ChoiceField(list(MEDIA_TYPES), default="csv")


class RejectedRowSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="The row's place in the batch, from 0.")
    field = serializers.CharField(help_text="Empty where the row as a whole is bad.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ReceiptSerializer(serializers.Serializer[Any]):
    """What became of each row of a batch: received = created + duplicates + rejected_count."""

    received = serializers.IntegerField()
    created = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected_count = serializers.IntegerField()
    rejected = RejectedRowSerializer(many=True)


class DeletedSerializer(serializers.Serializer[Any]):
    deleted = serializers.IntegerField(help_text="How many readings were deleted.")
