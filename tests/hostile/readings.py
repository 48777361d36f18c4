"""Rubbish in readings, through every door that takes one: numbers, times, rows, CSV, NDJSON and gzip."""

import gzip
import struct
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass

from tests.hostile.case import CSV, JSON, NDJSON, Case

T = "2026-03-01T00:00:00Z"
OWN = "devices/{device}/readings/"
MANY = "readings/"
ONE = "devices/{device}/readings/{reading}/"


@dataclass(frozen=True)
class Door:
    """A way in for one reading; `body` has {row} for its JSON object, or {time}, {x} for the cells of a CSV."""

    name: str
    method: str
    path: str
    body: str
    media_type: str = JSON
    sender: str = "alice"
    broken: str = "parse_error"  # the code of a text that is no JSON at all

    def case(
        self, name: str, code: str, time: str = f'"{T}"', x: str = "1", status: int = 400, stores: int = 0
    ) -> Case:
        text = self.body.replace("{time}", time).replace("{x}", x)
        return Case(
            f"{name}, {self.name}",
            self.method,
            self.path,
            status,
            code,
            text.encode(),
            self.media_type,
            sender=self.sender,
            stores=stores,
        )


ROW = '{"recorded_at": {time}, "x": {x}, "y": 2, "z": 3}'
DEVICE_ROW = '{"device": {device}, "recorded_at": {time}, "x": {x}, "y": 2, "z": 3}'
JSON_DOORS = [
    Door("single", "POST", OWN, ROW),
    Door("single by key", "POST", OWN, ROW, sender="key"),
    Door("array", "POST", OWN, f"[{ROW}]"),
    Door("NDJSON", "POST", OWN, ROW + "\n", NDJSON, broken="invalid_json"),
    Door("array of many devices", "POST", MANY, f"[{DEVICE_ROW}]"),
    Door("NDJSON of many devices", "POST", MANY, DEVICE_ROW + "\n", NDJSON, broken="invalid_json"),
    Door("replaced", "PUT", ONE, ROW),
    Door("changed", "PATCH", ONE, '{"recorded_at": {time}, "x": {x}}'),
]
CSV_DOORS = [
    Door("CSV", "POST", OWN, "recorded_at,x,y,z\n{time},{x},2,3\n", CSV),
    Door("CSV of many devices", "POST", MANY, "device,recorded_at,x,y,z\n{device},{time},{x},2,3\n", CSV),
]

