"""Rubbish in the path and the method: ids, paths that are none, encodings, and what no route does."""

import re
from collections.abc import Iterator

from tests.hostile.case import Case, for_route
from tests.routes import api_paths, api_routes

READING = b'{"recorded_at": "2026-03-01T00:00:00Z", "x": 1, "y": 2, "z": 3}'
PLACEHOLDER = re.compile(r"\{(device|alice|prefix|reading|analysis)\}")
BAD_IDS = [
    ("0", "0"),
    ("minus 1", "-1"),
    ("2**63 - 1", "9223372036854775807"),
    ("2**63", "9223372036854775808"),
    ("2**64 and a bit", "18446744073709551617"),
    ("4,000 digits", "9" * 4_000),
    ("5,000 digits", "9" * 5_000),
    ("a NUL", "%00"),
    ("a NUL behind it", "{device}%00"),
    ("a NUL before it", "%00{device}"),
    ("a line feed behind it", "{device}%0A"),
    ("a carriage return and a header", "{device}%0D%0AX-Made-Up:%201"),
    ("a space before it", "%20{device}"),
    ("a space behind it", "{device}%20"),
    ("an Arabic digit", "%D9%A1"),
    ("a full-width digit", "%EF%BC%91"),
    ("a superscript digit", "%C2%B2"),
    ("no UTF-8", "%ff"),
    ("an overlong slash", "%c0%af"),
    ("an overlong NUL", "%c0%80"),
    ("half a surrogate pair", "%ED%A0%80"),
    ("an emoji", "%F0%9F%92%A9"),
    ("a right-to-left mark", "%E2%80%AE{device}"),
    ("a plus sign", "+{device}"),
    ("a fraction", "{device}.0"),
    ("an exponent", "1e0"),
    ("hexadecimal", "0x1"),
    ("an underscore", "1_0"),
    ("dots", ".."),
    ("encoded dots", "%2e%2e"),
    ("an encoded slash", "{device}%2F{device}"),
    ("an encoded backslash", "..%5C.."),
    ("an encoded percent sign", "%2500"),
    ("a semicolon", "{device};a=b"),
    ("an encoded question mark", "{device}%3Fa=b"),
    ("an encoded hash", "{device}%23"),
    ("SQL", "{device}'%20OR%20'1'='1"),
    ("a comment of SQL", "{device}--"),
    ("a template", "%7B%7B7*7%7D%7D"),
    ("a tag", "%3Cscript%3E"),
    ("null", "null"),
    ("true", "true"),
    ("a star", "*"),
    ("a comma", "{device},{device}"),
    ("brackets", "%5B{device}%5D"),
    ("a broken escape", "%zz"),
    ("a lone percent sign", "%"),
]
BAD_PREFIXES = [
    ("capitals", "ABCDEF012345"),
    ("4,000 letters", "f" * 4_000),
    ("one letter", "f"),
    ("a NUL", "{prefix}%00"),
    ("another's", "{foreign_prefix}"),
    ("the whole key", "{key}"),
    ("a percent sign", "%25"),
    ("no UTF-8", "%ff"),
]
# Paths that lead nowhere, or nowhere further than a plain one.
NOWHERE = [
    "/api/",
    "/api/v2/",
    "/api/v01/devices/",
    "/api/v1/nowhere/",
    "/api/v1/devices//",
    "/api/v1//devices/",
    "/api//v1/devices/",
    "/api/v1/./devices/",
    "/api/v1/users/../devices/",
    "/api/v1/%2e%2e/admin/",
    "/api/v1/..%2f..%2fadmin/",
    "/api/v1/devices%00/",
    "/api/v1/%00",
    "/api/v1/devices/;a=b/",
    "/api/v1/devices;a=b/",
    "/api/v1/%ff%fe/",
    "/api/v1/%c0%ae%c0%ae/",
    "/api/v1/%zz/",
    "/api/v1/%u0041/",
    "/api/v1/%",
    "/api/v1/devices/{device}/nowhere/",
    "/api/v1/devices/{device}/readings/{reading}/nowhere/",
    "/api/v1/devices/{device}/readings/export/nowhere/",
    "/api/v1/devices/{device}/readings//",
    "/api/v1/devices/{device}/keys//",
    "/api/v1/users/me/password/nowhere/",
    "/api/v1/users/ME/",
    "/api/v1/auth/",
    "/api/v1/auth/token/nowhere/",
    "/api/v1/devices/\\/",
    "/api/v1/devices/%5c/",
    "/api/v1/*/",
    "/api/v1/{{7*7}}/",
    "/api/v1/%7Bdevice%7D/",
    "/api/v1/%F0%9F%92%A9/",
    "/api/v1/devices/%E2%80%AE/",
    "/api/v1/<script>/",
    "/api/v1/.env",
    "/api/v1/.git/config",
    "/api/v1/devices.xml%00/",
    "/api/v1/__debug__/",
    "/api/v1/" + "a" * 4_000 + "/",
    "/api/v1/" + "a/" * 2_000,
    "/api/v1/" + "%2e%2e/" * 500,
    "/api/v1/" + "../" * 500,
]
ELSEWHERE = [
    "/api",
    "/API/V1/DEVICES/",
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/static/",
    "/static/../config/settings.py",
    "/static/..%2fconfig%2fsettings.py",
    "/static/%2e%2e/%2e%2e/etc/passwd",
    "/static/%00",
    "/static/%ff",
    "/static/admin/css/base.css%00",
    "/static/admin/",
    "/static//etc/passwd",
    "/static/" + "a" * 4_000,
    "/docs%00",
    "/health/%00",
    "/health/live/..",
    "/%00",
    "/%ff",
    "/%",
    "/metrics%00",
    "/health/ready%0a",
    "/cgi-bin/%%32%65%%32%65/etc/passwd",
    "/admin%00/",
    "/static/..%5c..%5cconfig%5csettings.py",
    "/static/%252e%252e/",
    "/..%2f..%2fetc/passwd",
]
# Ends in no slash: a redirect would make a GET of it, which stores nothing and looks like success.
SLASHLESS = [
    ("POST", "devices/{device}/readings"),
    ("POST", "readings"),
    ("POST", "devices"),
    ("PUT", "devices/{device}/readings/{reading}"),
    ("PATCH", "devices/{device}"),
    ("DELETE", "devices/{device}"),
    ("DELETE", "devices/{device}/readings"),
    ("POST", "auth/token"),
]
THOROUGH = ("devices/{device}/", "users/{alice}/", "devices/{device}/readings/", "devices/{device}/analytics/")
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
ODD_METHODS = ["TRACE", "CONNECT", "PROPFIND", "QUERY", "LINK", "FOO", "G-E-T", "_", "A" * 1_000]
# A method in a header or a form is none: neither has a reading gone afterwards.
OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]


