"""A small part of `make partitioning`."""

import pytest

from tests import partitioning
from tests.once import once
from tests.partitioned import PARTITIONED


@once
@pytest.mark.skipif(PARTITIONED, reason="the tables of all services are turned over already")
def test_a_table_is_turned_over_under_its_callers() -> None:
    report = partitioning.run(readings=20_000, seconds=1)
    assert report.output.count("\n") == 3
    assert all(asked for what in ("a reading", "figures of 5 days") for asked in report.phases(what).values())
