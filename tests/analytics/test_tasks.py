"""What Celery is told to do, and when; here its tasks are called as the functions that they are."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from analytics import analyses, contents, tasks, wakeups
from analytics.embedded import Runner
from analytics.models import Analysis, Rollup
from config.celery import app
from devices.models import Device, Figure, Reading
from tests.helpers import stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    ids: list[UUID] = []
    monkeypatch.setattr(wakeups, "publish", ids.append)
    return ids


def overdue(analysis: Analysis) -> None:
    Analysis.objects.filter(pk=analysis.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_everything_on_the_schedule_is_a_task_and_expires() -> None:
    app.loader.import_default_modules()
    for entry in django_settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] > 0


def test_what_is_published_is_a_task_and_has_a_queue() -> None:
    app.loader.import_default_modules()
    assert wakeups.RUN in app.tasks
    assert app.amqp.router.route({}, wakeups.RUN)["queue"].name == tasks.QUEUE


def test_a_task_runs_its_analysis(analysis: Analysis) -> None:
    tasks.run_analysis(str(analysis.pk))
    analysis.refresh_from_db()
    assert analysis.status == "succeeded"


@pytest.mark.parametrize(("waiting", "expected"), [(0, 1), (1, 0)])
def test_the_sweeper_publishes_what_nobody_took_unless_messages_are_waiting(
    analysis: Analysis, published: list[UUID], monkeypatch: pytest.MonkeyPatch, waiting: int, expected: int
) -> None:
    monkeypatch.setattr(tasks, "_messages_waiting", lambda: waiting)
    tasks.sweep_analyses()
    assert published == []
    overdue(analysis)
    tasks.sweep_analyses()
    assert published == [analysis.pk] * expected


def test_the_sweeper_publishes_what_it_took_back(
    analysis: Analysis, published: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_messages_waiting", lambda: 0)
    analyses.claim(analysis.pk)
    overdue(analysis)
    tasks.sweep_analyses()
    assert published == [analysis.pk]


def test_the_figures_of_the_back_office_are_a_task(device: Device) -> None:
    tasks.refresh_figures()
    assert Figure.objects.get(name="devices unknown").value == 1


def test_pruning_is_a_task(analysis: Analysis) -> None:
    analyses.cancel(analysis.pk)
    Analysis.objects.update(finished_at=timezone.now() - timedelta(days=1000))
    tasks.prune_analyses()
    assert not Analysis.objects.exists()


@pytest.mark.parametrize(
    "look_after", [tasks.prune_readings, lambda: Runner()._look_after()], ids=["worker", "service"]
)
def test_readings_are_pruned_by_a_worker_or_by_the_service_itself(
    device: Device, settings: Any, look_after: Callable[[], None]
) -> None:
    settings.READING_RETENTION_DAYS = 30
    stored(device, (0, 1, 2, 3))
    look_after()
    assert not Reading.objects.exists()


def test_rollups_are_built_by_a_task(device: Device, other_device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "FEWEST", 2)
    for one in (device, other_device):
        stored(one, (0, 1, 2, 3), (1, 2, 3, 4))
    tasks.build_rollups()
    ready = Rollup.objects.filter(status=Rollup.Status.READY)
    assert set(ready.values_list("device", flat=True)) == {device.pk, other_device.pk}


def test_building_leaves_the_worker_to_others_after_a_while(
    device: Device, other_device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(tasks, "BUILDING_SECONDS", -1)
    monkeypatch.setattr(tasks, "build", lambda device, now: map(built.append, [1, 2]))
    tasks.build_rollups()
    assert len(built) == 1
