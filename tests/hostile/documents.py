"""Rubbish in bodies that are no readings: JSON that is none, media types, sizes, lengths, forms and fields."""

from collections.abc import Callable, Iterator

from tests.hostile.case import CSV, JSON, NDJSON, Case, for_route
from tests.routes import api_routes

SIZE = 16 * 2**20  # MAX_BODY_SIZE, unless it is set
FORM = "application/x-www-form-urlencoded"
BROKEN_JSON: list[tuple[str, bytes]] = [
    ("an open brace", b"{"),
    ("100,000 open arrays", b"[" * 100_000),
    ("half a surrogate pair in UTF-8", b'{"name": "\xed\xa0\x80"}'),
    ("UTF-16 with a mark", '{"name": "x"}'.encode("utf-16")),
    ("a bare NUL in a text", b'{"name": "a\0b"}'),
    ("a number of 100,000 digits", b'{"name": ' + b"1" * 100_000 + b"}"),
    ("an open text", b'{"name": "x'),
    ("two objects", b'{"name": "x"} {"name": "y"}'),
    ("a trailing comma", b'{"name": "x",}'),
    ("single quotes", b"{'name': 'x'}"),
    ("a comment", b'{"name": "x"} // so'),
    ("names without quotes", b'{name: "x"}'),
    ("an escape that is none", rb'{"name": "\x41"}'),
    ("a short escape", rb'{"name": "\u00"}'),
    ("a bare line feed in a text", b'{"name": "a\nb"}'),
    ("NUL", b"\0"),
    ("only spaces", b"   \r\n\t "),
    ("a form feed before it", b"\f{}"),
    ("a no-break space before it", b"\xc2\xa0{}"),
    ("a byte order mark", b'\xef\xbb\xbf{"name": "x"}'),
    ("UTF-16 without a mark", '{"name": "x"}'.encode("utf-16-le")),
    ("UTF-32", '{"name": "x"}'.encode("utf-32")),
    ("UTF-7", b"+AHs-+AH0-"),
    ("Latin-1", '{"name": "caf\xe9"}'.encode("latin-1")),
    ("half a character", b'{"name": "\xc3'),
    ("overlong UTF-8", b'{"name": "\xc0\xaf"}'),
    ("beyond Unicode", b'{"name": "\xf4\x90\x80\x80"}'),
    ("100,000 open objects", b'{"name":' * 100_000),
    ("100,000 nested arrays", b"[" * 100_000 + b"]" * 100_000),
    ("XML", b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>"),
    ("YAML", b"name: !!python/object/apply:os.system [id]"),
    ("a form", b"name=x"),
    ("a pickle", b"\x80\x04N."),
    ("MessagePack", b"\x81\xa4name\xa1x"),
]
# JSON all right, and no object with fields that anybody would take.
WRONG_SHAPES: list[tuple[str, bytes]] = [
    ("null", b"null"),
    ("a number", b"1"),
    ("a text", b'"name"'),
    ("true", b"true"),
    ("an array in an array", b"[[]]"),
    ("an array of null", b"[null]"),
    ("990 nested arrays", b"[" * 990 + b"]" * 990),
    ("990 nested objects", b'{"name":' * 990 + b"1" + b"}" * 990),
    ("400 nested arrays in a field", b'{"name":' + b"[" * 400 + b"]" * 400 + b"}"),
    ("an unknown field", b'{"is_superuser": true}'),
    ("an unknown field named by half a surrogate pair", rb'{"\ud83d": 1}'),
    ("an unknown field named by NUL", rb'{"\u0000": 1}'),
    ("an unknown field without a name", b'{"": 1}'),
    ("an unknown field named __proto__", b'{"__proto__": {"is_staff": true}}'),
    ("10,000 unknown fields", b"{" + b",".join(b'"f%d": 1' % number for number in range(10_000)) + b"}"),
]
MEDIA_TYPES = [
    ("plain text", "text/plain"),
    ("the charset UTF-16", "application/json; charset=utf-16"),
    ("XML", "application/xml"),
    ("no type", ""),
    ("bytes", "application/octet-stream"),
    ("half a type", "application"),
    ("a slash", "/"),
    ("three parts", "application/json/x"),
    ("a star", "*/*"),
    ("a star for the half", "application/*"),
    ("another JSON", "application/vnd.api+json"),
    ("a text that is JSON", "text/json"),
    ("two types", "application/json, text/csv"),
    ("a type of 8,000 letters", "a" * 8_000),
    ("no ASCII", "application/js\xf6n"),
    ("a NUL", "application/json\0"),
    ("a pickle", "application/python-pickle"),
    ("YAML", "application/yaml"),
    ("the charset Latin-1", "application/json; charset=latin-1"),
    ("the charset UTF-7", "application/json; charset=utf-7"),
    ("the charset zlib", "application/json; charset=zlib_codec"),
    ("a charset that there is not", "application/json; charset=klingon"),
]
LENGTHS = [
    ("one byte too large", str(SIZE + 1), 413, "too_large"),
    ("2**63", str(2**63), 413, "too_large"),
    ("5,000 digits", "9" * 5_000, 413, "too_large"),
    ("negative", "-1", 400, "invalid_length"),
    ("with a plus sign", "+2", 400, "invalid_length"),
    ("hexadecimal", "0x2", 400, "invalid_length"),
    ("with an exponent", "1e1", 400, "invalid_length"),
    ("a fraction", "2.0", 400, "invalid_length"),
    ("a word", "two", 400, "invalid_length"),
    ("two numbers", "2, 2", 400, "invalid_length"),
    ("a superscript digit", "\u00b2", 400, "invalid_length"),
]
FORMS = [
    ("no boundary", "multipart/form-data", b"x"),
    ("an empty boundary", "multipart/form-data; boundary=", b"x"),
    ("a boundary of 1,000 letters", "multipart/form-data; boundary=" + "b" * 1_000, b"x"),
    ("a boundary that is no ASCII", "multipart/form-data; boundary=\xfc", b"x"),
    ("a boundary with a NUL", "multipart/form-data; boundary=\0", b"x"),
    ("nothing", "multipart/form-data; boundary=b", b""),
    ("another boundary", "multipart/form-data; boundary=b", b"--c\r\n\r\n--c--"),
    ("cut short in its head", "multipart/form-data; boundary=b", b"--b\r\nContent-Dis"),
    (
        "base64 that is none",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="name"\r\nContent-Transfer-Encoding: base64\r\n\r\n====\r\n--b--',
    ),
    (
        "1,001 parts",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n' * 1_001 + b"--b--",
    ),
    (
        "200 files",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="../../f"\r\n\r\nx\r\n' * 200 + b"--b--",
    ),
    (
        "a NUL in a name",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="na\0me"\r\n\r\nx\r\n--b--',
    ),
    (
        "a NUL in a value",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\0\r\n--b--',
    ),
    (
        "no UTF-8",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="n\xff"\r\n\r\n\xff\r\n--b--',
    ),
    (
        "a charset that there is not",
        "multipart/form-data; boundary=b; charset=klingon",
        b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nx\r\n--b--',
    ),
    ("1,001 fields", FORM, b"&".join(b"f%d=1" % number for number in range(1_001))),
    ("a NUL in a value, encoded", FORM, b"name=%00&username=%00"),
    ("unknown fields", FORM, b"is_superuser=on&is_staff=1"),
    ("no UTF-8, encoded", FORM, b"n%ff=%ff"),
    ("a charset that there is not, encoded", FORM + "; charset=klingon", b"n=x"),
    ("UTF-16, encoded", FORM + "; charset=utf-16", b"n=x"),
]

Field = tuple[str, str, str]  # its name, the JSON of its value, the code
BAD_DEVICE_FIELDS: list[Field] = [
    ("name", '""', "blank"),
    ("name", '"   "', "blank"),
    ("name", "null", "null"),
    ("name", "[]", "invalid"),
    ("name", "{}", "invalid"),
    ("name", "true", "invalid"),
    ("name", f'"{"n" * 201}"', "max_length"),
    ("name", f'"{"n" * 1_000_000}"', "max_length"),
    ("name", r'"\u0000"', "null_characters_not_allowed"),
    ("name", r'"\ud800"', "surrogate_characters_not_allowed"),
    ("name", r'"\udfff\ud800"', "surrogate_characters_not_allowed"),
    ("description", f'"{"d" * 2_001}"', "max_length"),
    ("description", r'"a\u0000b"', "null_characters_not_allowed"),
    ("description", "{}", "invalid"),
    ("timezone", '"../../etc/passwd"', "unknown_timezone"),
    ("timezone", '"/etc/localtime"', "unknown_timezone"),
    ("timezone", '"europe/berlin"', "unknown_timezone"),
    ("timezone", r'"UTC\u0000"', "unknown_timezone"),
    ("timezone", r'"\ud800"', "unknown_timezone"),
    ("timezone", f'"{"z" * 10_000}"', ""),
    ("timezone", '"localtime"', "unknown_timezone"),
    ("expected_interval", "NaN", ""),
    ("expected_interval", "Infinity", ""),
    ("expected_interval", "1e400", ""),
    ("expected_interval", "-1", "min_value"),
    ("expected_interval", "0", "min_value"),
    ("expected_interval", "-0.0", "min_value"),
    ("expected_interval", "5e-324", "min_value"),
    ("expected_interval", "1e15", "max_value"),
    ("expected_interval", "1" + "0" * 400, ""),
    ("expected_interval", '"60"', "invalid"),
    ("expected_interval", '"6_0"', "invalid"),
    ("expected_interval", '"\u0666"', "invalid"),
    ("expected_interval", '"nan"', "invalid"),
    ("expected_interval", "true", "invalid"),
    ("expected_interval", "[]", "invalid"),
    ("expected_interval", f'"{"1" * 10_000}"', ""),
    ("retention_days", "0", "min_value"),
    ("retention_days", "-1", "min_value"),
    ("retention_days", "36501", "max_value"),
    ("retention_days", "9223372036854775808", "max_value"),
    ("retention_days", "1" + "0" * 400, ""),
    ("retention_days", "1e400", ""),
    ("retention_days", "NaN", ""),
    ("retention_days", "1.5", "invalid"),
    ("retention_days", '"7"', "invalid"),
    ("retention_days", "true", "invalid"),
    ("retention_days", "[]", "invalid"),
    ("is_active", '"maybe"', "invalid"),
    ("is_active", "2", "invalid"),
    ("is_active", "null", "null"),
    ("is_active", "[]", "invalid"),
    ("is_active", "{}", "invalid"),
    ("owner", "{bob}", "does_not_exist"),
    ("owner", "{missing}", "does_not_exist"),
    ("owner", "0", "does_not_exist"),
    ("owner", "-1", "does_not_exist"),
    ("owner", "9223372036854775808", "does_not_exist"),
    ("owner", "1" + "0" * 400, "does_not_exist"),
    ("owner", "1e400", ""),
    ("owner", "NaN", ""),
    ("owner", "1.5", ""),
    ("owner", "true", "incorrect_type"),
    ("owner", "null", "null"),
    ("owner", "[]", "incorrect_type"),
    ("owner", '{"id": 1}', "incorrect_type"),
    ("owner", r'"\u0000"', ""),
    ("owner", r'"\ud800"', ""),
    ("owner", '"\u0661"', ""),
    ("owner", f'"{"1" * 5_000}"', ""),
]
BAD_USER_FIELDS: list[Field] = [
    ("username", '""', "blank"),
    ("username", "null", "null"),
    ("username", f'"{"u" * 151}"', "max_length"),
    ("username", '"a b"', "invalid"),
    ("username", '"<script>"', "invalid"),
    ("username", r'"a\u0000"', ""),
    ("username", r'"\ud800"', ""),
    ("username", "[]", "invalid"),
    ("username", "true", "invalid"),
    ("username", '"bob"', "unique"),
    ("email", '"nobody"', "invalid"),
    ("email", r'"a\u0000@example.org"', ""),
    ("email", r'"\ud800@example.org"', ""),
    ("email", f'"{"e" * 300}@example.org"', ""),
    ("email", f'"a@{"e." * 5_000}org"', ""),
    ("email", "{}", "invalid"),
    ("is_staff", "true", "unknown_field"),
    ("is_superuser", "true", "unknown_field"),
    ("is_active", "false", "unknown_field"),
    ("groups", "[1]", "unknown_field"),
    ("user_permissions", "[1]", "unknown_field"),
    ("last_login", "null", "unknown_field"),
]
BAD_QUESTIONS: list[Field] = [
    ("interval", r'"\ud800"', "invalid_choice"),
    ("interval", r'"day\u0000"', "invalid_choice"),
    ("interval", '"century"', "invalid_choice"),
    ("interval", f'"{"d" * 100_000}"', "invalid_choice"),
    ("interval", "[]", "invalid_choice"),
    ("interval", "{}", "invalid_choice"),
    ("interval", "1e400", "invalid_choice"),
    ("timezone", r'"\ud800"', ""),
    ("timezone", r'"UTC\u0000"', ""),
    ("timezone", '"../../etc/passwd"', ""),
    ("timezone", '"/etc/localtime"', ""),
    ("timezone", f'"{"Z" * 100_000}"', ""),
    ("timezone", "[]", "invalid"),
    ("percentiles", r'"\ud800"', ""),
    ("percentiles", r'"5\u0000"', ""),
    ("percentiles", '"NaN"', "invalid_percentile"),
    ("percentiles", '"101"', "invalid_percentile"),
    ("percentiles", "[5]", "invalid"),
    ("start_time", r'"\ud800"', ""),
    ("end_time", r'"2026-01-01T00:00:00Z\u0000"', ""),
    ("end_time", "0", ""),
    (r"\ud800", "1", "unknown_field"),
]
BAD_PASSWORDS: list[tuple[str, str]] = [
    ("nothing", '""'),
    ("null", "null"),
    ("too short", '"a"'),
    ("common", '"password"'),
    ("digits", '"8273645182736"'),
    ("129 letters", f'"{"p" * 129}"'),
    ("a million letters", f'"{"p" * 1_000_000}"'),
    ("a NUL", r'"p-9-secret\u0000"'),
    ("half a surrogate pair", r'"p-9-secret\ud800"'),
    ("an array", "[]"),
    ("an object", '{"$ne": null}'),
    ("true", "true"),
]
CREDENTIALS: list[tuple[str, str]] = [
    ("nothing", "{}"),
    ("a wrong password", '{"username": "nemo", "password": "wrong"}'),
    ("no password", '{"username": "alice"}'),
    ("null", '{"username": null, "password": null}'),
    ("arrays", '{"username": ["alice"], "password": ["alice-9-secret"]}'),
    ("objects", '{"username": {"$ne": 1}, "password": {"$ne": 1}}'),
    ("a NUL", r'{"username": "alice\u0000", "password": "alice-9-secret"}'),
    ("a NUL in the password", r'{"username": "nemo", "password": "a\u0000"}'),
    ("half a surrogate pair", r'{"username": "\ud800", "password": "x"}'),
    ("half a surrogate pair in the password", r'{"username": "nemo", "password": "\ud800"}'),
    ("a name of a million letters", f'{{"username": "{"n" * 1_000_000}", "password": "x"}}'),
    ("a password of a million letters", f'{{"username": "nemo", "password": "{"n" * 1_000_000}"}}'),
    ("a name of many forms", f'{{"username": "{chr(0xFDFA) * 50_000}", "password": "x"}}'),
    ("SQL", """{"username": "alice' --", "password": "x"}"""),
]


THOROUGH = ("devices/{device}/readings/", "devices/", "devices/{device}/readings/{reading}/", "auth/token/")


def writing() -> Iterator[tuple[str, str]]:
    """Each route that reads a body; a new key is made of nothing, and nothing cancels."""
    for method, path in api_routes():
        if method in ("POST", "PUT", "PATCH") and not path.endswith(("/keys/", "/cancel/")):
            yield method, path


def of_json() -> Iterator[Case]:
    for method, path in writing():
        for name, body in for_route(path, THOROUGH, BROKEN_JSON, 6):
            yield Case(f"{name} for JSON", method, path, 400, "parse_error", body, sender="root")
        for name, body in WRONG_SHAPES:
            yield Case(f"{name} for an object", method, path, 400, "", body, sender="root")
    yield Case(
        "a name twice in an object",
        "POST",
        "devices/{device}/readings/",
        201,
        "",
        b'{"x": 1, "x": 5, "y": 2, "z": 3, "recorded_at": "2026-03-01T00:00:00Z"}',
        stores=1,
    )


def of_media_types() -> Iterator[Case]:
    for method, path in writing():
        for name, media_type in for_route(path, THOROUGH, MEDIA_TYPES, 3):
            yield Case(
                f"{name} as media type", method, path, 415, "unsupported_media_type", b"{}", media_type, sender="root"
            )
        if "readings" in path:
            for media_type in (FORM, "multipart/form-data; boundary=b"):
                yield Case(
                    f"a form as {media_type[:11]}", method, path, 415, "unsupported_media_type", b"x=1", media_type
                )
    for media_type in (CSV, NDJSON):
        for method in ("PUT", "PATCH"):
            path = "devices/{device}/readings/{reading}/"
            yield Case(f"{media_type} for one", method, path, 415, "unsupported_media_type", b"x\n1\n", media_type)


def of_sizes() -> Iterator[Case]:
    def too_large(start: bytes, end: bytes) -> Callable[[], bytes]:
        return lambda: start + b" " * (SIZE + 1 - len(start) - len(end)) + end

    for method, path in api_routes():
        for name, length, status, code in for_route(path, THOROUGH[:2], LENGTHS, 3):
            headers = {"CONTENT_LENGTH": length}
            yield Case(f"a length that is {name}", method, path, status, code, b"{}", headers=headers)
    for method, path in writing():
        yield Case("a byte more than 16 MiB", method, path, 413, "too_large", too_large(b"{", b"}"))
    for method in ("GET", "DELETE", "OPTIONS", "FOO"):
        path = "devices/{device}/"
        yield Case("a byte more than 16 MiB", method, path, 413, "too_large", too_large(b"{", b"}"))
    yield Case(
        "chunks",
        "POST",
        "devices/{device}/readings/",
        411,
        "length_required",
        b"2\r\n{}\r\n0\r\n\r\n",
        headers={"Transfer-Encoding": "chunked"},
    )


def of_forms() -> Iterator[Case]:
    for method, path in (("POST", "users/"), ("POST", "devices/"), ("PUT", "devices/{device}/")):
        for name, media_type, body in FORMS:
            status = 415 if any(text in name for text in ("1,000 letters", "a charset", "UTF-16")) else 400
            yield Case(f"a form with {name}", method, path, status, "", body, media_type, sender="root")


def of_fields() -> Iterator[Case]:
    for name, text, code in BAD_DEVICE_FIELDS:
        others = "" if name == "name" else ', "name": "Pump 9"'
        case = f"{name} is {text[:40]}"
        yield Case(case, "POST", "devices/", 400, code, f'{{"{name}": {text}{others}}}'.encode())
        yield Case(case, "PATCH", "devices/{device}/", 400, code, f'{{"{name}": {text}}}'.encode())
    for name, text, code in BAD_USER_FIELDS:
        others = "" if name == "username" else ', "username": "carol"'
        case = f"{name} is {text[:40]}"
        yield Case(case, "POST", "users/", 400, code, f'{{"{name}": {text}{others}}}'.encode(), sender="root")
        yield Case(case, "PATCH", "users/{alice}/", 400, code, f'{{"{name}": {text}}}'.encode())
    for name, text, code in BAD_QUESTIONS:
        body = f'{{"{name}": {text}}}'.encode()
        yield Case(f"{name} is {text[:40]}", "POST", "devices/{device}/analyses/", 400, code, body)
        yield Case(f"{name} is {text[:40]}", "POST", "users/{alice}/analyses/", 400, code, body)
    for name, text in BAD_PASSWORDS:
        body = f'{{"username": "carol", "password": {text}}}'.encode()
        yield Case(f"the password is {name}", "POST", "users/", 400, "", body, sender="root")
        new = f'{{"old_password": "alice-9-secret", "new_password": {text}}}'.encode()
        yield Case(f"the new password is {name}", "POST", "users/me/password/", 400, "", new)
        old = f'{{"old_password": {text}, "new_password": "a-new-one-9"}}'.encode()
        yield Case(f"the old password is {name}", "POST", "users/me/password/", 400, "", old)
    for name, text in CREDENTIALS:
        yield Case(f"credentials with {name}", "POST", "auth/token/", 400, "", text.encode(), JSON, sender="nobody")


FAMILIES = [of_json, of_media_types, of_sizes, of_forms, of_fields]
