"""Any sequence of writing, rolling up, crashing and asking: each answer is that of plain Python."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from analytics import building, contents, large_pools, summaries
from analytics.models import Rollup
from analytics.order_statistics import nearest_rank
from analytics.summaries import summarize
from analytics.verifying import verify
from devices import ingest, retention
from devices.ingest import BeforeRetention
from devices.models import Device, DeviceState, Reading
from devices.reading_ids import Content
from devices.rows import Row
from devices.signals import readings_pruned
from tests.helpers import store_rows
from tests.oracle import Sample, assert_agrees, oracle

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 50
FEWEST_STEPS = 5_000  # in all
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(
    max_examples=int(examples or 130),
    stateful_step_count=STEPS,
    derandomize=not examples,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

BOUNDARY = datetime(2026, 1, 7, tzinfo=UTC)  # of an hour, a day, and thirty days since 1970
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
THE_END = BOUNDARY + timedelta(days=61)

hours = st.sampled_from([-26, -25, -2, -1, 0, 1]).map(lambda hour: BOUNDARY + hour * HOUR)
offsets = st.sampled_from([timedelta(0), MICROSECOND, HOUR / 2, HOUR - MICROSECOND]) | st.timedeltas(timedelta(0), HOUR)
times = st.builds(lambda hour, offset: hour + offset, hours, offsets)
bounds = st.none() | hours | times | st.just(BOUNDARY - 24 * HOUR) | st.just(BOUNDARY + timedelta(days=30))
bounds |= st.just(BOUNDARY - timedelta(days=30))
nows = st.sampled_from([-25.0, -24.0, -1.0, 0.0, 1.0, 1.5, 2.0, 2.0, 30.0, 24.0 * 31]).map(
    lambda hour: BOUNDARY + hour * HOUR + timedelta(minutes=15)
)
few_values = st.sampled_from([0.0, 0.1, 0.3, -0.1, 1.0, 1e15, -1e15, 5e-324])
values = few_values | st.floats(-1e15, 1e15).map(lambda value: value + 0.0)
numbers = st.integers(0, 1)
midnights = st.sampled_from([-30, -2, -1, -1, 0]).map(lambda day: BOUNDARY + timedelta(days=day))
percentiles = st.lists(st.sampled_from(["0", "5", "33.3", "50", "95", "99.9", "100"]), unique=True, max_size=3)
seeds = st.lists(st.tuples(values, values, values), min_size=1, max_size=12)

USUAL_LIMITS = contents.FEWEST, contents.MOST, building.FEW, summaries.MAX_VALUES, large_pools.ROOM


class Crash(Exception):
    """The builder, or the pruner, is no more."""


class Rollups(RuleBasedStateMachine):
    devices: ClassVar[list[Device]]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        for queryset in (Rollup.objects.all(), DeviceState.objects.all(), Reading.objects.all()):
            queryset._raw_delete("default")
        self.samples: list[set[Sample]] = [set(), set()]
        self.pruned = [datetime.min.replace(tzinfo=UTC)] * 2
        self.builders: list[Iterator[int]] = []

    @initialize(
        fewest=st.sampled_from([2, 4, 4]),
        most=st.sampled_from([20, 200, 4_000_000]),
        few=st.sampled_from([0, 8, 10_000]),
        room=st.sampled_from([3, 10**6]),
    )
    def limits(self, fewest: int, most: int, few: int, room: int) -> None:
        """Small ones are of what a rollup may have, of what is closed at once, and of what an answer may hold."""
        self.set_limits(fewest, most, few, room, room)

    def set_limits(self, fewest: int, most: int, few: int, values: int, room: int) -> None:
        contents.FEWEST, contents.MOST, building.FEW = fewest, most, few
        summaries.MAX_VALUES, large_pools.ROOM = values, room

    @rule(number=numbers, start=times, gap=st.sampled_from([0, 1, 60, 600]), axes=seeds)
    def add(self, number: int, start: datetime, gap: int, axes: list[tuple[float, float, float]]) -> None:
        self._store(number, [(start + place * timedelta(seconds=gap), *values) for place, values in enumerate(axes)])

    @precondition(lambda self: self._closed())
    @rule(data=st.data(), before=st.sampled_from([1, 1800, 3600, 5000, 90_000]), axes=seeds)
    def add_late(self, data: st.DataObject, before: int, axes: list[tuple[float, float, float]]) -> None:
        device_id, closed = data.draw(st.sampled_from(self._closed()))
        number = [device.pk for device in self.devices].index(device_id)
        late = closed - timedelta(seconds=before)
        self._store(number, [(late + place * MICROSECOND, *values) for place, values in enumerate(axes)])

    @precondition(lambda self: any(self.samples))
    @rule(data=st.data(), number=numbers, new=times)
    def add_again_with_one_that_may_be_new(self, data: st.DataObject, number: int, new: datetime) -> None:
        again = data.draw(st.lists(st.sampled_from(sorted(self.samples[0] | self.samples[1])), max_size=10))
        self._store(number, [*again, (new, 0.5, 0.5, 0.5)])

    @precondition(lambda self: any(self.samples))
    @rule(data=st.data(), time=times, value=values)
    def replace(self, data: st.DataObject, time: datetime, value: float) -> None:
        number, old = self._any_sample(data)
        new = data.draw(st.sampled_from([(time, value, value, value), (old[0], value, *old[2:])]))
        device = self.devices[number]
        if new[0] < self.pruned[number]:
            with pytest.raises(BeforeRetention):
                ingest.replace(device, Content(*old), Row(device.pk, *new))
            return
        ingest.replace(device, Content(*old), Row(device.pk, *new))
        self.samples[number].remove(old)
        self.samples[number].add(new)

    @precondition(lambda self: any(self.samples))
    @rule(data=st.data())
    def delete_one(self, data: st.DataObject) -> None:
        number, old = self._any_sample(data)
        ingest.delete_one(self.devices[number], Content(*old))
        self.samples[number].remove(old)

    @rule(number=numbers, start=times, length=st.sampled_from([timedelta(minutes=9), HOUR, 3 * HOUR, 25 * HOUR]))
    def delete_window(self, number: int, start: datetime, length: timedelta) -> None:
        gone = {sample for sample in self.samples[number] if start <= sample[0] < start + length}
        assert ingest.delete_window(self.devices[number], start, start + length) == len(gone)
        self.samples[number] -= gone

    @rule(number=numbers, now=nows)
    def roll_up(self, number: int, now: datetime) -> None:
        list(building.build(self.devices[number], now))

    @rule(number=numbers, now=nows)
    def begin_to_roll_up(self, number: int, now: datetime) -> None:
        self.builders.append(building.build(self.devices[number], now))

    @precondition(lambda self: self.builders)
    @rule(data=st.data(), steps=st.integers(1, 5))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        """A builder that began earlier does some steps more; if it never does, it has crashed."""
        builder = data.draw(st.integers(0, len(self.builders) - 1))
        for _ in range(steps):
            next(self.builders[builder], 0)

    @rule(number=numbers, now=nows, built=st.integers(0, 6))
    def crash(self, number: int, now: datetime, built: int) -> None:
        """A builder stops in the middle of a step, with some of its periods BUILDING."""
        whole = building._build
        left = iter(range(built))

        def crashing(*args: Any) -> int:
            if next(left, None) is None:
                raise Crash
            return whole(*args)

        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            patch.setattr(building, "_build", crashing)
            list(building.build(self.devices[number], now))

    @rule(number=numbers, before=midnights, size=st.integers(1, 9), steps=st.sampled_from([0, 1, 2, 999]))
    def prune(self, number: int, before: datetime, size: int, steps: int) -> None:
        """The oldest readings go, in steps of about so many; who does it may be killed after some."""
        self.pruned[number] = max(self.pruned[number], before)
        pruner = retention.prune(self.devices[number].pk, before, size)
        for deleted in islice(pruner, steps) if steps else self._crashing(pruner):
            oldest = sorted(self.samples[number])[:deleted]
            assert all(sample[0] < before for sample in oldest)
            self.samples[number] -= set(oldest)
        if steps == 999:
            assert all(sample[0] >= before for sample in self.samples[number])

    @staticmethod
    def _crashing(pruner: Iterator[int]) -> list[int]:
        """Killed within its first step: nothing is deleted, but from now on the bound holds."""
        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            patch.setattr(readings_pruned, "send", Mock(side_effect=Crash))
            next(pruner)
        return []

    @rule(number=numbers, token=st.integers(0, 9))
    def leave_marks_of_builders_long_gone(self, number: int, token: int) -> None:
        some = Rollup.objects.filter(device=self.devices[number], count__gt=token)
        some.update(status=Rollup.Status.BUILDING, token=token)

    @rule(chosen=st.sets(numbers, min_size=1), start=bounds, stop=bounds, texts=percentiles)
    def ask(self, chosen: set[int], start: datetime | None, stop: datetime | None, texts: list[str]) -> None:
        self._agrees(chosen, start, stop, texts)

    @rule(chosen=st.sets(numbers, min_size=1), start=hours, length=st.sampled_from([1, 2, 24, 26]), texts=percentiles)
    def ask_of_whole_periods(self, chosen: set[int], start: datetime, length: int, texts: list[str]) -> None:
        self._agrees(chosen, start, start + length * HOUR, texts)

    @invariant()
    def count_steps(self) -> None:
        type(self).steps += 1

    def teardown(self) -> None:
        try:
            self._agrees({0, 1}, None, None, [])
            self._verify()
            for device in self.devices:
                list(building.build(device, THE_END))
            assert not Rollup.objects.exclude(status=Rollup.Status.READY).exists()
            self._verify()
            for number in (0, 1):
                self._agrees({number}, None, None, ["50"])
        finally:  # whoever runs it
            self.set_limits(*USUAL_LIMITS)

    def _verify(self) -> None:
        ids = [device.pk for device in self.devices]
        assert [rollup for id in ids for rollup, agrees in verify(id) if not agrees] == []

    def _agrees(self, chosen: set[int], start: datetime | None, stop: datetime | None, texts: list[str]) -> None:
        samples = [sample for number in chosen for sample in self.samples[number]]
        asked = {text: Decimal(text) for text in texts}
        summary = summarize([self.devices[number] for number in chosen], start, stop, asked)
        assert_agrees(summary, oracle(samples, start, stop))
        inside = [s for s in samples if (start is None or start <= s[0]) and (stop is None or s[0] < stop)]
        for place, axis in enumerate((summary.x, summary.y, summary.z) if inside and asked else (), 1):
            ordered = sorted(sample[place] for sample in inside)
            assert axis.percentiles == {
                text: ordered[nearest_rank(number, len(ordered))] for text, number in asked.items()
            }

    def _store(self, number: int, samples: list[Sample]) -> None:
        """All of them or, where some are not kept any more, first none and then the others."""
        if early := [place for place, sample in enumerate(samples) if sample[0] < self.pruned[number]]:
            with pytest.raises(BeforeRetention) as refused:
                store_rows([Row(self.devices[number].pk, *sample) for sample in samples])
            assert refused.value.positions == early
            samples = [sample for sample in samples if sample[0] >= self.pruned[number]]
        new = set(samples) - self.samples[number]
        assert store_rows([Row(self.devices[number].pk, *sample) for sample in samples]) == len(new)
        self.samples[number] |= new

    def _any_sample(self, data: st.DataObject) -> tuple[int, Sample]:
        every = [(number, sample) for number in (0, 1) for sample in sorted(self.samples[number])]
        return data.draw(st.sampled_from(every))

    def _closed(self) -> list[tuple[int, datetime]]:
        return list(DeviceState.objects.order_by("device").values_list("device", "closed_until"))


def test_each_answer_is_that_of_plain_python_whatever_came_before(device: Device, other_device: Device) -> None:
    Rollups.devices, Rollups.steps = [device, other_device], 0
    run: Callable[..., None] = run_state_machine_as_test
    run(Rollups, settings=thoroughly)
    assert examples or Rollups.steps >= FEWEST_STEPS
