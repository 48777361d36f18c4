"""Readings from a file."""

import codecs
import csv
import gzip
import zlib
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException
from tqdm import tqdm

from devices import ingest, rows, values
from devices.models import Device
from devices.rows import InvalidRow, Row
from users.models import User

COLUMNS = {"device", *rows.CHECKS}
CHECKS = {**rows.CHECKS, **dict.fromkeys("xyz", values.number_from_text)}
BATCH = 10_000
BAD_LINES_LISTED = 100
GZIP_MAGIC = b"\x1f\x8b"


class BadLine(Exception):
    """A line that holds no reading, and why."""


class Command(BaseCommand):
    help = (
        "Import a CSV file, plain or gzipped, with the columns device,recorded_at,x,y,z in any order. A device is "
        "found by its name among the owner's, and created if it is not there. What is stored already is passed over: "
        "stop it whenever you like, and run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--owner", required=True, help="the username of the devices' owner")
        parser.add_argument(
            "--skip-bad-lines", action="store_true", help="list bad lines and go on; else the first one ends it"
        )

    def handle(self, *, file: Path, owner: str, skip_bad_lines: bool, **options: Any) -> None:
        self.owner = self._user(owner)
        self.skip_bad_lines = skip_bad_lines
        self.device_ids: dict[str, int] = {}
        self.received = self.created = self.bad = 0
        try:
            with file.open("rb") as raw, self._progress(raw, file.stat().st_size) as progress:
                for batch in self._batches(raw):
                    self._store(batch)
                    progress.update(raw.tell() - progress.n)
        except (OSError, EOFError, zlib.error, APIException) as error:
            raise CommandError(f"{file}: {error}. {self._report()}") from error
        self.stdout.write(self._report())

    def _batches(self, raw: IO[bytes]) -> Iterator[list[Row]]:
        """The rows of the file, a batch at a time; at a bad line that ends the import, first those before it."""
        batch: list[Row] = []
        for line, fields in _lines(raw):
            try:
                batch.append(self._row(fields))
            except BadLine as error:
                if not self.skip_bad_lines:
                    yield batch
                    raise CommandError(f"Line {line}: {error} {self._report()}") from None
                self._list_bad_line(line, error)
            if len(batch) == BATCH:
                yield batch
                batch = []
        yield batch

    def _row(self, fields: dict[str, str] | str) -> Row:
        if isinstance(fields, str):
            raise BadLine(fields)
        device = fields.pop("device").strip()
        try:
            row = rows.check(0, fields, CHECKS)
        except InvalidRow as error:
            raise BadLine(" ".join(f"{name}: {fault[0]}" for name, fault in error.faults.items())) from None
        return row._replace(device_id=self._device_id(device))

    def _device_id(self, name: str) -> int:
        if name not in self.device_ids:
            if not name.isprintable():
                raise BadLine("device: This name has characters that can't be shown.")
            device = Device(owner=self.owner, name=name)
            try:
                device.clean_fields()
            except ValidationError as error:
                raise BadLine(f"device: {' '.join(error.messages)}") from None
            self.device_ids[name] = Device.objects.get_or_create(owner=self.owner, name=name)[0].pk
        return self.device_ids[name]

    def _store(self, batch: list[Row]) -> None:
        if batch:
            self.created += ingest.store(batch)
            self.received += len(batch)

    def _list_bad_line(self, line: int, error: BadLine) -> None:
        self.bad += 1
        if self.bad <= BAD_LINES_LISTED:
            self.stderr.write(f"Line {line} skipped: {error}")

    def _report(self) -> str:
        duplicates = self.received - self.created
        return f"{self.created} readings stored, {duplicates} were there already, {self.bad} bad lines skipped."

    def _progress(self, raw: IO[bytes], size: int) -> "tqdm[Any]":
        return tqdm(total=size, unit="B", unit_scale=True, desc="Importing", disable=None)  # none where no person looks

    def _user(self, username: str) -> User:
        try:
            return User.objects.get(username=username)
        except User.DoesNotExist:
            raise CommandError(f"There is no user {username!r}.") from None


def _lines(raw: IO[bytes]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Each line's number with its fields by column, or with what is wrong with it. Blank lines are passed over."""
    plain = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == GZIP_MAGIC else raw  # type: ignore[attr-defined]
    header = [name.strip() for name in _cells(plain.readline().removeprefix(codecs.BOM_UTF8)) or ()]
    if set(header) != COLUMNS or len(header) != len(COLUMNS):
        raise CommandError(f"Line 1: the header must name the columns {', '.join(sorted(COLUMNS))}, and no other.")
    for number, line in enumerate(plain, 2):
        cells = _cells(line)
        if cells is None:
            yield number, "The quotes in this line do not match."
        elif len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        elif cells:
            yield number, f"{len(cells)} columns in place of {len(header)}."


def _cells(line: bytes) -> list[str] | None:
    """The cells of one line; None where quotes don't match. Each is read by itself: an open quote spoils no other.

    A byte that is no UTF-8 is refused where it stands, in its field.
    """
    try:
        return next(csv.reader([line.decode(errors="surrogateescape")], strict=True))
    except csv.Error:
        return None
