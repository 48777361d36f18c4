"""Real readings of six accelerometers: the figures are those of plain Python, to the bit. See tests/data/wharf."""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from analytics.models import Rollup
from devices.models import Device, Reading
from tests.helpers import client_of
from tests.oracle import AxisOracle, Oracle, Sample, assert_agrees, oracle
from users.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("imported")]

FOLDER = Path(__file__).parent.parent / "data" / "wharf"
FILE = FOLDER / "wharf.csv.gz"
OWNER = "wharf"
CASES = json.loads((FOLDER / "wharf_expected.json").read_text())
ALL_DEVICES = "*"


@pytest.fixture(scope="module", params=["from readings", "from rollups"])
def imported(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """The readings are there while this module's tests run, first alone and then rolled up."""
    with django_db_blocker.unblock():
        owner = User.objects.create_user(OWNER)
        try:
            call_command("import_readings", FILE, owner=OWNER, stdout=StringIO())
            if request.param == "from rollups":
                call_command("rollup")
                assert Rollup.objects.filter(status=Rollup.Status.READY).exists()
            yield
        finally:
            Device.objects.filter(owner=owner).delete()
            owner.delete()


@pytest.fixture(scope="module")
def samples() -> dict[str, list[Sample]]:
    """The file by device, read by plain Python."""
    by_device: dict[str, list[Sample]] = {ALL_DEVICES: []}
    with gzip.open(FILE, "rt", newline="") as file:
        for row in csv.DictReader(file):
            sample = (datetime.fromisoformat(row["recorded_at"]), float(row["x"]), float(row["y"]), float(row["z"]))
            by_device[ALL_DEVICES].append(sample)
            by_device.setdefault(row["device"], []).append(sample)
    return by_device


def test_every_reading_is_stored() -> None:
    assert Reading.objects.count() == 289_041


def test_importing_again_creates_nothing() -> None:
    output = StringIO()
    call_command("import_readings", FILE, owner=OWNER, stdout=output)
    assert output.getvalue() == "0 readings stored, 289041 were there already, 0 bad lines skipped.\n"
    assert Reading.objects.count() == 289_041
    assert Device.objects.count() == 6


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['device']} {case['start_time']} {case['end_time']}")
def test_an_answer_is_that_of_plain_python(case: dict[str, Any], samples: dict[str, list[Sample]]) -> None:
    query = {name: case[name] for name in ("start_time", "end_time") if case[name]}
    user = User.objects.get(username=OWNER)
    if case["device"] == ALL_DEVICES:
        response = client_of(user).get(f"/api/v1/users/{user.pk}/analytics/", query)
    else:
        device = Device.objects.get(owner=user, name=case["device"])
        response = client_of(user).get(f"/api/v1/devices/{device.pk}/analytics/", query)
    assert response.status_code == 200
    assert_agrees(response.json(), expectation(case, samples[case["device"]]))


def expectation(case: dict[str, Any], samples: list[Sample]) -> Oracle:
    """The figures that the case names; its first and last times are those of texts, so they come from the file."""
    start_time, end_time = (case[name] and datetime.fromisoformat(case[name]) for name in ("start_time", "end_time"))
    own = oracle(samples, start_time, end_time)
    axes = {axis: AxisOracle(**case["answer"][axis], magnitudes=own.axes[axis].magnitudes) for axis in own.axes}
    return replace(own, count=case["answer"]["count"], axes=axes)
