"""What analytics is asked, and what it answers: the latter for the document, as answers are built from plain values."""

import json
import re
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from analytics.buckets import INTERVALS
from analytics.models import Analysis
from devices.models import validate_timezone
from devices.windows import WindowQuery
from users.serializers import StrictFieldsMixin

MOST_PERCENTILES = 20
PERCENTILE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,30})?", re.ASCII)


class PercentilesField(serializers.CharField):
    """Numbers from 0 to 100 between commas, as a dict from each text to its number."""

    def to_internal_value(self, data: Any) -> Any:
        texts = super().to_internal_value(data).split(",")
        if len(texts) > MOST_PERCENTILES:
            raise serializers.ValidationError(f"At most {MOST_PERCENTILES} percentiles.", "too_many")
        for text in texts:
            if not PERCENTILE.fullmatch(text) or Decimal(text) > 100:
                raise serializers.ValidationError(f"{text!r} is no number from 0 to 100.", "invalid_percentile")
        return {text: Decimal(text) for text in texts}


class TimezoneField(serializers.CharField):
    def to_internal_value(self, data: Any) -> Any:
        name = super().to_internal_value(data)
        validate_timezone(name)
        return ZoneInfo(name)


class AnalyticsQuery(WindowQuery):
    percentiles = PercentilesField(
        default=None, trim_whitespace=False, help_text="Such as `5,95,99.9`: from 0 to 100, at most 20; nearest rank."
    )
    interval = serializers.ChoiceField(
        INTERVALS, default=None, help_text="Adds a summary of each such part of the window, at most 10,000."
    )
    timezone = TimezoneField(
        default=None, help_text="Of the intervals: an IANA name such as `Europe/Berlin`; else the device's own, or UTC."
    )


class UserAnalyticsQuery(AnalyticsQuery):
    aggregate = serializers.ChoiceField(
        ["true", "false"], default="true", help_text="true: one pooled summary; false: one per device."
    )


class AnalysisParameters(StrictFieldsMixin, AnalyticsQuery):
    """The same as JSON: what may be left out may also be null."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.allow_null = field.default is None
        return fields


class UserAnalysisParameters(AnalysisParameters):
    aggregate = serializers.BooleanField(default=True, help_text="true: one pooled summary; false: one per device.")


class AnalysisListQuery(WindowQuery):
    """Of the time at which they were asked for."""

    status = serializers.ChoiceField(Analysis.Status.choices, default=None, help_text="Only those of this status.")


class AxisSummarySerializer(serializers.Serializer[Any]):
    """The figures of one axis, in the unit of its readings; null where there is no reading."""

    min = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)
    sum = serializers.FloatField(allow_null=True)
    avg = serializers.FloatField(allow_null=True)
    median = serializers.FloatField(allow_null=True)
    percentiles = serializers.DictField(
        child=serializers.FloatField(allow_null=True), required=False, help_text="By the text that was asked for."
    )


class BucketSerializer(serializers.Serializer[Any]):
    """The summary of an hour, day, week or month, or of the part of it that is in the window."""

    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField()
    count = serializers.IntegerField()
    x = AxisSummarySerializer()
    y = AxisSummarySerializer()
    z = AxisSummarySerializer()


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
    buckets = BucketSerializer(many=True, required=False)


class DeviceSummarySerializer(SummarySerializer):
    """The readings of one device."""

    device = serializers.IntegerField()


class UserSummarySerializer(SummarySerializer):
    """All readings of all devices of a user, taken together."""

    user = serializers.IntegerField()
    devices = serializers.IntegerField(help_text="How many devices the user has.")


class SummaryPerDeviceSerializer(serializers.Serializer[Any]):
    """A summary of each device of a user, by id, those without readings too."""

    user = serializers.IntegerField()
    results = DeviceSummarySerializer(many=True)


@extend_schema_field(
    PolymorphicProxySerializer(
        "AnalysisResult",
        [DeviceSummarySerializer, UserSummarySerializer, SummaryPerDeviceSerializer],
        None,
        allow_null=True,
    )
)
class ResultField(serializers.JSONField):
    def to_representation(self, value: Any) -> Any:
        return json.loads(value) if value else None


class AnalysisSerializer(serializers.ModelSerializer[Analysis]):
    """A background analysis: what was asked, how far it is, and what came of it."""

    parameters = serializers.DictField(read_only=True, help_text="As they were asked.")
    result = ResultField(
        read_only=True,
        help_text="What the matching analytics call answers. In a list, a long one is null: read it alone.",
    )
    error = serializers.SerializerMethodField(help_text="Why it failed.")

    class Meta:
        model = Analysis
        fields = ["id", "status", "requested_at", "started_at", "finished_at", "parameters", "result", "error"]
        read_only_fields = fields

    def get_error(self, analysis: Analysis) -> str | None:
        return analysis.error or None
