"""A small part of `make faults`, the same in each run; FAULT_POINTS=200 for all of it."""

import os

from tests import faults
from tests.once import once

POINTS = int(os.environ.get("FAULT_POINTS", "6"))


@once
def test_nothing_acknowledged_is_lost_whatever_is_killed() -> None:
    report = faults.run(POINTS, seed=8)
    assert report.points.total() == POINTS
    assert report.acknowledged > 0
