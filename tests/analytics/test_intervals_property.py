"""Buckets of any zone agree with plain Python and with the plain path, whatever rollups there are."""

import os
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import answers, contents, reference
from analytics.building import build
from analytics.models import Rollup
from analytics.reference import AXES
from devices.models import Device
from tests.analytics.test_intervals import nearest_rank
from tests.analytics.test_summaries_property import devices_with
from tests.oracle import Sample, assert_agrees, oracle, within

pytestmark = pytest.mark.django_db

examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 150), derandomize=not examples, database=None, deadline=None)

HOUR = timedelta(hours=1)
PERCENTILES = {text: Decimal(text) for text in ("0", "33.3", "99.9")}
# Each with a moment some hours before its clock changes, where it does.
ZONES = [
    *[("UTC", "2026-03-28T12:00")] * 4,  # whose hours and days are periods of rollups
    ("Europe/Berlin", "2026-03-28T22:00"),
    ("Europe/Berlin", "2026-10-24T22:00"),
    ("Asia/Kathmandu", "2026-03-28T12:00"),
    ("Australia/Lord_Howe", "2026-04-04T11:00"),
    ("America/Havana", "2018-11-03T23:00"),
]
hours = st.sampled_from([0, 1, 2, 11, 12, 13, 35, 36, 71])
minutes = st.sampled_from([0, 0, 15, 30, 31, 45])
microseconds = st.sampled_from([0, 0, 0, 1, -1])
times = st.builds(
    lambda hour, minute, microsecond: timedelta(hours=hour, minutes=minute, microseconds=microsecond),
    hours,
    minutes,
    microseconds,
)
values = st.sampled_from([0.0, 0.1, 0.3, -1.0, 1e15, 5e-324]) | st.floats(-1e15, 1e15).map(lambda value: value + 0.0)
readings = st.lists(st.tuples(st.integers(0, 1), times, values, values, values), min_size=1, max_size=40)
questions = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["day", "hour", "day", "week", "month"]),
        "start_time": st.none() | times,
        "end_time": st.none() | times,
        "percentiles": st.sampled_from([None, None, PERCENTILES]),
    }
)
statuses = st.lists(st.sampled_from(["ready", "ready", "ready", "stale", "missing"]), min_size=1, max_size=12)


@thoroughly
@given(st.sampled_from(ZONES), readings, questions, st.sampled_from([99, 99, 60, 13, 0]), statuses, st.booleans())
def test_buckets_agree_with_plain_python_and_the_plain_path(
    place: tuple[str, str], stored: Any, asked: Any, built_until: int, kept: list[str], is_pooled: bool
) -> None:
    zone, start = ZoneInfo(place[0]), datetime.fromisoformat(place[1]).replace(tzinfo=UTC)
    asked = {name: start + value if isinstance(value, timedelta) else value for name, value in asked.items()}
    rows = [(number, start + shift, x, y, z) for number, shift, x, y, z in stored]
    with pytest.MonkeyPatch.context() as patch, devices_with(rows) as devices:
        patch.setattr(contents, "FEWEST", 1)
        _roll_up(devices, start + built_until * HOUR, kept)
        question = answers.Question(**asked, timezone=zone)
        answer = answers.of_user(devices[0].owner, question) if is_pooled else answers.of_device(devices[0], question)
        bounds, percentiles = (asked["start_time"], asked["end_time"]), asked["percentiles"] or {}
        plain = reference.summarize([devices[0].pk], *bounds, percentiles)
    samples = [row[1:] for row in set(rows) if is_pooled or row[0] == 0]
    _assert_figures(answer, samples, bounds, percentiles)
    for bucket in answer["buckets"]:
        _assert_figures(bucket, samples, (bucket["start_time"], bucket["end_time"]), percentiles)
    if not is_pooled:
        _assert_figures(asdict(plain), samples, bounds, percentiles)
    _assert_calendar(answer, asked["interval"], zone)


def _roll_up(devices: list[Device], now: datetime, kept: list[str]) -> None:
    """Build what is over, then have some of it stale, and some not there."""
    for device in devices:
        sum(build(device, now))
    for number, rollup in enumerate(Rollup.objects.order_by("pk")):
        status = kept[number % len(kept)]
        if status == "stale":
            Rollup.objects.filter(pk=rollup.pk).update(status=Rollup.Status.STALE)
        elif status == "missing":
            Rollup.objects.filter(pk=rollup.pk).delete()


def _assert_figures(answer: Any, samples: list[Sample], window: Any, percentiles: Any) -> None:
    expected = oracle(samples, *window)
    times = {name: answer.get(name, getattr(expected, name)) for name in ("first_at", "last_at")}
    assert_agrees({**answer, **times}, expected)
    inside = within(samples, *window)
    for number, axis in enumerate(AXES, 1):
        column: list[Any] = [sample[number] for sample in inside]
        found = {text: nearest_rank(column, text) if column else None for text in percentiles}
        assert (answer[axis].get("percentiles") or dict.fromkeys(percentiles)) == found


def _assert_calendar(answer: Any, interval: str, zone: ZoneInfo) -> None:
    """The buckets join, hold every reading, and each but the first and the last is one date, week or month."""
    buckets = answer["buckets"]
    assert all(one["end_time"] == other["start_time"] for one, other in pairwise(buckets))
    assert sum(bucket["count"] for bucket in buckets) == answer["count"]
    for bucket in buckets if interval != "hour" else ():
        first, last = (
            moment.astimezone(zone) for moment in (bucket["start_time"], bucket["end_time"] - timedelta(microseconds=1))
        )
        assert _named(first, interval) == _named(last, interval)


def _named(local: datetime, interval: str) -> Any:
    if interval == "week":
        return local.isocalendar()[:2]
    return local.date() if interval == "day" else (local.year, local.month)
