"""Readings from a file."""

import gzip
import zlib
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from rest_framework.exceptions import APIException
from tqdm import tqdm

from devices import csv_cells, formats, ingest
from devices.columns import Columns, NotSimple
from devices.ingest import BeforeRetention
from devices.models import Device
from devices.rows import OWN_FIELDS, WHOLE_ROW, InvalidRow, Row
from users.models import User

COLUMNS = ("device", *OWN_FIELDS)
CHUNK = 1 << 20  # bytes
BAD_LINES_LISTED = 100
GZIP_MAGIC = b"\x1f\x8b"


class BadName(Exception):
    """A device cannot have this name, and why."""


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
            with file.open("rb") as raw, self._progress(file.stat().st_size) as progress:
                for first_line, lines in self._chunks(raw):
                    self._import(first_line, lines)
                    progress.update(raw.tell() - progress.n)
        except (OSError, EOFError, zlib.error, APIException, OperationalError) as error:
            raise CommandError(f"{file}: {error}. {self._report()}") from error
        self.stdout.write(self._report())

    def _chunks(self, raw: BinaryIO) -> Iterator[tuple[int, list[bytes]]]:
        """The lines after the header, about a megabyte at a time, with the number of the first."""
        plain = gzip.GzipFile(fileobj=raw) if raw.read(2) == GZIP_MAGIC else raw
        raw.seek(0)
        self.names = self._header(plain.readline())
        first_line = 2
        while lines := plain.readlines(CHUNK):
            yield first_line, lines
            first_line += len(lines)

    def _header(self, line: bytes) -> list[str]:
        try:
            return csv_cells.header(line, COLUMNS)
        except APIException:
            columns = ", ".join(COLUMNS)
            raise CommandError(f"Line 1: the header must name the columns {columns}, and no other.") from None

    def _import(self, first_line: int, lines: list[bytes]) -> None:
        """Store the readings of some lines. A bad line is passed over or ends the import after those before it."""
        try:
            self._store(self._quickly(b"".join(lines)))
        except (NotSimple, BadName, BeforeRetention):
            self._strictly(first_line, lines)

    def _quickly(self, body: bytes) -> Columns:
        cells = csv_cells.columns(body, self.names)
        readings = Columns.of_values(0, cells["recorded_at"], *csv_cells.numbers(cells))
        ids = {name: self._device_id(name) for name in dict.fromkeys(cells["device"])}
        return replace(readings, device=np.array([ids[name] for name in cells["device"]], dtype=np.int64))

    def _strictly(self, first_line: int, lines: list[bytes]) -> None:
        good: dict[int, Row] = {}
        for line, fields in enumerate(csv_cells.rows(lines, self.names), first_line):
            try:
                if fields is not None:
                    good[line] = self._row(fields)
            except (InvalidRow, BadName) as error:
                if not self.skip_bad_lines:
                    self._store_lines(good)
                self._bad_line(line, error)
        self._store_lines(good)

    def _store_lines(self, good: dict[int, Row]) -> None:
        """Store the rows of some lines. Those of a time that is not kept any more are bad lines, after all."""
        try:
            self._store(Columns.of_rows(list(good.values())))
        except BeforeRetention as error:
            lines = list(good)
            bad = {lines[position] for position in error.positions}
            end = None if self.skip_bad_lines else error.positions[0]
            self._store_lines({line: good[line] for line in lines[:end] if line not in bad})
            for line in sorted(bad):
                self._bad_line(line, InvalidRow(error.faults))

    def _row(self, fields: dict[str, str] | InvalidRow) -> Row:
        name = fields.pop("device") if isinstance(fields, dict) else ""
        row = formats.checked(fields, 0, formats.TEXT_CHECKS)
        return row._replace(device_id=self._device_id(name))

    def _device_id(self, name: str) -> int:
        name = name.strip()
        if name not in self.device_ids:
            self._check_name(name)
            self.device_ids[name] = Device.objects.get_or_create(owner=self.owner, name=name)[0].pk
        return self.device_ids[name]

    def _check_name(self, name: str) -> None:
        if not name.isprintable():
            raise BadName("This name has characters that can't be shown.")
        try:
            Device(owner=self.owner, name=name).clean_fields()
        except ValidationError as error:
            raise BadName(" ".join(error.messages)) from None

    def _store(self, readings: Columns) -> None:
        self.created += ingest.store(readings)
        self.received += len(readings)

    def _bad_line(self, line: int, error: Exception) -> None:
        if not self.skip_bad_lines:
            raise CommandError(f"Line {line}: {_reasons(error)} {self._report()}") from None
        self.bad += 1
        if self.bad <= BAD_LINES_LISTED:
            self.stderr.write(f"Line {line} skipped: {_reasons(error)}")

    def _report(self) -> str:
        duplicates = self.received - self.created
        return f"{self.created} readings stored, {duplicates} were there already, {self.bad} bad lines skipped."

    def _progress(self, size: int) -> "tqdm[Any]":
        return tqdm(total=size, unit="B", unit_scale=True, desc="Importing", disable=None)  # none where no person looks

    def _user(self, username: str) -> User:
        try:
            return User.objects.get(username=username)
        except User.DoesNotExist:
            raise CommandError(f"There is no user {username!r}.") from None


def _reasons(error: Exception) -> str:
    if not isinstance(error, InvalidRow):
        return f"device: {error}"
    named = ((name, details[0]) for name, details in error.faults.items())
    return " ".join(str(detail) if name == WHOLE_ROW else f"{name}: {detail}" for name, detail in named)
