"""Small curves for a list of devices: one reading of each half hour of the last day, however many there are.

Every one is a look-up in the index, so that a page of a list costs the same for a reading a minute as for a thousand a
second. What lies between is on the device's own page.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from analytics.reference import AXES
from devices.lookups import chunks, look_up, time_to, within
from devices.models import Device
from devices.reading_ids import microseconds

POINTS = 48
STEP = timedelta(minutes=30)
WIDTH, HEIGHT, GAP = 56, 32, 12  # of an axis, and between two

_FIRST_READING = """
SELECT {axis} FROM devices_reading reading WHERE reading.device_id = {{device}}
AND reading.recorded_at >= wanted.column3 AND reading.recorded_at < wanted.column4 AND {{within}}
ORDER BY reading.recorded_at, reading.x, reading.y, reading.z LIMIT 1
"""
_SAMPLES = f"""
SELECT wanted.column1, {", ".join(f"({_FIRST_READING.format(axis=axis)})" for axis in AXES)}
FROM (VALUES {{values}}) AS wanted
"""


def thumbnails(devices: Sequence[Device], end_time: datetime) -> list[list[str]]:
    """For each device the paths of x, y and z over the day before `end_time`; none without readings."""
    start = end_time - POINTS * STEP
    edges = [microseconds(start + number * STEP) for number in range(POINTS + 1)]
    wanted = [
        (place * POINTS + number, device.pk, time_to(edges[number]), time_to(edges[number + 1]))
        for place, device in enumerate(devices)
        for number in range(POINTS)
    ]
    samples: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    for chunk in chunks(wanted):
        for number, *axes in look_up(_SAMPLES, chunk, within=within("recorded_at", pairwise(edges))):
            if axes[0] is not None:
                samples[number // POINTS].append((number % POINTS, axes))
    return [_paths(sorted(samples[place])) for place in range(len(devices))]


def _paths(samples: Sequence[tuple[int, Any]]) -> list[str]:
    """Side by side, each by its own scale."""
    return [_path(axis, [(number, axes[axis]) for number, axes in samples]) for axis in range(3)] if samples else []


def _path(axis: int, points: Sequence[tuple[int, float]]) -> str:
    """Joined where half hours follow each other; `h0` makes a dot of what stands alone."""
    lowest, highest = min(value for _, value in points), max(value for _, value in points)
    parts, previous = [], None
    for number, value in points:
        x = axis * (WIDTH + GAP) + WIDTH * (number + 0.5) / POINTS
        y = HEIGHT * (0.1 + 0.8 * ((highest - value) / (highest - lowest) if highest > lowest else 0.5))
        is_joined = previous == number - 1
        parts.append(f"{'L' if is_joined else 'M'}{x:.1f} {y:.1f}{'' if is_joined else 'h0'}")
        previous = number
    return "".join(parts)
