"""What is more than memory is for is gone through in groups, and answered as exactly as the rest."""

import math
import os
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import contents, large_pools, raw, summaries, tiling
from analytics.building import build
from analytics.large_pools import LargePool
from analytics.order_statistics import bracket, grid, nearest_rank, thinned
from analytics.summaries import summarize, summarize_between
from devices.models import Device
from devices.retention import prune
from devices.rows import Row
from tests.analytics.test_summaries_property import Example, devices_with, readings_and_windows
from tests.helpers import NEW_YEAR, at, store_rows
from tests.oracle import Sample, assert_agrees, oracle

pytestmark = pytest.mark.django_db

PERCENTILES = {text: Decimal(text) for text in ("0", "12.5", "50", "99.9")}
LATER = at(40 * 86_400)
# Without HYPOTHESIS_EXAMPLES the same examples in each run; with it, that many new ones.
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(
    max_examples=int(examples or 60),
    derandomize=not examples,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the same little memory for each example
)

values = st.integers(-9, 9).map(float) | st.floats(-1e15, 1e15).map(lambda value: value + 0.0)
blocks_of_values = st.lists(st.tuples(st.lists(values, max_size=40), st.integers(1, 12)), max_size=8)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little that a few readings are too many."""
    monkeypatch.setitem(raw.MAX_RAW, connection.vendor, 60)
    monkeypatch.setattr(tiling, "MAX_KNOTS", 90)
    monkeypatch.setattr(summaries, "MAX_VALUES", 4)
    monkeypatch.setattr(large_pools, "ROOM", 8)
    monkeypatch.setattr(large_pools, "AT_FIRST", 2)
    monkeypatch.setattr(contents, "FEWEST", 4)


@pytest.fixture
def large_pools_made(monkeypatch: pytest.MonkeyPatch) -> list[LargePool]:
    made: list[LargePool] = []

    class Noted(LargePool):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(summaries, "LargePool", Noted)
    return made


def history(device: Device, readings: int = 1500) -> list[Sample]:
    """A reading each two minutes, for some two days."""
    samples = [(at(120 * n + 0.5), float(n * 7919 % 1009) / 8, float(-n), float(n % 3)) for n in range(readings)]
    store_rows([Row(device.pk, *sample) for sample in samples])
    return samples


def assert_is_of(summary: Any, samples: list[Sample]) -> None:
    assert_agrees(summary, oracle(samples))
    for place, axis in enumerate((summary.x, summary.y, summary.z), 1):
        ordered = sorted(sample[place] for sample in samples)
        ranks = {text: nearest_rank(number, len(ordered)) for text, number in PERCENTILES.items()}
        assert axis.percentiles == {text: ordered[rank] for text, rank in ranks.items()}


@settings(thoroughly, max_examples=300)
@given(blocks_of_values, st.integers(1, 9))
def test_a_thinned_grid_is_the_grid_of_longer_steps(blocks: list[tuple[list[float], int]], by: int) -> None:
    arrays = [np.array(sorted(some), dtype=np.float64) for some, _ in blocks]
    counts, steps = [some.size for some in arrays], [step for _, step in blocks]
    grids = [grid(some, step) for some, step in zip(arrays, steps, strict=True)]
    longer = [grid(some, step * by) for some, step in zip(arrays, steps, strict=True)]
    empty = np.empty(0)
    assert (
        thinned(np.concatenate([empty, *grids]), counts, steps, by).tolist()
        == np.concatenate([empty, *longer]).tolist()
    )


@pytest.mark.usefixtures("little_memory")
@thoroughly
@given(readings_and_windows(), st.sets(st.integers(0, 2), min_size=1), st.booleans())
def test_with_little_memory_summaries_agree_with_plain_python(
    example: Example, chosen: set[int], is_rolled_up: bool
) -> None:
    contents, start_time, end_time = example
    with devices_with(contents) as devices:
        for number in chosen if is_rolled_up else ():
            sum(build(devices[number], LATER))
        samples = [content[1:] for content in set(contents) if content[0] in chosen]
        summary = summarize([devices[number] for number in chosen], start_time, end_time)
    assert_agrees(summary, oracle(samples, start_time, end_time))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("is_rolled_up", [False, True])
def test_a_history_that_is_too_large_is_gone_through_in_groups_and_passes(
    device: Device, other_device: Device, is_rolled_up: bool, large_pools_made: list[LargePool], monkeypatch: Any
) -> None:
    sizes: list[int] = []

    def counted(*args: Any) -> Any:
        plan = bracket(*args)
        sizes.append(plan.size)
        return plan

    monkeypatch.setattr(large_pools, "ROOM", 200)
    monkeypatch.setattr(large_pools, "bracket", counted)
    samples = history(device, 700) + history(other_device, 800)
    for one in (device, other_device) if is_rolled_up else ():
        sum(build(one, LATER))
    assert_is_of(summarize([device, other_device], None, None, PERCENTILES), samples)
    (pool,) = large_pools_made
    assert len(pool.groups) > 10
    first, second, *_, last = (max(sizes[place : place + 3]) for place in range(0, len(sizes), 3))
    assert first > 200
    assert first > second > last == 0


@pytest.mark.usefixtures("little_memory")
def test_a_span_is_cut_where_long_periods_begin(device: Device, large_pools_made: list[LargePool]) -> None:
    history(device)
    sum(build(device, LATER))
    summarize([device], at(1000), at(170_000))
    (pool,) = large_pools_made
    inner = [span.start for group in pool.groups for span in group.spans][1:]
    assert inner
    assert all(start % (3600 * 10**6) == 0 for start in inner)


@pytest.mark.usefixtures("little_memory")
def test_buckets_that_are_too_many_at_once_are_answered_in_parts(device: Device) -> None:
    samples = history(device)
    sum(build(device, LATER))
    edges = [at(hour * 3600) for hour in range(0, 51, 5)]
    for start, stop, summary in zip(edges, edges[1:], summarize_between([device], edges), strict=False):
        assert_agrees(summary, oracle(samples, start, stop))


@pytest.mark.usefixtures("little_memory")
def test_more_readings_of_one_time_than_memory_is_for_are_left_to_the_database(
    device: Device, large_pools_made: list[LargePool]
) -> None:
    samples = [(at(7), float(n), float(n % 5), 1.0) for n in range(100)]
    store_rows([Row(device.pk, *sample) for sample in samples])
    assert_is_of(summarize([device], None, None, PERCENTILES), samples)
    assert large_pools_made == []


@pytest.mark.usefixtures("little_memory")
def test_such_a_device_that_was_pruned_further_than_another_hides_nothing_of_it(
    device: Device, other_device: Device
) -> None:
    samples = [(at(7200), float(n), float(n % 5), 1.0) for n in range(100)]
    earlier = (at(0), 1.0, 2.0, 3.0)
    store_rows([Row(device.pk, *sample) for sample in samples] + [Row(other_device.pk, *earlier)])
    list(prune(device.pk, at(3600)))
    for devices in ([device, other_device], [other_device, device]):
        assert_is_of(summarize(devices, None, None, PERCENTILES), [earlier, *samples])


@pytest.mark.usefixtures("little_memory")
def test_what_no_pass_halves_is_read_whole(device: Device, monkeypatch: Any) -> None:
    """With room for less than there are blocks, steps cannot become short enough."""
    monkeypatch.setattr(large_pools, "ROOM", 1)
    samples = history(device, 300)
    sum(build(device, LATER))
    assert_is_of(summarize([device], None, None, PERCENTILES), samples)


@pytest.mark.usefixtures("little_memory")
def test_an_empty_window_of_a_large_history_is_empty(device: Device) -> None:
    history(device)
    sum(build(device, LATER))
    assert summarize([device], NEW_YEAR - (LATER - NEW_YEAR), NEW_YEAR).count == 0
    assert math.isclose(summarize([device]).x.sum or 0.0, math.fsum(n * 7919 % 1009 / 8 for n in range(1500)))
