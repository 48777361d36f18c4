"""Summaries as JSON."""

from typing import Any

from rest_framework import serializers

from devices.windows import WindowQuery


class AxisSummarySerializer(serializers.Serializer[Any]):
    min = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)
    sum = serializers.FloatField(allow_null=True)
    avg = serializers.FloatField(allow_null=True)
    median = serializers.FloatField(allow_null=True)


class SummarySerializer(serializers.Serializer[Any]):
    """Count and, per axis, exact figures; an empty window has count 0 and nulls."""

    start_time = serializers.DateTimeField(allow_null=True, help_text="The window that was asked for.")
    end_time = serializers.DateTimeField(allow_null=True)
    count = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True, help_text="The time of the first reading in the window.")
    last_at = serializers.DateTimeField(allow_null=True)
    x = AxisSummarySerializer()
    y = AxisSummarySerializer()
    z = AxisSummarySerializer()


class DeviceSummarySerializer(SummarySerializer):
    device = serializers.IntegerField()


class UserSummarySerializer(SummarySerializer):
    """All readings of all devices of a user, taken together."""

    user = serializers.IntegerField()
    devices = serializers.IntegerField(help_text="How many devices the user has.")


class SummaryPerDeviceSerializer(serializers.Serializer[Any]):
    user = serializers.IntegerField()
    results = DeviceSummarySerializer(many=True)


class UserAnalyticsQuery(WindowQuery):
    aggregate = serializers.ChoiceField(
        ["true", "false"], default="true", help_text="true: one pooled summary; false: one per device."
    )
