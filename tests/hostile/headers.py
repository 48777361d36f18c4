"""Rubbish in the headers: credentials, cookies, hosts, what is accepted, and what a proxy would say."""

from collections.abc import Iterator

from tests.hostile.case import Case, for_route
from tests.hostile.documents import writing
from tests.routes import api_paths, api_routes

CREDENTIALS = [
    ("no ASCII", "Token \xff\xfe"),
    ("a key and a NUL", "Device {key}\0"),
    ("nothing", ""),
    ("a space", " "),
    ("a scheme alone", "Token"),
    ("a scheme and a space", "Token "),
    ("the other scheme alone", "Device"),
    ("a token that is none", "Token 0123456789abcdef"),
    ("a token of 8,000 letters", "Token " + "a" * 8_000),
    ("two tokens", "Token {token} {token}"),
    ("a token and more", "Token {token}x"),
    ("a NUL", "Token \0"),
    ("a token and a NUL", "Token {token}\0"),
    ("a token as a key", "Device {token}"),
    ("a key as a token", "Token {key}"),
    ("a key without its secret", "Device {prefix}"),
    ("a key with an empty secret", "Device {prefix}."),
    ("a key with a wrong secret", "Device {prefix}.wrong"),
    ("a key and more", "Device {key}x"),
    ("two keys", "Device {key} {key}"),
    ("a key with another's prefix", "Device {foreign_prefix}.wrong"),
    ("a point", "Device ."),
    ("a prefix of NUL", "Device \0.x"),
    ("a prefix of 8,000 letters", "Device " + "a" * 8_000 + ".x"),
    ("a prefix that is no ASCII", "Device \xe9.x"),
    ("a secret that is no ASCII", "Device {prefix}.\xff"),
    ("a prefix that is a pattern", "Device %.x"),
    ("a list", "Token x, Device {key}"),
    ("no space", "Token{token}"),
    ("a tab", "Device\t{key}"),
    ("Basic", "Basic YWxpY2U6YWxpY2UtOS1zZWNyZXQ="),
    ("Basic that is no base64", "Basic ===="),
    ("Bearer", "Bearer {token}"),
    ("a signed token of nobody", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0."),
    ("Digest", 'Digest username="root"'),
    ("SQL", "Device x' OR '1'='1.x"),
    ("a tag", "<script>"),
]
COOKIES = [
    ("nothing", "sessionid="),
    ("rubbish", "sessionid=0123456789abcdef0123456789abcdef"),
    ("a NUL", "sessionid=\0"),
    ("a NUL in octal", r'sessionid="\000"'),
    ("quotes in octal", r'sessionid="\303\251\042"'),
    ("8,000 letters", "sessionid=" + "a" * 8_000),
    ("no ASCII", "sessionid=\xff\xfe"),
    ("half a surrogate pair", "sessionid=\xed\xa0\x80"),
    ("a path", "sessionid=../../etc/passwd"),
    ("a pickle", "sessionid=gASVCgAAAAAAAABLAS4="),
    ("no name", "=;=;;;="),
    ("500 cookies", "; ".join(f"c{number}=1" for number in range(500))),
    ("a session twice", "sessionid=a; sessionid=b"),
    ("SQL", "sessionid=' OR '1'='1"),
    ("a message that is none", "messages=W1siX19qc29uX21lc3NhZ2UiLDBd:x:y"),
    ("a message with a NUL", r'messages="\000"'),
    ("a token against forgery", "csrftoken=x"),
    ("a token against forgery with a NUL", r'csrftoken="\000"'),
]
HOSTS = [
    ("another", "evil.example"),
    ("another with a port", "evil.example:80"),
    ("no port", "testserver:"),
    ("a port that is none", "testserver:x"),
    ("a space", "test server"),
    ("a NUL", "testserver\0"),
    ("no ASCII", "testserver\xff"),
    ("an open bracket", "[::1"),
    ("a path", "testserver/../"),
    ("a name within", "a@testserver"),
    ("dots", ".."),
    ("a tag", "<script>"),
    ("a comma", "testserver,evil.example"),
    ("8,000 letters", "a" * 8_000),
    ("a line feed", "testserver\nevil.example"),
    ("an underscore", "test_server"),
    ("a percent sign", "%00"),
]
ACCEPTED = [
    ("XML", "application/xml", 406),
    ("a slash", "/", 406),
    ("a word", "json", 406),
    ("a NUL", "\0", 406),
    ("no ASCII", "\xff/\xff", 406),
    ("commas", ",,,,", 406),
    ("8,000 letters", "a" * 8_000, 406),
    ("a weight that is none", "application/json;q=NaN", 200),
    ("an indent that is none", "application/json; indent=x", 200),
    ("a huge indent", "application/json; indent=999999999999", 200),
    ("a negative indent", "application/json; indent=-5", 200),
    ("an indent of 5,000 digits", "application/json; indent=" + "9" * 5_000, 406),
    ("an indent of Arabic digits", "application/json; indent=\xd9\xa3", 200),
    ("an indent with a NUL", "application/json; indent=\0", 200),
    ("a version that there is not", "application/json; version=99", 200),
    ("2,000 types", ",".join(f"a/{number}" for number in range(2_000)) + ",*/*", 406),
    ("parameters without end", "application/json" + ";a=b" * 2_000, 406),
    ("an open quote", 'application/json; indent="', 200),
]
HARMLESS = [
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-For", "\0"),
    ("X-Forwarded-For", "1" * 8_000),
    ("X-Forwarded-For", "1.1.1.1, " * 500),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Proto", "gopher\0"),
    ("X-Forwarded-Port", "-1"),
    ("X-Forwarded-Prefix", "/admin"),
    ("Forwarded", 'for="_"'),
    ("X-Real-IP", "::1%lo"),
    ("X-Original-URL", "/admin/"),
    ("X-Rewrite-URL", "/admin/"),
    ("X-Remote-User", "root"),
    ("Remote-User", "root"),
    ("X-Script-Name", "/x"),
    ("Range", "bytes=0-0,-1,99999999999999999999-"),
    ("Range", "\0"),
    ("If-Modified-Since", "yesterday"),
    ("If-Modified-Since", "Mon, 01 Jan 99999 00:00:00 GMT"),
    ("If-None-Match", '"'),
    ("If-None-Match", "*"),
    ("If-Match", "*"),
    ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("Accept-Language", "../../etc/passwd"),
    ("Accept-Language", "\0"),
    ("Accept-Language", "x-" * 4_000),
    ("Accept-Charset", "utf-7"),
    ("Accept-Encoding", "identity;q=0"),
    ("Accept-Encoding", "\0"),
    ("User-Agent", "\0"),
    ("User-Agent", "a" * 8_000),
    ("User-Agent", "() { :; }; echo"),
    ("User-Agent", "${jndi:ldap://127.0.0.1/a}"),
    ("Referer", "\xff"),
    ("Referer", "http://[::1"),
    ("Origin", "null"),
    ("Origin", "http://[::1"),
    ("Origin", "\0"),
    ("Upgrade", "h2c"),
    ("Connection", "Authorization"),
    ("Expect", "200-maybe"),
    ("Max-Forwards", "-1"),
    ("TE", "trailers"),
    ("Trailer", "Authorization"),
    ("Date", "never"),
    ("Content-Encoding", "gzip"),
    ("Content-MD5", "x"),
    ("X-Request-ID", "\0\xff"),
    ("X-Request-ID", "a" * 8_000),
    ("X-Request-ID", "a\nb"),
    ("traceparent", "00-0-0-0"),
    ("Access-Control-Request-Method", "\0"),
    ("X-Requested-With", "\xff"),
    ("X-CSRFToken", "\0"),
    ("Sec-Fetch-Site", "\0"),
    ("Purpose", "prefetch"),
    ("X-HTTP-Method-Override", "\0"),
]
FORGERIES = [
    ("no token", {}),
    ("an empty token", {"X-CSRFToken": ""}),
    ("a wrong token", {"X-CSRFToken": "x" * 32}),
    ("a token of 8,000 letters", {"X-CSRFToken": "x" * 8_000}),
    ("a token with a NUL", {"X-CSRFToken": "\0" * 32}),
    ("a token that is no ASCII", {"X-CSRFToken": "\xff" * 32}),
    ("a foreign origin", {"Origin": "http://evil.example", "X-CSRFToken": "x" * 32}),
    ("an origin that is none", {"Origin": "http://[::1", "X-CSRFToken": "x" * 32}),
    ("a foreign referrer", {"Referer": "http://evil.example/", "X-CSRFToken": "x" * 32}),
]
PUBLIC = ("auth/token/", "schema/", "docs/")
READ = "devices/{device}/readings/"
ROW = b'{"recorded_at": "2026-03-01T00:00:00Z", "x": 1, "y": 2, "z": 3}'


def of_credentials() -> Iterator[Case]:
    for method, path in api_routes():
        if path not in PUBLIC or (method == "DELETE" and "auth" in path):
            for name, text in for_route(path, (READ,), CREDENTIALS, 3):
                headers = {"Authorization": text}
                yield Case(f"credentials, {name}", method, path, 401, "", ROW, headers=headers, sender="nobody")


def of_cookies() -> Iterator[Case]:
    for name, text in COOKIES:
        headers = {"Cookie": text}
        for method, path in (("GET", "devices/"), ("POST", READ), ("GET", "users/me/")):
            yield Case(f"a cookie with {name}", method, path, 401, "", ROW, headers=headers, sender="nobody")
        yield Case(f"a cookie with {name}", "GET", "docs/", 200, headers=headers, sender="nobody")
        yield Case(f"a cookie with {name}", "GET", "/admin/", 302, headers=headers, sender="nobody")
        yield Case(f"a cookie with {name}", "GET", "/admin/login/", 200, headers=headers, sender="nobody")
    for name, headers in FORGERIES:
        for method, path in (("POST", READ), ("DELETE", "devices/{device}/"), ("PATCH", "devices/{device}/")):
            yield Case(f"forged with {name}", method, path, 403, "", ROW, headers=headers, sender="browser")


def of_hosts() -> Iterator[Case]:
    for name, host in HOSTS:
        for method, path in (("GET", "devices/"), ("POST", READ), ("GET", "docs/"), ("GET", "nowhere/")):
            yield Case(f"the host is {name}", method, path, 400, "", ROW, headers={"HTTP_HOST": host})
        yield Case(f"the host is {name}", "GET", "/admin/login/", 400, headers={"HTTP_HOST": host}, sender="nobody")


def of_the_rest() -> Iterator[Case]:
    for name, text, status in ACCEPTED:
        for path in ("devices/", "devices/{device}/", READ, "devices/{device}/analytics/", "users/{alice}/"):
            yield Case(f"accepts {name}", "GET", path, status, headers={"Accept": text})
        yield Case(f"accepts {name}", "GET", "devices/{device}/readings/export/", 200, headers={"Accept": text})
    for name, text in HARMLESS:
        for path in ("devices/", READ, "devices/{device}/analytics/"):
            yield Case(f"{name} is {text[:20]!r}", "GET", path, 200, headers={name: text})
        yield Case(f"{name} is {text[:20]!r}", "GET", "devices/{foreign}/", 404, "not_found", headers={name: text})
        yield Case(f"{name} is {text[:20]!r}", "GET", "users/{bob}/", 404, "not_found", headers={name: text})
    for path, methods in api_paths().items():
        if "GET" in methods:
            page = {"Accept": "text/html,application/xhtml+xml"}
            yield Case("as a page", "GET", path, None if path == "schema/" else 200, headers=page, sender="root")
            yield Case("as a page", "GET", path, None, headers=page, sender="nobody")
            yield Case("as a page", "GET", path, None, headers=page, sender="key")
        page = {"Accept": "text/html"}
        yield Case("a wrong body from a page", methods[-1], path, None, body=b"[", headers=page, sender="nobody")
        yield Case("options as a page", "OPTIONS", path, None, headers=page, sender="alice")
    for method, path in writing():
        yield Case("a wrong name from a page", method, path, None, body=rb'{"\ud800": "\ud800"}', headers=page)
    headers = {f"X-Made-Up-{number}": "x" for number in range(500)}
    yield Case("500 headers", "GET", "devices/", 200, headers=headers)


FAMILIES = [of_credentials, of_cookies, of_hosts, of_the_rest]
