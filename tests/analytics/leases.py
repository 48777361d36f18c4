"""Short words for what happens to the lease of an analysis."""

from datetime import timedelta

from django.utils import timezone

from analytics import analyses
from analytics.models import Analysis


def claimed(analysis: Analysis) -> Analysis:
    """As the run has it that has claimed it."""
    found = analyses.claim(analysis.pk)
    assert found is not None
    return found


def outlive(analysis: Analysis) -> None:
    """Let its lease have run out a second ago."""
    Analysis.objects.filter(pk=analysis.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
