"""A small part of `make pruning`, the same in each run: that every answer is exact, not how fast it comes."""

from tests import pruning
from tests.once import once


@once
def test_pruning_under_load_is_exact_and_goes_on_where_it_was_killed() -> None:
    report = pruning.run(readings=20_000, devices=2, seconds=1, kills=1, step=200, seed=10)
    assert report.kills == 1
    assert report.checked > 10
    assert report.deleted == 10_000
