"""What is sent, for those who know no Django."""

from datetime import UTC, datetime, timedelta
from typing import Any

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NEW_YEAR + timedelta(seconds=seconds)


def fields(seconds: float = 0, x: Any = 1.0, y: Any = 2.0, z: Any = 3.0) -> dict[str, Any]:
    """The body of a reading."""
    return {"recorded_at": at(seconds).isoformat(), "x": x, "y": y, "z": z}