# JSON that Python can read, but that is no number of a reading.
BAD_NUMBERS = [
    ("NaN", "NaN", "not_finite"),
    ("Infinity", "Infinity", "not_finite"),
    ("minus Infinity", "-Infinity", "not_finite"),
    ("1e400", "1e400", "not_finite"),
    ("minus 1e400", "-1e400", "not_finite"),
    ("1e999999999", "1e999999999", "not_finite"),
    ("just above 1e15", "1000000000000000.125", "too_large"),
    ("just below minus 1e15", "-1000000000000000.125", "too_large"),
    ("1e308", "1e308", "too_large"),
    ("2**63", "9223372036854775808", "too_large"),
    ("400 digits", "1" + "0" * 400, "too_large"),
    ("4,000 digits", "9" * 4_000, "too_large"),
    ("a text", '"1"', "not_a_number"),
    ("an empty text", '""', "not_a_number"),
    ("the text NaN", '"NaN"', "not_a_number"),
    ("true", "true", "not_a_number"),
    ("false", "false", "not_a_number"),
    ("null", "null", "not_a_number"),
    ("an array", "[1]", "not_a_number"),
    ("an object", '{"value": 1}', "not_a_number"),
    ("half a surrogate pair", r'"\ud800"', "not_a_number"),
    ("an escaped NUL", r'"\u0000"', "not_a_number"),
]
# Texts that are no JSON.
BROKEN_NUMBERS = [
    ("a leading zero", "01"),
    ("a plus sign", "+1"),
    ("no digit before the point", ".5"),
    ("no digit behind the point", "1."),
    ("hexadecimal", "0x10"),
    ("an underscore", "1_000"),
    ("two signs", "--1"),
    ("an exponent without digits", "1e"),
    ("an Arabic digit", "\u0663"),
    ("a full-width digit", "\uff11"),
    ("nan", "nan"),
    ("a bare minus", "-"),
    ("a decimal comma", "1,5"),
    ("nothing", ""),
    ("5,000 digits", "9" * 5_000),
    ("undefined", "undefined"),
    ("True", "True"),
]
BAD_CELLS = [
    ("NaN", "NaN", "not_finite"),
    ("inf", "inf", "not_finite"),
    ("minus Infinity", "-Infinity", "not_finite"),
    ("1e400", "1e400", "not_finite"),
    ("1e16", "1e16", "too_large"),
    ("400 digits", "1" + "0" * 400, "not_finite"),
    ("an underscore", "1_000", "not_a_number"),
    ("an Arabic digit", "\u0663", "not_a_number"),
    ("hexadecimal", "0x10", "not_a_number"),
    ("a quoted comma", '"1,5"', "not_a_number"),
    ("true", "true", "not_a_number"),
    ("nothing", "", "not_a_number"),
    ("a NUL", "1\0", "not_a_number"),
    ("a formula", "=1+1", "not_a_number"),
    ("a no-break space", "\u00a01", None),
    ("a unit", "1 V", "not_a_number"),
    ("a minus that is none", "\u22121", "not_a_number"),
    ("an open quote", '"1', "invalid_csv"),
    ("a quote within", '1"2"', None),
    ("100,000 digits", "9" * 100_000, "not_finite"),
]
# As JSON; those that are texts are tried as cells and in queries too.
BAD_TIMES = [
    ("nothing in it", '""', "invalid_time"),
    ("the year 0", '"0000-01-01T00:00:00Z"', "invalid_time"),
    ("the year 1", '"0001-01-01T00:00:00Z"', "time_out_of_range"),
    ("before the year 1", '"0001-01-01T00:00:00+23:59"', "invalid_time"),
    ("1899", '"1899-12-31T23:59:59.999999Z"', "time_out_of_range"),
    ("1899 by its offset", '"1900-01-01T00:00:00+00:01"', "time_out_of_range"),
    ("2200", '"2200-01-01T00:00:00Z"', "time_out_of_range"),
    ("2200 by its offset", '"2199-12-31T23:59:59-00:01"', "time_out_of_range"),
    ("the year 9999", '"9999-12-31T23:59:59Z"', "time_out_of_range"),
    ("after the year 9999", '"9999-12-31T23:59:59-23:59"', "invalid_time"),
    ("the year 10000", '"10000-01-01T00:00:00Z"', "invalid_time"),
    ("a negative year", '"-2026-01-01T00:00:00Z"', "invalid_time"),
    ("no offset", '"2026-01-01T00:00:00"', "no_offset"),
    ("a date alone", '"2026-01-01"', "invalid_time"),
    ("a space for the T", '"2026-01-01 00:00:00Z"', "invalid_time"),
    ("seven digits", '"2026-01-01T00:00:00.1234567Z"', "too_precise"),
    ("seven zeros", '"2026-01-01T00:00:00.0000000Z"', "too_precise"),
    ("10,000 digits", f'"2026-01-01T00:00:00.{"1" * 10_000}Z"', "too_precise"),
    ("no digit behind the point", '"2026-01-01T00:00:00.Z"', "invalid_time"),
    ("a leap second", '"2016-12-31T23:59:60Z"', "invalid_time"),
    ("the hour 24", '"2026-01-01T24:00:00Z"', "invalid_time"),
    ("the minute 60", '"2026-01-01T00:60:00Z"', "invalid_time"),
    ("30 February", '"2026-02-30T00:00:00Z"', "invalid_time"),
    ("29 February of no leap year", '"2026-02-29T00:00:00Z"', "invalid_time"),
    ("the month 13", '"2026-13-01T00:00:00Z"', "invalid_time"),
    ("the day 0", '"2026-01-00T00:00:00Z"', "invalid_time"),
    ("an offset of a day", '"2026-01-01T00:00:00+24:00"', "invalid_time"),
    ("an offset of 99 minutes", '"2026-01-01T00:00:00+00:99"', "invalid_time"),
    ("an offset of 60 minutes", '"2026-01-01T00:00:00-01:60"', "invalid_time"),
    ("an offset of 99 hours", '"2026-01-01T00:00:00-99:99"', "invalid_time"),
    ("an offset with seconds", '"2026-01-01T00:00:00+01:00:30"', "invalid_time"),
    ("an offset without a colon", '"2026-01-01T00:00:00+0100"', "invalid_time"),
    ("a zone by name", '"2026-01-01T00:00:00 Europe/Berlin"', "invalid_time"),
    ("a zone in brackets", '"2026-01-01T00:00:00+01:00[Europe/Berlin]"', "invalid_time"),
    ("an offset with another minus", '"2026-01-01T00:00:00\u221201:00"', "invalid_time"),
    ("Arabic digits", '"\u0662\u0660\u0662\u0666-01-01T00:00:00Z"', "invalid_time"),
    ("full-width digits", '"2026-01-0\uff11T00:00:00Z"', "invalid_time"),
    ("a week date", '"2026-W01-1T00:00:00Z"', "invalid_time"),
    ("an ordinal date", '"2026-001T00:00:00Z"', "invalid_time"),
    ("no separators", '"20260101T000000Z"', "invalid_time"),
    ("no seconds", '"2026-01-01T00:00Z"', "invalid_time"),
    ("now", '"now"', "invalid_time"),
    ("infinity", '"infinity"', "invalid_time"),
    ("epoch", '"epoch"', "invalid_time"),
    ("SQL", "\"2026-01-01T00:00:00Z' OR '1'='1\"", "invalid_time"),
    ("a million characters", f'"{"2" * 1_000_000}"', "invalid_time"),
]
BAD_TIMES_IN_JSON = [
    ("a number", "1767225600", "invalid_time"),
    ("a huge number", "1e400", "invalid_time"),
    ("null", "null", "invalid_time"),
    ("true", "true", "invalid_time"),
    ("an array", "[2026, 1, 1]", "invalid_time"),
    ("an object", '{"$date": "2026-01-01T00:00:00Z"}', "invalid_time"),
    ("a NUL behind it", r'"2026-01-01T00:00:00Z\u0000"', "invalid_time"),
    ("a line feed behind it", r'"2026-01-01T00:00:00Z\n"', "invalid_time"),
    ("a space before it", '" 2026-01-01T00:00:00Z"', "invalid_time"),
    ("half a surrogate pair", r'"\udc00"', "invalid_time"),
]
# Odd, and right all the same.
GOOD_TIMES = [
    ("small letters", '"2026-03-01t00:00:00z"'),
    ("the first moment", '"1900-01-01T00:00:00Z"'),
    ("the last moment", '"2199-12-31T23:59:59.999999Z"'),
    ("the offset -00:00", '"2026-03-01T00:00:00-00:00"'),
    ("the largest offset", '"2026-03-01T00:00:00+23:59"'),
    ("escapes for digits", r'"\u0032026-03-01T00:00:00Z"'),
]
GOOD_NUMBERS = [
    ("minus zero", "-0.0"),
    ("1e15", "1e15"),
    ("the least double", "5e-324"),
    ("less than the least double", "1e-400"),
    ("1,000 decimals", "0." + "3" * 1_000),
    ("a capital E", "1E+2"),
]

