"""The load scenarios, run for ten seconds: no error, and every count right to the reading."""

import os
from pathlib import Path

import pytest

from tests import load
from tests.once import once
from tests.service import ROOT

LOCUST = ROOT / ".venv" / "loadtest" / "bin" / "locust"


@once
@pytest.mark.skipif(
    not (LOCUST.exists() or "REQUIRE_SERVICES" in os.environ),
    reason="NOT TESTED: make .venv/loadtest.stamp installs Locust",
)
def test_ten_seconds_of_mixed_load_have_no_error_and_add_up(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = load.run(LOCUST, report, users=17, seconds=10, seed="1", database_url="")
    done.check()
    assert done.totals["started"] == done.totals["ended"] == 17
    assert done.totals["analyses"] > 0
    assert "Locust" in report.read_text()
