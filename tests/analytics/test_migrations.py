"""A database of an earlier version goes on with the truth."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from analytics.building import build, verify
from analytics.models import Rollup
from analytics.summaries import summarize
from devices.models import Device
from tests.helpers import NEW_YEAR, stored

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NEW_YEAR + timedelta(days=1)


def test_rollups_in_plain_doubles_are_not_read_and_built_anew(device: Device) -> None:
    stored(device, *((second, second % 17, second, -second) for second in range(0, 3600, 10)))
    sum(build(device, LATER))
    try:
        call_command("migrate", "analytics", "0004", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE analytics_rollup SET status = 2, x_median = -1, x_values = %s", [bytes(8 * 360)])
    finally:
        call_command("migrate", "analytics", verbosity=0)
    assert summarize([device]).x.median == 8
    sum(build(device, LATER))
    assert Rollup.objects.filter(status=Rollup.Status.READY).exists()
    assert all(agrees for _, agrees in verify([device.pk]))


def test_packed_rollups_are_not_taken_for_plain_doubles(device: Device) -> None:
    stored(device, *((second, second % 17, second, -second) for second in range(0, 3600, 10)))
    sum(build(device, LATER))
    try:
        call_command("migrate", "analytics", "0004", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT status FROM analytics_rollup")
            assert cursor.fetchall() == [(Rollup.Status.STALE,)]
    finally:
        call_command("migrate", "analytics", verbosity=0)