BAD_ROWS = [
    ("null", "null", "not_an_object"),
    ("a number", "1", "not_an_object"),
    ("a text", '"x"', "not_an_object"),
    ("true", "true", "not_an_object"),
    ("an object without fields", "{}", "required"),
    ("no x", ROW.replace('"x": {x}, ', ""), "required"),
]
BAD_NAMES = [
    ("w", "w"),
    ("X", "X"),
    ("nothing", ""),
    ("a NUL", r"\u0000"),
    ("half a surrogate pair", r"\ud800"),
    ("__proto__", "__proto__"),
    ("__class__", "__class__"),
    ("device_id", "device_id"),
    ("a slash and a tilde", "/~"),
    ("100,000 letters", "w" * 100_000),
    ("10,000 names", '": 1, "'.join(map(str, range(10_000)))),
]
BAD_DEVICES = [
    ("0", "0", "unknown_device"),
    ("minus 1", "-1", "unknown_device"),
    ("2**63 - 1", "9223372036854775807", "unknown_device"),
    ("2**63", "9223372036854775808", "unknown_device"),
    ("4,000 digits", "9" * 4_000, "unknown_device"),
    ("another's", "{foreign}", "unknown_device"),
    ("a missing one", "{missing}", "unknown_device"),
    ("a text", '"{device}"', "not_an_id"),
    ("a fraction", "1.0", "not_an_id"),
    ("1e400", "1e400", "not_an_id"),
    ("true", "true", "not_an_id"),
    ("null", "null", "not_an_id"),
    ("an array", "[{device}]", "not_an_id"),
    ("half a surrogate pair", r'"\ud800"', "not_an_id"),
]
BAD_DEVICE_CELLS = [
    ("0", "0", "unknown_device"),
    ("2**63", "9223372036854775808", "unknown_device"),
    ("another's", "{foreign}", "unknown_device"),
    ("4,000 digits", "9" * 4_000, "not_an_id"),
    ("minus 1", "-1", "not_an_id"),
    ("a plus sign", "+{device}", "not_an_id"),
    ("Arabic digits", "\u0661", "not_an_id"),
    ("a fraction", "{device}.0", "not_an_id"),
    ("nothing", "", "not_an_id"),
    ("a NUL", "{device}\0", "not_an_id"),
]

