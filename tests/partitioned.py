"""The whole suite on partitions of the readings: `READINGS=partitioned`, on PostgreSQL."""

import os
from datetime import UTC, datetime

PARTITIONED = os.environ.get("READINGS") == "partitioned"


def turn_over() -> None:
    """Months from the new year that most tests write around; what is older is in the first partition."""
    from devices import partitions, turning  # noqa: PLC0415 (asked for by programs that have no Django)

    if not partitions.partitions():
        for _ in turning.turn_over(datetime(2025, 11, 1, tzinfo=UTC), ahead=14):
            pass
