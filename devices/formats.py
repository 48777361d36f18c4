"""Batches of readings as they are sent: JSON arrays, NDJSON and CSV, plain or gzipped.

A body is decoded twice at most: quickly, all of it at once, and where that fails or is in doubt once more, strictly
and row by row, so that each bad row is named.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec
from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from devices import csv_cells, rows, values
from devices.columns import Columns, NotSimple
from devices.rows import FAULTS_LISTED, OWN_FIELDS, WHOLE_ROW, Faults, InvalidRow, Row, fault

GZIP_PIECE = 2**14  # bytes
TEXT_CHECKS: rows.Checks = {
    "device": values.identifier_from_text,
    "recorded_at": values.time_from_text,
    **dict.fromkeys("xyz", values.number_from_text),
}


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "This body is too large."


@dataclass(frozen=True)
class Batch:
    """A decoded batch: the good rows as columns, where each stood, and the faults of the others by their place."""

    columns: Columns
    places: Sequence[int]
    faults: dict[int, Faults] = field(default_factory=dict)

    @property
    def received(self) -> int:
        return len(self.places) + len(self.faults)

    @classmethod
    def of(cls, columns: Columns) -> "Batch":
        """A batch without a fault."""
        return cls(columns, range(len(columns)))


@dataclass(frozen=True)
class Body:
    """A body as it came, decompressed, and the format that says how to read it."""

    content: bytes
    media_type: str

    @property
    def is_one_object(self) -> bool:
        return self.media_type == JSONReadingsParser.media_type and self.content.lstrip()[:1] != b"["

    def json(self) -> Any:
        """The decoded JSON, of whatever shape; ParseError if it is none."""
        return _decoded_json(self.content)

    def batch(self, device_id: int | None) -> Batch:
        """The readings of one device, or of many where each row names its own.

        Raises ParseError for what is no such format at all, ValidationError for an empty batch, TooLarge.
        """
        decode = {
            JSONReadingsParser.media_type: decode_json,
            NDJSONReadingsParser.media_type: decode_ndjson,
            CSVReadingsParser.media_type: decode_csv,
        }[self.media_type]
        batch = decode(self.content, device_id)
        if not batch.received:
            raise ValidationError(ErrorDetail("An empty batch: there is nothing to store.", "empty"))
        return batch


def body_of(request: Request) -> Body:
    """The body that a request's parser has handed on; REST framework asks no parser about an empty one."""
    return request.data if isinstance(request.data, Body) else Body(b"", JSONReadingsParser.media_type)