LINE = f"{T},1,2,3\n".encode()
HEADER = b"recorded_at,x,y,z\n"
FILES = [
    ("a header alone", HEADER, 400, "empty"),
    ("blank lines alone", HEADER + b"\n\r\n \n", 400, "empty"),
    ("only a byte order mark", b"\xef\xbb\xbf", 400, "missing_column"),
    ("only NUL", b"\0" * 1000, 400, "missing_column"),
    ("no header", LINE, 400, "missing_column"),
    ("a header twice", HEADER + HEADER + LINE, 400, "invalid_time"),
    ("a column twice", b"recorded_at,x,y,z,x\n", 400, "duplicate_column"),
    ("10,000 columns", b",".join(b"%d" % n for n in range(10_000)) + b"\n", 400, "missing_column"),
    ("too few empty cells", HEADER + LINE + b",,\n", 400, "invalid_csv"),
    ("too many empty cells", HEADER + LINE + b",,,,\n", 400, "invalid_csv"),
    ("an empty cell in quotes", HEADER + LINE + b'""\n', 400, "invalid_csv"),
    ("a line of a million commas", HEADER + b"," * 1_000_000 + b"1\n", 400, "invalid_csv"),
    ("UTF-16 with a mark", (HEADER + LINE).decode().encode("utf-16"), 400, "missing_column"),
    ("UTF-16 without a mark", (HEADER + LINE).decode().encode("utf-16-le"), 400, "missing_column"),
    ("UTF-32", (HEADER + LINE).decode().encode("utf-32"), 400, "missing_column"),
    ("Latin-1 in a cell", HEADER + b"2026-03-01T00:00:00Z,1,2,\xb3\n", 400, "not_a_number"),
    ("half a surrogate pair in a cell", HEADER + b"2026-03-01T00:00:00Z,1,2,\xed\xa0\x80\n", 400, "not_a_number"),
    ("overlong UTF-8 in a cell", HEADER + b"2026-03-01T00:00:00Z,\xc0\xb1,2,3\n", 400, "not_a_number"),
    ("half a character at the end", HEADER + LINE + b"\xc3", 400, "invalid_csv"),
    ("the separators of ASCII", HEADER + LINE.replace(b"\n", b"\x1e") * 3, 400, "invalid_csv"),
    ("a line separator of Unicode", HEADER + LINE.replace(b"\n", "\u2028".encode()) * 2, 400, "invalid_csv"),
    ("a vertical tab between lines", HEADER + LINE.replace(b"\n", b"\v") * 2, 400, "invalid_csv"),
    ("JSON for CSV", b'[{"x": 1}]', 400, "missing_column"),
    ("gzip without saying so", gzip.compress(HEADER + LINE), 400, "missing_column"),
    ("a quoted header that does not end", b'recorded_at,x,y,"z\n' + LINE, 400, ""),
]
LINES = [
    ("an array a line", b'["2026-03-01T00:00:00Z", 1, 2, 3]\n', 400, "not_an_object"),
    ("a JSON array", f"[{ROW}]".replace("{time}", f'"{T}"').replace("{x}", "1").encode(), 400, "not_an_object"),
    ("blank lines alone", b"\n\r\n  \n", 400, "empty"),
    ("a byte order mark before it", b"\xef\xbb\xbf{}\n", 400, ""),
    ("UTF-16", "{}\n".encode("utf-16"), 400, "invalid_json"),
    ("990 nested arrays", b"[" * 990 + b"]" * 990 + b"\n", 400, ""),
    ("100,000 open arrays", b"[" * 100_000 + b"\n", 400, "invalid_json"),
    ("100,000 open objects", b'{"x":' * 100_000 + b"\n", 400, "invalid_json"),
    ("record separators", b"\x1e{}\n\x1e{}\n", 400, "invalid_json"),
    ("CSV for NDJSON", HEADER + LINE, 400, "invalid_json"),
    ("NUL alone", b"\0\n", 400, "invalid_json"),
    ("two objects a line", b"{}{}\n", 400, "invalid_json"),
]


