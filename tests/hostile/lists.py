"""Rubbish in queries: cursors, page sizes, orders and filters of lists, windows, and what analytics is asked."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

from tests.hostile.case import Case
from tests.hostile.readings import BAD_TIMES
from tests.routes import api_paths

READINGS = "devices/{device}/readings/"
WINDOWED = [
    ("GET", READINGS, ""),
    ("GET", READINGS + "export/", ""),
    ("DELETE", READINGS, "&end_time=2026-01-02T00:00:00Z"),
    ("GET", "devices/{device}/analytics/", ""),
    ("GET", "users/{alice}/analytics/", ""),
]
ANALYTICS = ["devices/{device}/analytics/", "users/{alice}/analytics/"]
# Years that no reading has, in a window that may be any.
WIDE = {"time_out_of_range"}


def cursor(text: str) -> str:
    return urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


BAD_CURSORS = [
    ("a letter", "x"),
    ("a tilde", "~~"),
    ("a NUL", "%00"),
    ("no UTF-8", "%ff"),
    ("no base64", "!!!!"),
    ("4,000 letters", "A" * 4_000),
    ("nothing decoded", "===="),
    ("bytes that are no text", "____"),
    ("no JSON", cursor("x")),
    ("null", cursor("null")),
    ("a number", cursor("1")),
    ("a text of three letters", cursor('"123"')),
    ("an empty array", cursor("[]")),
    ("one place", cursor("[1]")),
    ("three places", cursor("[1, 2, 3]")),
    ("an object of two", cursor('{"a": 1, "b": 2}')),
    ("nulls", cursor("[null, null]")),
    ("texts", cursor('["x", "y"]')),
    ("arrays", cursor("[[], []]")),
    ("objects", cursor('[{"a": 1}, {"b": 2}]')),
    ("1e400", cursor("[1e400, 1e400]")),
    ("NaN", cursor("[NaN, NaN]")),
    ("a NUL in a text", cursor(r'["\u0000", "\u0000"]')),
    ("half a surrogate pair", cursor(r'["\ud800", "\ud800"]')),
    ("5,000 digits", cursor(f'["{"9" * 2_500}", 1{"9" * 2_500}]'[:2_900])),
    ("900 nested arrays", cursor("[" * 900 + "]" * 900)),
]
# Where a cursor is of the right form, some value in it may still be beyond what a column holds.
WRONG_PLACES = [
    ("2**63", "id", ["9223372036854775808", 2**63]),
    ("400 digits", "id", ["1" + "0" * 400, 10**400]),
    ("a NUL in a name", "name", ["\0", 1]),
    ("half a surrogate pair in a name", "name", ["\ud800", 1]),
    ("a name for a time", "created_at", ["x", 1]),
    ("the year 0", "created_at", ["0000-01-01T00:00:00Z", 1]),
    ("before the year 1", "created_at", ["0001-01-01T00:00:00+23:59", 1]),
    ("after the year 9999", "created_at", ["9999-12-31T23:59:59-23:59", 1]),
    ("a date", "created_at", ["2026-01-01", 1]),
    ("a time without an offset", "created_at", ["2026-01-01T00:00:00", 1]),
    ("a number for a time", "created_at", [1, 1]),
    ("infinity for a time", "created_at", ["infinity", 1]),
    ("a truth for an id", "name", ["a", True]),
    ("a text for an id", "name", ["a", "b"]),
    ("an object for a name", "name", [{"a": 1}, 1]),
]
BAD_PAGE_SIZES = ["0", "-1", "1.5", "x", "", "%00", "1e3", "0x10", "null", "9" * 4_000, "NaN", "+", "1,2", "1%00"]
BAD_ORDERS = [
    "x",
    "-",
    "--id",
    "pk",
    "?",
    "owner__password",
    "owner",
    "id__lt",
    "%00",
    "id%00",
    "%ff",
    "-%2Did",
    "1",
    "random()",
    "id;DROP",
    "__class__",
    "password",
    "a" * 4_000,
    "id,x",
    "name%20desc",
]
BAD_FILTERS = {
    "owner": [
        "0",
        "-1",
        "x",
        "1.5",
        "9223372036854775808",
        "9" * 4_000,
        "9" * 5_000,
        "%00",
        "%D9%A1%00",
        "1e3",
        "NaN",
        "true",
        "null",
        "1,2",
        "%F0%9F%92%A9",
        "1%20OR%201",
    ],
    "is_active": ["maybe", "1", "0", "True", "TRUE", "null", "%00", "true%00", "[]", "a" * 4_000],
    "search": ["%00", "a%00b"],
}
ODD_SEARCHES = [
    "%ff",
    "%ED%A0%80",
    "%25",
    "_",
    "%5C",
    "'",
    "a" * 4_000,
    "%25" * 1_000,
    "%F0%9F%92%A9",
    "(((",
    "%E2%80%AE",
    "%0D%0A",
]
RUBBISH = [
    ("a name of NUL", "%00=1"),
    ("a NUL", "a=%00"),
    ("no UTF-8", "%ff=%ff"),
    ("ampersands", "&&&&"),
    ("equals signs", "====&="),
    ("question marks", "???"),
    ("half a surrogate pair", "a=%ED%A0%80"),
    ("broken escapes", "a=%&b=%z"),
    ("900 parameters", "&".join(f"a{number}=1" for number in range(900))),
    ("a semicolon", "a=1;b=2"),
    ("brackets", "a[]=1&b[c]=2"),
    ("__proto__", "__proto__[x]=1"),
    ("4,000 letters", "a=" + "b" * 4_000),
    ("a debugger", "__debug__=1&debug=true"),
    ("a callback", "callback=alert(1)"),
    ("look-ups", "id__gt=0&owner__password__startswith=p&pk__in=1"),
]
BAD_FORMATS = ["xml", "%00", "..%2F", "a" * 4_000, "%ff", "JSON", "json%00"]
BAD_PERCENTILES = [
    "",
    ",",
    "x",
    "101",
    "-1",
    "100.1",
    "NaN",
    "Infinity",
    "1e1",
    "50,",
    ",50",
    "50,,60",
    "%00",
    "50%00",
    "%D9%A1",
    " 50",
    "+50",
    "0x10",
    "1_0",
    "50;60",
    "5" * 4_000,
    "0." + "3" * 31,
    "0." + "3" * 4_000,
    ",".join(["1"] * 21),
    ",".join(["1"] * 1_000),
    "null",
    "[50]",
    "50.",
    ".5",
    "%EF%BC%95",
    "%ff",
    "-0",
]
BAD_INTERVALS = [
    "",
    "x",
    "DAY",
    "year",
    "minute",
    "day%00",
    "%00",
    "1",
    "day,hour",
    "a" * 4_000,
    "null",
    "[]",
    "%ff",
    "day ",
]
BAD_TIMEZONES = [
    "..%2F..%2Fetc%2Fpasswd",
    "../../../../etc/passwd",
    "/etc/localtime",
    "/etc/passwd",
    "%00",
    "UTC%00",
    "Europe/Berlin%00",
    "europe/berlin",
    "Mars/Olympus",
    "",
    "%2B01:00",
    "UTC%2B1",
    "GMT%2B99",
    "A" * 4_000,
    "Europe",
    "Europe/",
    "Europe/../Europe/Berlin",
    "Europe%5CBerlin",
    "%ff",
    "%ED%A0%80",
    "utc",
    "null",
    "UTC%0Ax",
    "zone.tab",
    "tzdata.zi",
    "leapseconds",
    "posixrules",
    "localtime",
    "right/UTC",
    "posix/UTC",
    ".",
    "..",
    "~",
    "*",
    "__init__",
]
# An end of time, in each zone and each step of the calendar.
ENDS = [
    ("the year 1", "0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
    ("the year 9999", "9999-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ("all years", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
]
BAD_BODIES_OF_GET = b'{"start_time": "x"}'


def of_windows() -> Iterator[Case]:
    for method, path, rest in WINDOWED:
        for name, text, code in BAD_TIMES:
            value = quote(json.loads(text))
            if len(value) > 50_000:
                continue
            wide = code in WIDE and method == "GET"
            case = f"the start is {name}"
            if code not in WIDE:
                yield Case(case, method, f"{path}?start_time={value}{rest}", 400, code)
            elif wide:
                yield Case(case, method, f"{path}?start_time={value}{rest}", 200)
                yield Case(f"the end is {name}", method, f"{path}?end_time={value}", 200)
        start, end = "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"
        yield Case(
            "the end before the start", method, f"{path}?start_time={start}&end_time={end}", 400, "end_before_start"
        )
        yield Case("a NUL", method, f"{path}?start_time=%00&end_time=%00", 400, "invalid_time")
        yield Case("a NUL behind it", method, f"{path}?start_time={start}%00&end_time={end}", 400, "invalid_time")
        yield Case("no UTF-8", method, f"{path}?start_time=%ff&end_time=%ED%A0%80", 400, "invalid_time")
        yield Case(
            "a plus sign", method, f"{path}?start_time=2026-01-01T00:00:00+01:00&end_time={end}", 400, "invalid_time"
        )
        yield Case(
            "the last of two is wrong",
            method,
            f"{path}?start_time={end}&start_time=x&end_time={start}",
            400,
            "invalid_time",
        )
    for query in ("", "?start_time=2026-01-01T00:00:00Z", "?end_time=2026-01-01T00:00:00Z", "?start_time=&end_time="):
        yield Case("a window without bounds", "DELETE", READINGS + query, 400, "")


def of_pages() -> Iterator[Case]:
    for path in ("devices/", "users/"):
        orders = {"devices/": "created_at", "users/": "date_joined"}
        for name, text in BAD_CURSORS:
            for order in ("", "&ordering=-id", f"&ordering={orders[path]}"):
                yield Case(f"the cursor is {name}", "GET", f"{path}?cursor={text}{order}", 400, "invalid")
            yield Case(f"the cursor backward is {name}", "GET", f"{path}?cursor=~{text}", 400, "invalid")
        for name, order, place in WRONG_PLACES:
            there = {"name": "username", "created_at": "date_joined"}.get(order, order) if path == "users/" else order
            text = cursor(json.dumps(place))
            yield Case(f"the cursor holds {name}", "GET", f"{path}?ordering={there}&cursor={text}", None)
            yield Case(f"the cursor holds {name}", "GET", f"{path}?ordering=-{there}&cursor=~{text}", None)
        for order in BAD_ORDERS:
            yield Case(f"the order is {order[:20]}", "GET", f"{path}?ordering={order}", 400, "invalid_choice")
    for path in ("devices/", "users/", READINGS, "devices/{device}/keys/"):
        for size in BAD_PAGE_SIZES:
            yield Case(f"the page size is {size[:20]!r}", "GET", f"{path}?page_size={size}", 400, "")
        yield Case("a page of 2**62", "GET", f"{path}?page_size={2**62}", 200)
        yield Case("a cursor that is empty", "GET", f"{path}?cursor=", 200)
        yield Case("a cursor that is a tilde", "GET", f"{path}?cursor=~", 200)
    for order in (*BAD_ORDERS, "id", "x,y", "device"):
        yield Case(f"the order is {order[:20]}", "GET", f"{READINGS}?ordering={order}", 400, "invalid_choice")
    for place in ([1, 1], ["2026-01-01T00:00:00Z", 1], [None, None]):
        yield Case(
            f"a cursor of {place}", "GET", f"{'devices/{device}/keys/'}?cursor={cursor(json.dumps(place))}", None
        )


def of_filters() -> Iterator[Case]:
    for name, texts in BAD_FILTERS.items():
        for text in texts:
            yield Case(f"{name} is {text[:20]!r}", "GET", f"devices/?{name}={text}", 400, "")
            if name != "owner":
                yield Case(f"{name} is {text[:20]!r}", "GET", f"users/?{name}={text}", 400, "")
    for text in ODD_SEARCHES:
        for path in ("devices/", "users/"):
            yield Case(f"the search is {text[:20]!r}", "GET", f"{path}?search={text}", 200, sender="root")
    for owner in ("{bob}", "{missing}", "9223372036854775807"):
        yield Case(f"the owner is {owner}", "GET", f"devices/?owner={owner}", 200)
    for cascade in ("0", "false", "False"):
        yield Case(f"cascade is {cascade[:20]!r}", "DELETE", f"users/{{alice}}/?cascade={cascade}", 409, "owns_devices")
    for cascade in ("", "%00", "maybe", "a" * 4_000):
        yield Case(f"cascade is {cascade[:20]!r}", "DELETE", f"users/{{alice}}/?cascade={cascade}", 400, "invalid")


def of_queries() -> Iterator[Case]:
    for path, methods in api_paths().items():
        if "GET" in methods:
            for name, text in RUBBISH:
                yield Case(f"a query of {name}", "GET", f"{path}?{text}", 200, sender="root")
            many = "&".join(f"a{number}=1" for number in range(1_001))
            yield Case("a query of 1,001 parameters", "GET", f"{path}?{many}", 400, "", sender="root")
    for path in ("devices/", "devices/{device}/", READINGS, *ANALYTICS):
        for text in BAD_FORMATS:
            yield Case(f"the format is {text[:20]}", "GET", f"{path}?format={text}", 404, "not_found")
    for text in ("xml", "", "CSV", "csv%00", "%00", "../", "a" * 4_000):
        yield Case(f"the format is {text[:20]!r}", "GET", f"{READINGS}export/?file_format={text}", 400, "")


def of_analytics() -> Iterator[Case]:
    for path in ANALYTICS:
        for text in BAD_PERCENTILES:
            yield Case(f"percentiles are {text[:20]!r} and {len(text)}", "GET", f"{path}?percentiles={text}", 400, "")
        for text in BAD_INTERVALS:
            yield Case(f"the interval is {text[:20]!r}", "GET", f"{path}?interval={text}", 400, "")
        for text in BAD_TIMEZONES:
            yield Case(f"the zone is {text[:40]!r}", "GET", f"{path}?timezone={text}&interval=day", 400, "")
        for name, start, end in ENDS:
            for interval in ("hour", "day", "week", "month"):
                for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Niue", "America/New_York"):
                    query = f"start_time={start}&end_time={end}&interval={interval}&timezone={zone}"
                    yield Case(f"{interval}s of {name} in {zone}", "GET", f"{path}?{query}", None)
        window = "start_time=1900-01-01T00:00:00Z&end_time=2199-12-31T00:00:00Z"
        yield Case("three centuries of hours", "GET", f"{path}?{window}&interval=hour", 400, "")
        yield Case("everything at once", "GET", f"{path}?{window}&interval=x&timezone=x&percentiles=x", 400, "")
        yield Case("a body", "GET", path, 200, body=BAD_BODIES_OF_GET)
    for text in ("", "maybe", "True", "1", "null", "%00", "true,false", "a" * 4_000):
        yield Case(f"aggregate is {text[:20]!r}", "GET", f"{ANALYTICS[1]}?aggregate={text}", 400, "")


FAMILIES = [of_windows, of_pages, of_filters, of_queries, of_analytics]