class ReadingsParser(BaseParser):
    """Hands the decompressed body on as it is: only the view knows what its rows must have."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        encoding = parser_context["request"].META.get("HTTP_CONTENT_ENCODING", "identity").lower()
        content = stream.read()
        if encoding == "gzip":
            content = gunzip(content, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        elif encoding != "identity":
            raise UnsupportedMediaType(encoding, "Content-Encoding must be gzip, or left out.")
        return Body(content, self.media_type)


class JSONReadingsParser(ReadingsParser):
    media_type = "application/json"


class NDJSONReadingsParser(ReadingsParser):
    media_type = "application/x-ndjson"


class CSVReadingsParser(ReadingsParser):
    media_type = "text/csv"


READINGS_PARSERS: list[type[BaseParser]] = [JSONReadingsParser, NDJSONReadingsParser, CSVReadingsParser]


def gunzip(content: bytes, limit: int) -> bytes:
    """Decompress all members of a gzip stream; TooLarge past `limit` bytes, before any more are made."""
    plain = bytearray()
    member = None
    for start in range(0, len(content), GZIP_PIECE):  # a member's rest is copied: of a piece, not of the whole body
        rest = content[start : start + GZIP_PIECE]
        while rest:
            member = member or zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            try:
                plain += member.decompress(rest, limit + 1 - len(plain))
            except zlib.error as error:
                raise ParseError(f"This is not gzip: {error}.") from None
            if len(plain) > limit:
                raise TooLarge(f"Decompressed, this body is larger than {limit} bytes.")
            rest = member.unused_data
            member = None if member.eof else member
    if member is not None:
        raise ParseError("This gzip stream is cut short.")
    return bytes(plain)


class DecodedReading(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    recorded_at: str
    x: float
    y: float
    z: float


class _DeviceReading(DecodedReading, forbid_unknown_fields=True, gc=False):
    device: int


_ARRAY = msgspec.json.Decoder(list[DecodedReading]), msgspec.json.Decoder(list[_DeviceReading])
_LINES = msgspec.json.Decoder(DecodedReading), msgspec.json.Decoder(_DeviceReading)


def decode_json(content: bytes, device_id: int | None) -> Batch:
    """A JSON array of objects."""
    decoder = _ARRAY[device_id is None]
    try:
        return _quickly(decoder.decode(content), device_id)
    except (NotSimple, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _strictly(_json_array(content), device_id, rows.CHECKS)


def decode_ndjson(content: bytes, device_id: int | None) -> Batch:
    """An object a line."""
    decoder = _LINES[device_id is None]
    try:
        return _quickly([decoder.decode(line) for line in content.splitlines() if line.strip()], device_id)
    except (NotSimple, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _strictly(_json_lines(content), device_id, rows.CHECKS)


def decode_csv(content: bytes, device_id: int | None) -> Batch:
    """Columns by the names in the first line."""
    header, body = _split_header(content)
    names = csv_cells.header(header, OWN_FIELDS if device_id is not None else ("device", *OWN_FIELDS))
    try:
        columns = csv_cells.columns(body, names, _check_number_of_rows)
        device = device_id if device_id is not None else [_device_id(text) for text in columns["device"]]
        return Batch.of(Columns.of_values(device, columns["recorded_at"], *csv_cells.numbers(columns)))
    except NotSimple:
        lines = csv_cells.rows(body.splitlines(), names)
        return _strictly((line for line in lines if line is not None), device_id, TEXT_CHECKS)


def _decoded_json(content: bytes) -> Any:
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ParseError(f"JSON parse error - {error}") from None


def _json_array(content: bytes) -> list[Any]:
    decoded = _decoded_json(content)
    if not isinstance(decoded, list):
        raise ValidationError(ErrorDetail("A batch must be a JSON array.", "not_an_array"))
    return decoded


def _json_lines(content: bytes) -> Iterator[Any]:
    for line in content.splitlines():
        if line.strip():
            try:
                yield json.loads(line.decode())
            except (ValueError, RecursionError) as error:
                yield InvalidRow(fault(WHOLE_ROW, "invalid_json", f"JSON parse error - {error}"))


def _quickly(readings: list[Any], device_id: int | None) -> Batch:
    """A batch of decoded objects; NotSimple where they need the strict check."""
    _check_number_of_rows(len(readings))
    device = device_id if device_id is not None else [reading.device for reading in readings]
    if device_id is None and min((reading.device for reading in readings), default=1) < 1:
        raise NotSimple
    times = [reading.recorded_at for reading in readings]
    x, y, z = (
        [reading.x for reading in readings],
        [reading.y for reading in readings],
        [reading.z for reading in readings],
    )
    return Batch.of(Columns.of_values(device, times, x, y, z))


def _strictly(items: Iterable[Any], device_id: int | None, checks: rows.Checks) -> Batch:
    """A batch with each of its bad rows named."""
    good: dict[int, Row] = {}
    faults: dict[int, Faults] = {}
    for place, item in enumerate(items):
        _check_number_of_rows(place + 1)
        try:
            good[place] = checked(item, device_id, checks)
        except InvalidRow as error:
            # What an answer does not list is only counted: the reasons of 100,000 rows are a quarter of a gigabyte.
            faults[place] = error.faults if len(faults) < FAULTS_LISTED else {}
    return Batch(Columns.of_rows(list(good.values())), list(good), faults)


def checked(item: Any, device_id: int | None, checks: rows.Checks) -> Row:
    """The reading of a decoded row; raises InvalidRow, also one that the decoder has left in its place."""
    if isinstance(item, InvalidRow):
        raise item
    return rows.check(item, device_id, checks)


def _check_number_of_rows(number: int) -> None:
    if number > settings.MAX_BATCH_ROWS:
        raise TooLarge(f"A batch may have {settings.MAX_BATCH_ROWS} rows.")


def _split_header(content: bytes) -> tuple[bytes, bytes]:
    """The first line, and what follows it."""
    header = content.split(b"\n", 1)[0].split(b"\r", 1)[0]
    return header, content[len(header) :]


def _device_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text)):
        raise NotSimple
    return int(text)