def of_numbers() -> Iterator[Case]:
    for door in JSON_DOORS:
        yield from (door.case(f"x is {name}", code, x=text) for name, text, code in BAD_NUMBERS)
        yield from (door.case(f"x is {name}, no JSON", door.broken, x=text) for name, text in BROKEN_NUMBERS)
    for door in CSV_DOORS:
        yield from (door.case(f"x is {name}", code, T, text) for name, text, code in BAD_CELLS if code is not None)
    yield from (JSON_DOORS[0].case(f"x is {name}", "", x=text, status=201, stores=1) for name, text in GOOD_NUMBERS)
    yield from (JSON_DOORS[2].case(f"x is {name}", "", x=text, status=200, stores=1) for name, text in GOOD_NUMBERS)


def of_times() -> Iterator[Case]:
    for door in JSON_DOORS:
        for name, text, code in BAD_TIMES + BAD_TIMES_IN_JSON:
            yield door.case(f"the time is {name}", code, text)
    for door in CSV_DOORS:
        yield from (door.case(f"the time is {name}", code, text.strip('"')) for name, text, code in BAD_TIMES)
    yield from (JSON_DOORS[0].case(f"the time is {name}", "", text, status=201, stores=1) for name, text in GOOD_TIMES)
    yield from (JSON_DOORS[1].case(f"the time is {name}", "", text, status=201, stores=1) for name, text in GOOD_TIMES)


def of_rows() -> Iterator[Case]:
    named = [(f"a field named {name}", f'{ROW[:-1]}, "{text}": 4}}', "unknown_field") for name, text in BAD_NAMES]
    for name, row, code in BAD_ROWS + named:
        one = row.replace("{time}", f'"{T}"').replace("{x}", "1").encode()
        yield Case(f"{name}, single", "POST", OWN, 400, code, one)
        yield Case(f"{name}, replaced", "PUT", ONE, 400, code, one)
        yield Case(f"{name}, array", "POST", OWN, 400, code, b"[" + one + b"]")
        yield Case(f"{name}, NDJSON", "POST", OWN, 400, code, one, NDJSON)
        yield Case(f"{name}, by key", "POST", OWN, 400, code, one, sender="key")
        yield Case(f"{name}, array, partial", "POST", OWN + "?partial=true", 200, "", b"[" + one + b"]")
        yield Case(f"{name}, NDJSON, partial", "POST", MANY + "?partial=true", 200, "", one, NDJSON)
    for name, text, code in BAD_DEVICES:
        line = DEVICE_ROW.replace("{device}", text).replace("{time}", f'"{T}"').replace("{x}", "1").encode()
        yield Case(f"the device is {name}, array", "POST", MANY, 400, code, b"[" + line + b"]")
        yield Case(f"the device is {name}, NDJSON", "POST", MANY, 400, code, line, NDJSON)
        yield Case(f"the device is {name}, by key", "POST", MANY, 400, code, b"[" + line + b"]", sender="key")
        yield Case(f"the device is {name}, on a device's path", "POST", OWN, 400, "unknown_field", line)
    for name, text, code in BAD_DEVICE_CELLS:
        table = b"device," + HEADER + text.encode() + b"," + LINE
        yield Case(f"the device is {name}, CSV", "POST", MANY, 400, code, table, CSV)
    for name, value in (("another's", "{foreign}"), ("true", "true"), ("a text", '"{device}"'), ("null", "null")):
        change = f'{{"device": {value}, "x": 5}}'.encode()
        yield Case(f"the device is {name}, changed", "PATCH", ONE, 400, "device_mismatch", change)


