"""Where the service is known to answer wrongly: the cases, by a pattern of their titles, and why.

Whoever mends one takes its line out: a case that meets its expectation all the same fails the suite.
"""

import re

DEFECTS: dict[re.Pattern[str], str] = {
    re.compile(pattern): reason
    for pattern, reason in {
        r"(analytics|latest|users/me)\.json: a format": "500: the action takes no `format` of a suffix",
        r"^OPTIONS (docs|devices/{device}/readings/{reading})/": "500: a view without serializer or action for OPTIONS",
        r"^GET devices/{device}/readings/{reading}/: as a page, by root": "500: its page draws a form",
        r"credentials, no ASCII": "500: the token's parser decodes UTF-8",
        r": owner is 1e400": "500: OverflowError of int(inf)",
        r"a query of 1,001 parameters|a form with (1,001|200)": "400 as a page, in place of a problem",
        r"/: the host is (?!a port too large).*, by alice": "400 as a page, in place of a problem",
        r"^\w+ docs/: no such method|^\w+ schema/: no such method": "405 as YAML or a page, in place of a problem",
        r"no slash at the end": "301: what follows is a GET, and looks like success",
        r"the charset .* as media type|a charset .* as media type": "UTF-8 is taken for granted, whatever was said",
        r"a star( for the half)? as media type": "a pattern is taken for a media type",
        r"expected_interval is (\"6|\"\u0666|true)": "a text or a truth is taken for a number",
        r"timezone is \"localtime\"|the zone is 'localtime'": "a file of the machine is taken for a zone",
        r"the cursor holds a (date|time without an offset)": "a naive time in a cursor",
        r"^GET /admin/.*\?q=a\+a": "500 or 503: too many words to search for",
        r"^GET /admin/users/user/\?(username__i?regex|id__in=9999|date_joined__year=0)": "500: a filter by hand",
        r"^GET /admin/devices/device/\?(name__regex=\(\(|name__iregex=\[|id__in=9999|owner=9999)": "500: by hand",
        r"^GET /admin/devices/device/\?(created_at__(year|gte)=9999|description__regex)": "500: a filter by hand",
        r"^GET /admin/devices/device/add/\?owner=(x|9999)": "500: an owner by hand",
        r"^POST /admin/devices/device/(add|{device}/change)/: a form with (?!nothing)": "500: the form of a device",
        r"^POST /admin/devices/device/: action [012378],": "500: the ids of an action",
    }.items()
}

# PostgreSQL stores no NUL, and checks patterns where SQLite has no row to try them on.
DEFECTS_ON_POSTGRESQL: dict[re.Pattern[str], str] = {
    re.compile(r"^GET /admin/.*(%00|__regex)"): "500: a NUL or a pattern for the database",
}
