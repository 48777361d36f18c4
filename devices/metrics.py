"""What became of the readings that were sent, counted for Prometheus once it is committed or refused.

`received = accepted + duplicates + rejected`, as in a receipt; a body that is no batch at all has no readings to count.
"""

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import Counter

from devices.rows import Faults

WITH_BATCH = "refused_with_batch"  # a good row among bad ones
UNLISTED = "unlisted"  # past the faults that an answer lists, no reason is kept

ACCEPTED = Counter("monitoring_readings_accepted", "Readings that were stored, and had not been there before.")
DUPLICATES = Counter("monitoring_readings_duplicate", "Readings that were there already.")
REJECTED = Counter("monitoring_readings_rejected", "Readings that were refused, by their first fault.", ["code"])


def count_stored(received: int, created: int) -> None:
    ACCEPTED.inc(created)
    DUPLICATES.inc(received - created)


def count_faults(bad_rows: Iterable[Faults]) -> None:
    """Bad rows, each once."""
    codes = Tally(map(_first_code, bad_rows))
    for code, number in codes.items():
        count_rejected(code, number)


def count_rejected(code: str, number: int = 1) -> None:
    REJECTED.labels(code).inc(number)


def _first_code(faults: Faults) -> str:
    return next((str(detail.code) for details in faults.values() for detail in details), UNLISTED)