def of_files() -> Iterator[Case]:
    for partial in ("", "?partial=true"):
        for name, body, status, code in FILES:
            if not partial or code in ("empty", "missing_column", "duplicate_column"):
                yield Case(f"CSV, {name}", "POST", OWN + partial, status, code, body, CSV)
    for path in (OWN, MANY):
        for name, body, status, code in LINES:
            yield Case(f"NDJSON, {name}", "POST", path, status, code, body, NDJSON)
    for value in ("", "maybe", "2", "%00", "tru%65%00", "null", "1" * 5000):
        yield Case(f"partial is {value[:9]!r}", "POST", f"{OWN}?partial={value}", 400, "", HEADER + LINE, CSV)
        yield Case(f"partial is {value[:9]!r}", "POST", f"{MANY}?partial={value}", 400, "", b"device," + HEADER, CSV)
    query, bad = "?partial=true&partial=false", HEADER + LINE + LINE.replace(b",1,", b",q,")
    yield Case("partial twice, false last", "POST", OWN + query, 400, "not_a_number", bad, CSV)
    yield Case("100,001 rows", "POST", OWN, 413, "too_large", lambda: HEADER + LINE * 100_001, CSV)
    yield Case("100,001 lines", "POST", OWN, 413, "too_large", lambda: b"{}\n" * 100_001, NDJSON)
    yield Case("100,001 elements", "POST", OWN, 413, "too_large", lambda: b"[" + b"{}," * 100_000 + b"{}]")


def of_gzip() -> Iterator[Case]:
    plain = HEADER + LINE
    packed = gzip.compress(plain, mtime=0)
    variants: list[tuple[str, str, bytes, int, str]] = [
        ("cut off behind the head", "gzip", packed[:10], 400, "parse_error"),
        ("cut off before the checksum", "gzip", packed[:-8], 400, "parse_error"),
        ("cut off by a byte", "gzip", packed[:-1], 400, "parse_error"),
        ("a wrong length at its end", "gzip", packed[:-4] + b"\0\0\0\1", 400, "parse_error"),
        ("a second member cut off", "gzip", packed + packed[:12], 400, "parse_error"),
        ("rubbish behind it", "gzip", packed + b"rubbish", 400, "parse_error"),
        ("zeros behind it", "gzip", packed + b"\0" * 512, 400, "parse_error"),
        ("plain", "gzip", plain, 400, "parse_error"),
        ("empty", "gzip", b"", 400, ""),
        ("a member of nothing", "gzip", gzip.compress(b""), 400, ""),
        ("packed twice, said once", "gzip", gzip.compress(packed), 400, "missing_column"),
        ("packed twice, said twice", "gzip, gzip", gzip.compress(packed), 415, "unsupported_media_type"),
        ("zlib for gzip", "gzip", zlib.compress(plain), 400, "parse_error"),
        ("an unknown method", "gzip", packed[:2] + b"\x07" + packed[3:], 400, "parse_error"),
        ("reserved flags", "gzip", packed[:3] + b"\xe0" + packed[4:], 400, "parse_error"),
        ("a name that never ends", "gzip", packed[:3] + b"\x08" + packed[4:10] + b"n" * 10_000, 400, "parse_error"),
        (
            "extra bytes that are not there",
            "gzip",
            packed[:3] + b"\x04" + packed[4:10] + b"\xff\xff",
            400,
            "parse_error",
        ),
        ("17 MiB of NUL", "gzip", gzip.compress(bytes(17 * 2**20)), 413, "too_large"),
        ("deflate", "deflate", zlib.compress(plain), 415, "unsupported_media_type"),
        ("br", "br", plain, 415, "unsupported_media_type"),
        ("zstd", "zstd", plain, 415, "unsupported_media_type"),
        ("an encoding without a name", "", plain, 415, ""),
        ("a list with nothing in it", ",", plain, 415, "unsupported_media_type"),
        ("identity and gzip", "identity, gzip", packed, 415, "unsupported_media_type"),
        ("x-gzip", "x-gzip", packed, 415, ""),
        ("a star", "*", plain, 415, "unsupported_media_type"),
        ("a NUL in its name", "gzip\0", packed, 415, "unsupported_media_type"),
        ("no ASCII", "gz\xefp", packed, 415, "unsupported_media_type"),
    ]
    for name, encoding, body, status, code in variants:
        for path in (OWN, MANY):
            said = {"Content-Encoding": encoding}
            yield Case(f"gzip, {name}", "POST", path, status, code, body, CSV, said)
    for method, path in (("PUT", ONE), ("PATCH", ONE), ("POST", "devices/"), ("PATCH", "devices/{device}/")):
        body = gzip.compress(b'{"x": 1, "name": "zipped"}')
        yield Case(
            "gzip where none is taken", method, path, 400, "parse_error", body, headers={"Content-Encoding": "gzip"}
        )