def of_ids() -> Iterator[Case]:
    for method, path in api_routes():
        for name in {"device", "alice", "analysis"} & set(PLACEHOLDER.findall(path)):
            for title, value in for_route(path, THOROUGH if method == "GET" else (), BAD_IDS, 9):
                bad = path.replace(f"{{{name}}}", value.replace("{device}", f"{{{name}}}"))
                yield Case(f"the id is {title}", method, bad, 404, "not_found", READING, sender="root")
    for title, value in BAD_PREFIXES:
        yield Case(f"the prefix is {title}", "DELETE", f"devices/{{device}}/keys/{value}/", 404, "not_found")


def of_paths() -> Iterator[Case]:
    for path in NOWHERE:
        for method in ("GET", "POST", "DELETE"):
            yield Case("nowhere", method, path, 404, "not_found", READING if method == "POST" else b"")
    yield from (Case("nowhere", "GET", path, 404) for path in ELSEWHERE)
    yield from (Case("no slash at the end", method, path, 404, "not_found", READING) for method, path in SLASHLESS)


def of_methods() -> Iterator[Case]:
    for path, methods in api_paths().items():
        if path and not path.endswith("/export/"):
            suffix = f"{path.removesuffix('/')}.json"
            method = "PUT" if "PUT" in methods else methods[-1]  # (a GET is led to the path that ends in a slash)
            yield Case("a format for a suffix", method, suffix, 404, "not_found", READING, sender="root")
        for method in [*METHODS, *for_route(path, THOROUGH, ODD_METHODS, 2)]:
            if method not in methods:
                yield Case("no such method", method, path, 405, "method_not_allowed", sender="root")
        head = 200 if "GET" in methods else 405
        yield Case("as GET, or not at all", "HEAD", path, head, sender="root")
        yield Case("what there is", "OPTIONS", path, 405 if path == "docs/" else 200, sender="root")
        for header in OVERRIDES if "GET" in methods else ():
            yield Case(f"{header} to DELETE", "GET", path, 200, headers={header: "DELETE"}, sender="root")
    for query in ("_method=DELETE", "method=DELETE", "_HttpMethod=DELETE"):
        yield Case("another method in the query", "GET", f"devices/{{device}}/?{query}", 200)
    body = b"_method=DELETE&name=Pump+1"
    form = "application/x-www-form-urlencoded"
    yield Case("another method in the form", "POST", "devices/{device}/", 405, "method_not_allowed", body, form)


FAMILIES = [of_ids, of_paths, of_methods]
