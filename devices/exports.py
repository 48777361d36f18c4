"""Readings out, as many as there are, in constant memory; what is written can be posted back."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation

from devices import values
from devices.querysets import ReadingQuerySet
from devices.rows import Row

PAGE = 5_000
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


class AnyMediaType(DefaultContentNegotiation):
    """What an export is, its query says, whatever the caller accepts: that may be CSV alone. Faults are JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def export(readings: ReadingQuerySet, file_format: str) -> Iterator[bytes]:
    """The readings of one device, oldest first, as `csv` with a header or as `ndjson`; a page at a time.

    The first page is read before this returns: after the status has gone out nobody can be told that it can't be.
    """
    pages = _pages(readings)
    first = next(pages, [])
    return _written(chain([first], pages), file_format)


def _written(pages: Iterable[list[Row]], file_format: str) -> Iterator[bytes]:
    if file_format == "csv":
        yield b"recorded_at,x,y,z\n"
    line = _csv_line if file_format == "csv" else _json_line
    for page in pages:
        yield "".join(map(line, page)).encode()


def _pages(readings: ReadingQuerySet) -> Iterator[list[Row]]:
    """By keyset, each in a query of its own: a slow reader holds no transaction and no connection's snapshot."""
    rows: Any = readings.oldest_first().values_list("device_id", "recorded_at", "x", "y", "z")
    page = [Row(*row) for row in rows[:PAGE]]
    while page:
        yield page
        page = [Row(*row) for row in rows.after(page[-1])[:PAGE]]


def _csv_line(row: Row) -> str:
    return f"{values.text_of_time(row.recorded_at)},{row.x!r},{row.y!r},{row.z!r}\n"


def _json_line(row: Row) -> str:
    return f'{{"recorded_at":"{values.text_of_time(row.recorded_at)}","x":{row.x!r},"y":{row.y!r},"z":{row.z!r}}}\n'