def packed(microseconds: int, *axes: float) -> str:
    return urlsafe_b64encode(struct.pack(">qddd", microseconds, *axes)).decode().rstrip("=")


# Ids of readings that nobody has given out. As a place in the list they are the same rubbish.
BAD_READING_IDS = [
    ("a letter", "x"),
    ("43 times A, which is 1970 and nobody's", "A" * 43),
    ("42 letters", "A" * 42),
    ("44 letters", "A" * 44),
    ("4,000 letters", "A" * 4_000),
    ("padding", packed(0, 1, 2, 3) + "="),
    ("spare bits that are not zero", packed(0, 1, 2, 3)[:-1] + "B"),
    ("the other alphabet", "+" * 43),
    ("NaN", packed(0, float("nan"), 2, 3)),
    ("Infinity", packed(0, 1, float("inf"), 3)),
    ("minus zero", packed(0, -0.0, 2, 3)),
    ("1e300", packed(0, 1e300, 2, 3)),
    ("the end of the integers", packed(2**63 - 1, 1, 2, 3)),
    ("the beginning of the integers", packed(-(2**63), 1, 2, 3)),
    ("1899", packed(-2_208_988_800_000_001, 1, 2, 3)),
    ("2200", packed(7_258_118_400_000_000, 1, 2, 3)),
    ("the year 9999", packed(253_402_300_799_999_999, 1, 2, 3)),
    ("a NUL", "%00"),
    ("a NUL behind it", "{reading}%00"),
    ("a space behind it", "{reading}%20"),
    ("a line feed behind it", "{reading}%0A"),
    ("no UTF-8", "%ff" * 43),
    ("an emoji", "%F0%9F%92%A9" * 11),
    ("half a surrogate pair", "%ED%A0%80"),
    ("a star", "*"),
    ("dots", "..%2F..%2F"),
    ("a quote", "'"),
    ("a format", "{0.__class__}"),
    ("a percent sign", "%25s"),
]


def of_reading_ids() -> Iterator[Case]:
    good = f'{{"recorded_at": "{T}", "x": 1, "y": 2, "z": 3}}'.encode()
    for name, reading_id in [*BAD_READING_IDS, ("another's", "{foreign_reading}")]:
        path = f"devices/{{device}}/readings/{reading_id}/"
        for method, body in (("GET", b""), ("PUT", good), ("PATCH", b'{"x": 5}'), ("DELETE", b"")):
            yield Case(f"the id is {name}", method, path, 404, "not_found", body)
        if "nobody's" not in name and "another's" not in name:
            yield Case(f"the cursor is {name}", "GET", f"{OWN}?cursor={reading_id}", 400, "invalid")
            yield Case(f"the cursor backward is {name}", "GET", f"{OWN}?cursor=~{reading_id}", 400, "invalid")


FAMILIES = [of_numbers, of_times, of_rows, of_files, of_gzip, of_reading_ids]
