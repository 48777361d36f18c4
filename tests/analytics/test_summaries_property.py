"""Summaries of any readings agree with plain Python."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.reference import Summary
from analytics.summaries import summarize, summarize_each
from devices.models import Device
from devices.rows import Row
from tests.helpers import NEW_YEAR, at, store_rows, stored
from tests.oracle import Oracle, assert_agrees, oracle
from users.models import User

pytestmark = pytest.mark.django_db

DEVICES = 3
Content = tuple[int, datetime, float, float, float]  # which of the devices, recorded_at, x, y, z
Example = tuple[list[Content], datetime | None, datetime | None]  # readings and a window
MICROSECOND = timedelta(microseconds=1)

# Without HYPOTHESIS_EXAMPLES the same examples in each run; with it, that many new ones.
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 150), derandomize=not examples, database=None, deadline=None)

few_times = st.integers(0, 4).map(lambda number: NEW_YEAR + number * MICROSECOND)  # so that many are equal
any_times = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))
times = st.one_of(few_times, few_times, any_times)
few_values = st.sampled_from([0.0, 0.1, 0.3, -0.1, 1.0, 1e15, -1e15, 1e15 - 0.125, 5e-324, -5e-324, 1.5e-323])
any_values = st.floats(-1e15, 1e15).map(lambda value: value + 0.0)  # one zero only, as it is stored
subnormals = st.floats(-2.225073858507201e-308, 2.225073858507201e-308).map(lambda value: value + 0.0)
values = few_values | any_values | subnormals
contents = st.tuples(st.integers(0, DEVICES - 1), times, values, values, values)


@st.composite
def readings_with_duplicates(draw: st.DrawFn) -> list[Content]:
    """Contents of readings, some of them more than once, some the same on more than one device."""
    once = draw(st.lists(contents, max_size=25))
    if not once:
        return once
    again = draw(st.lists(st.sampled_from(once), max_size=5))
    elsewhere = draw(st.lists(st.tuples(st.integers(0, DEVICES - 1), st.sampled_from(once)), max_size=5))
    return once + again + [(number, *content[1:]) for number, content in elsewhere]


@st.composite
def readings_and_windows(draw: st.DrawFn) -> Example:
    """Readings, and a window whose bounds often are the time of a reading. It may end where it starts, or before."""
    contents = draw(readings_with_duplicates())
    bounds: st.SearchStrategy[datetime | None] = st.none() | times
    if contents:
        bounds |= st.sampled_from(contents).map(lambda content: content[1])
    start_time = draw(bounds)
    return contents, start_time, draw(bounds | st.just(start_time))


@thoroughly
@given(readings_and_windows(), st.sets(st.integers(0, DEVICES - 1), min_size=1))
def test_a_pooled_summary_agrees_with_plain_python(example: Example, chosen: set[int]) -> None:
    contents, start_time, end_time = example
    with devices_with(contents) as devices:
        samples = [content[1:] for content in set(contents) if content[0] in chosen]
        summary = summarize([devices[number] for number in chosen], start_time, end_time)
    assert_agrees(summary, oracle(samples, start_time, end_time))


@thoroughly
@given(readings_and_windows())
def test_the_summaries_of_each_device_agree_with_plain_python(example: Example) -> None:
    contents, start_time, end_time = example
    with devices_with(contents) as devices:
        summaries = summarize_each(Device.objects.all(), start_time, end_time)
    for number, device in enumerate(devices):
        samples = [content[1:] for content in set(contents) if content[0] == number]
        assert_agrees(summaries.pop(device.pk, Summary()), oracle(samples, start_time, end_time))
    assert not summaries


def test_devices_without_readings_in_the_window_have_no_summary_of_their_own(device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    assert summarize_each(Device.objects.all(), at(1)) == {}


def test_no_devices_have_no_readings(device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    assert summarize([]) == Summary()


def test_a_sum_does_not_drift(device: Device) -> None:
    """One after the other, 100,000 times 0.1 is off by 1.9e-12."""
    samples = [(NEW_YEAR + number * MICROSECOND, 0.1, 0.1, 0.1) for number in range(100_000)]
    store_rows([Row(device.pk, *sample) for sample in samples])
    assert_agrees(summarize([device]), oracle(samples))


def test_values_that_cancel_leave_the_small_ones(device: Device) -> None:
    stored(device, (0, 1e15, 1e15, 0.0), (1, 1.0, 0.125, 0.0), (2, -1e15, -1e15, 0.0))
    summary = summarize([device])
    assert (summary.x.sum, summary.y.sum, summary.x.avg) == (1.0, 0.125, 1 / 3)


def test_the_smallest_values_that_cancel_are_summed(device: Device) -> None:
    tiny = 5e-324
    stored(device, (0, tiny, 0, 0), (1, tiny, 0, 0), (2, tiny, 0, 0), (3, -3 * tiny, 0, 0))
    assert summarize([device]).x.sum == 0.0


@pytest.mark.parametrize("pair", [(0.1, 0.7), (1.0, 1e15), (5e-324, 1e-323), (-5e-324, 0.0), (1e15, 1e15 - 0.125)])
def test_the_median_of_two_is_half_of_their_sum_to_the_bit(device: Device, pair: tuple[float, float]) -> None:
    a, b = pair
    stored(device, (0, a, a, a), (1, b, b, b))
    median = summarize([device]).x.median
    assert median is not None
    assert median.hex() == ((a + b) / 2).hex()


def test_the_oracle_is_half_open() -> None:
    samples = [(at(second), 1.0, 2.0, 3.0) for second in range(3)]
    assert oracle(samples, at(1), at(2)).count == 1
    assert oracle(samples, at(1), at(1)) == Oracle()


@contextmanager
def devices_with(contents: list[Content]) -> Iterator[list[Device]]:
    """Three devices with these readings, as long as the block runs."""
    with transaction.atomic():
        owner = User.objects.create(username="owner")
        devices = [Device.objects.create(owner=owner, name=str(number)) for number in range(DEVICES)]
        if contents:
            store_rows([Row(devices[number].pk, time, x, y, z) for number, time, x, y, z in contents])
        yield devices
        transaction.set_rollback(True)
