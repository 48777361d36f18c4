"""Background analyses: each is a row, and every step that it takes is one UPDATE that holds or does not.

A run claims the row with a token of its own and a lease, which it renews. Whoever lost the row, because it was
cancelled, deleted or taken by another after its lease had run out, finds no row with its token, and changes nothing.
So an analysis has one end, however often it was begun. All times that decide are the database's.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from analytics import wakeups
from analytics.models import Analysis
from devices.models import Device
from devices.transactions import shared_device_locks
from users.integrity import is_about_a_missing_row
from users.models import User

Status = Analysis.Status

MOST_ATTEMPTS = 3
LEASE = timedelta(seconds=20)  # without a sign of life a run is lost
PICK_UP = timedelta(seconds=10)  # whom nobody takes for so long, nobody may have heard of
MOST_AT_ONCE = 1000  # rows that one sweep hands out, or one step of pruning deletes
LOST = f"Given up after {MOST_ATTEMPTS} attempts: each time, the process that ran it was lost."


def start(requested_by: User, target: Device | User, parameters: Mapping[str, Any], question: object) -> Analysis:
    """A new pending analysis, or the caller's own that asks the same and is not over; IntegrityError without a target.

    `parameters` are as they were asked, `question` what they mean: equal ones are the same request.
    """
    analysis = Analysis(requested_by=requested_by, parameters=parameters, fingerprint=_fingerprint(target, question))
    setattr(analysis, "device" if isinstance(target, Device) else "user", target)
    same: QuerySet[Analysis] = Analysis.objects.filter(
        requested_by=requested_by, fingerprint=analysis.fingerprint, status__in=Analysis.OPEN
    )
    while (found := same.first()) is None:  # it may be over by the time that its equal was refused
        if _inserted(analysis):
            return analysis
    return found


def _fingerprint(target: Device | User, question: object) -> str:
    text = json.dumps([target._meta.label, target.pk, question], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _inserted(analysis: Analysis) -> bool:
    try:
        # A deletion of the device at the same time would miss the analysis, and fail on it.
        with shared_device_locks([analysis.device_id] if analysis.device_id else []):
            analysis.lease_until = Now() + PICK_UP
            analysis.save(force_insert=True)
            transaction.on_commit(lambda: wakeups.wake(analysis.pk), robust=True)
    except IntegrityError as error:
        if is_about_a_missing_row(error):
            raise
        return False
    return True


def claim(analysis_id: UUID) -> Analysis | None:
    """The analysis with a lease and a token of our own; None if it is another's, over, or gone."""
    token = uuid4()
    free = Q(status=Status.PENDING) | Q(status=Status.RUNNING, lease_until__lt=Now())
    Analysis.objects.filter(free, pk=analysis_id, attempts__lt=MOST_ATTEMPTS).update(
        status=Status.RUNNING, attempts=F("attempts") + 1, token=token, lease_until=Now() + LEASE, progress=0,
        started_at=Now(), error="",
    )  # fmt: skip
    return Analysis.objects.filter(pk=analysis_id, token=token).select_related("requested_by").first()


def next_pending() -> UUID | None:
    """The one that has been waiting longest."""
    pending = Analysis.objects.filter(status=Status.PENDING, attempts__lt=MOST_ATTEMPTS)
    return pending.order_by("requested_at").values_list("pk", flat=True).first()


def beat(analysis: Analysis, progress: float) -> bool:
    """Renew the lease; False if the analysis is ours no more."""
    return _mine(analysis).update(lease_until=Now() + LEASE, progress=progress) == 1


def finish(analysis: Analysis, result: str) -> bool:
    """Keep the answer, JSON; False if the analysis is ours no more."""
    return _end(_mine(analysis), Status.SUCCEEDED, result=result, progress=1) == 1


def fail(analysis: Analysis, reason: str) -> bool:
    """End without an answer, for a reason that another attempt would meet too."""
    return _end(_mine(analysis), Status.FAILED, error=reason) == 1


def give_back(analysis: Analysis, reason: str) -> None:
    """After a passing fault: to be tried again, unless this was the last attempt."""
    if not _end(_mine(analysis).filter(attempts__gte=MOST_ATTEMPTS), Status.FAILED, error=reason):
        _mine(analysis).update(status=Status.PENDING, token=None, lease_until=Now())


def release(analysis: Analysis) -> None:
    """Whoever runs it stops, for reasons of their own: the attempt does not count."""
    _mine(analysis).update(status=Status.PENDING, token=None, lease_until=Now(), attempts=F("attempts") - 1)


def cancel(analysis_id: UUID) -> bool:
    """End it unasked; False if it is over. A run of it notices within seconds, and stops."""
    return _end(Analysis.objects.filter(pk=analysis_id, status__in=Analysis.OPEN), Status.CANCELLED) == 1


def retry(analysis_id: UUID) -> bool:
    """Have a failed or cancelled one run again; False if it is neither, or its equal is under way."""
    ended = Analysis.objects.filter(pk=analysis_id, status__in=[Status.FAILED, Status.CANCELLED])
    try:
        with transaction.atomic():
            retried = ended.update(
                status=Status.PENDING, attempts=0, error="", progress=0, started_at=None, finished_at=None,
                lease_until=Now() + PICK_UP,
            )  # fmt: skip
            if retried:
                transaction.on_commit(lambda: wakeups.wake(analysis_id), robust=True)
    except IntegrityError:  # analysis_open_request_unique
        return False
    return retried == 1


def sweep() -> None:
    """Take back what has outlived its lease."""
    lost = Analysis.objects.filter(status=Status.RUNNING, lease_until__lt=Now())
    _end(lost.filter(attempts__gte=MOST_ATTEMPTS), Status.FAILED, error=LOST)
    lost.filter(attempts__lt=MOST_ATTEMPTS).update(status=Status.PENDING, token=None, lease_until=Now())


def overdue() -> list[UUID]:
    """The pending ones that nobody has taken, the oldest first: to be published again, and then left alone a while."""
    pending = Analysis.objects.filter(status=Status.PENDING, lease_until__lte=Now())
    ids = list(pending.order_by("requested_at").values_list("pk", flat=True)[:MOST_AT_ONCE])
    pending.filter(pk__in=ids).update(lease_until=Now() + PICK_UP)
    return ids


def prune() -> int:
    """Delete what ended before the retention, `ANALYSIS_RETENTION_DAYS`; returns how many."""
    if not settings.ANALYSIS_RETENTION_DAYS:
        return 0
    old = Analysis.objects.filter(finished_at__lt=Now() - timedelta(days=settings.ANALYSIS_RETENTION_DAYS))
    deleted = 0
    while ids := list(old.values_list("pk", flat=True)[:MOST_AT_ONCE]):
        deleted += Analysis.objects.filter(pk__in=ids).delete()[0]
    return deleted


def _mine(analysis: Analysis) -> QuerySet[Analysis]:
    return Analysis.objects.filter(pk=analysis.pk, token=analysis.token, status=Status.RUNNING)


def _end(analyses: QuerySet[Analysis], status: Analysis.Status, **fields: Any) -> int:
    return analyses.update(status=status, finished_at=Now(), token=None, lease_until=None, **fields)
