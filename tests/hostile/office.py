"""Rubbish for the back office, by a superuser: whatever it says, it is no 5xx."""

from collections.abc import Iterator
from urllib.parse import urlencode

from tests.hostile.case import Case

MODELS = ("users/user", "devices/device", "auth/group", "knox/authtoken", "devices/refusal", "analytics/analysis")
FORM = "application/x-www-form-urlencoded"
BAD_IDS = [
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999",
    "9" * 4_000,
    "9" * 5_000,
    "x",
    "%00",
    "1%00",
    "%ff",
    "%D9%A1",
    "1.5",
    "NaN",
    "1e400",
    "..",
    "_00",
    "_ZZ",
    "%5F3A",
    "_5C",
    "'",
    "1'--",
    "{{7*7}}",
    "%F0%9F%92%A9",
    "null",
    "[]",
    "True",
]
QUERIES = [
    "q=%00",
    "q=%ff",
    "q=%ED%A0%80",
    "q=" + "a" * 4_000,
    "q=%22",
    "q='",
    "q=%5C",
    "q=" + "a+" * 1_000,
    "q=(((",
    "q=%25%25%25",
    "name=%00",
    "name__regex=(((",
    "name__iregex=[",
    "name__regex=(a%2B)%2B%24",
    "name__startswith=%00",
    "username=%00",
    "username__regex=(((",
    "username__iregex=*",
    "id=99999999999999999999",
    "id__exact=99999999999999999999",
    "id__in=99999999999999999999",
    "id__in=x",
    "id=x",
    "id=%00",
    "id__gt=1e400",
    "id__isnull=maybe",
    "pk=99999999999999999999",
    "owner=99999999999999999999",
    "owner__id__exact=99999999999999999999",
    "owner__id__exact=%00",
    "owner__password__startswith=p",
    "owner__password__regex=(",
    "password__startswith=md5",
    "is_active__exact=maybe",
    "is_active__exact=%00",
    "is_active__exact=99999999999999999999",
    "is_staff__exact=x",
    "is_superuser__exact=2",
    "groups__id__exact=x",
    "groups__id__exact=99999999999999999999",
    "created_at__year=99999",
    "created_at__year=99999999999999999999",
    "created_at__gte=x",
    "created_at__gte=0000-01-01",
    "created_at__gte=9999-12-31T23:59:59-23:59",
    "created_at__date=infinity",
    "date_joined__year=0",
    "date_joined__month=13",
    "date_joined__day=x",
    "last_login__gte=%00",
    "last_login__isnull=x",
    "expected_interval=NaN",
    "expected_interval=1e400",
    "expected_interval__gt=Infinity",
    "description__regex=[",
    "description=%00",
    "timezone=%00",
    "keys__prefix=%00",
    "keys__secret_hash__startswith=a",
    "readings__x=1",
    "readings__recorded_at=x",
    "state__closed_until=x",
    "nowhere=1",
    "__class__=1",
    "__=1",
    "_=1",
    "name__=1",
    "name__nowhere=1",
    "name____exact=1",
    "o=x",
    "o=0",
    "o=-",
    "o=99",
    "o=-99",
    "o=99999999999999999999",
    "o=1.2.3.4.5.6",
    "o=1.1",
    "o=%00",
    "o=" + "9" * 4_000,
    "o=%D9%A1",
    "p=0",
    "p=-1",
    "p=99999999999999999999",
    "p=x",
    "p=%00",
    "p=1e9",
    "p=" + "9" * 4_000,
    "p=" + "9" * 5_000,
    "all=%00",
    "all=1",
    "e=1",
    "e=%00",
    "_to_field=id",
    "_to_field=password",
    "_to_field=%00",
    "_to_field=nowhere",
    "_popup=1",
    "_popup=%00",
    "_changelist_filters=%00",
    "_changelist_filters=q%3D%2500",
    "_facets=1",
    "_facets=%00",
    "%00=1",
    "%ff=%ff",
    "a=1&" * 900,
    "a=1&" * 1_001,
    "list_per_page=0",
]
AUTOCOMPLETE = [
    "",
    "term=a",
    "term=%00&app_label=devices&model_name=device&field_name=owner",
    "app_label=devices&model_name=device&field_name=owner&term=a",
    "app_label=devices&model_name=device&field_name=owner&term=" + "a" * 4_000,
    "app_label=devices&model_name=device&field_name=nowhere",
    "app_label=devices&model_name=device&field_name=name",
    "app_label=devices&model_name=device&field_name=%00",
    "app_label=%00&model_name=x",
    "app_label=devices&model_name=nowhere&field_name=owner",
    "app_label=users&model_name=user&field_name=password",
    "app_label=devices&model_name=device&field_name=owner&page=99999999999999999999",
    "app_label=devices&model_name=device&field_name=owner&page=x",
    "app_label=devices&model_name=device&field_name=owner&page=%00",
    "app_label=auth&model_name=permission&field_name=content_type",
]
PATHS = [
    "nowhere/",
    "nowhere/nowhere/",
    "devices/",
    "devices/nowhere/",
    "%00/",
    "devices/device/%00/",
    "r/x/y/",
    "r/99999999999999999999/1/",
    "r/1/99999999999999999999/",
    "r/%00/%00/",
    "jsi18n/",
    "jsi18n/?language=%00",
    "login/?next=//evil.example",
    "login/?next=%00",
    "login/?next=javascript:alert(1)",
    "password_change/?%00",
    "devices/device/add/?owner=99999999999999999999",
    "devices/device/add/?owner=x",
    "devices/device/add/?name=%00",
    "users/user/add/?username=%00",
    "devices/device/add/?_to_field=%00",
    "devices/device/add/?is_active=maybe",
    "devices/device/add/?created_at=x",
    "users/user/{alice}/password/?%00",
    "users/user/99999999999999999999/password/",
    "users/user/x/password/",
    "devices/device/{device}/history/?p=99999999999999999999",
    "devices/device/{device}/history/?p=x",
    "devices/device/{device}/delete/?%00",
    "devices/device/{device}/readings/?before=%00",
    "devices/device/{device}/readings/?before=" + "A" * 4_000,
    "devices/device/99999999999999999999/readings/",
    "devices/device/{device}/change/?span=%00",
    "devices/device/{device}/change/?start_time=0001-01-01T00:00:00%2B23:59",
    "devices/device/{device}/change/?start_time=x&end_time=%ff&timezone=..%2Fetc",
    "devices/device/?status=%00",
    "devices/refusal/?device__id__exact=99999999999999999999",
    "analytics/analysis/of-user/99999999999999999999/",
    "search/?s=%00",
    "devices/device/{device}/change/?_to_field=owner",
    "devices/device/{device}/change/?_to_field=%00",
    "../admin/",
    "%2e%2e/",
    "a" * 4_000 + "/",
]
BAD_DEVICE_FORM = {
    "name": "",
    "owner": "99999999999999999999",
    "timezone": "../../etc/passwd",
    "expected_interval": "1e400",
    "description": "\0",
    "keys-TOTAL_FORMS": "99999999999999999999",
    "keys-INITIAL_FORMS": "x",
}
FORMS = [
    ("a field of NUL", BAD_DEVICE_FORM | {"name": "\0"}),
    ("an owner that is none", BAD_DEVICE_FORM | {"owner": "\0"}),
    ("an owner of 5,000 digits", BAD_DEVICE_FORM | {"owner": "9" * 5_000}),
    ("forms within beyond all number", BAD_DEVICE_FORM | {"keys-TOTAL_FORMS": "1001", "keys-INITIAL_FORMS": "0"}),
    ("forms within of less than none", BAD_DEVICE_FORM | {"keys-TOTAL_FORMS": "-1", "keys-INITIAL_FORMS": "-1"}),
    ("NaN", BAD_DEVICE_FORM | {"expected_interval": "NaN"}),
    ("nothing", {}),
]
ACTIONS = [
    {"action": "delete_selected", "_selected_action": "99999999999999999999"},
    {"action": "delete_selected", "_selected_action": "x"},
    {"action": "delete_selected", "_selected_action": "\0"},
    {"action": "delete_selected", "_selected_action": "9" * 5_000},
    {"action": "delete_selected", "_selected_action": "1", "select_across": "\0"},
    {"action": "delete_selected", "_selected_action": "1", "index": "99999999999999999999"},
    {"action": "delete_selected", "_selected_action": "1", "index": "x"},
    {"action": "issue_key", "_selected_action": "99999999999999999999"},
    {"action": "issue_key", "_selected_action": "x"},
    {"action": "__class__", "_selected_action": "1"},
    {"action": "\0", "_selected_action": "1"},
    {"action": "nowhere", "_selected_action": "{device}"},
    {"_save": "", "form-TOTAL_FORMS": "x"},
]
LOGINS = [
    {"username": "\0", "password": "x"},
    {"username": "nemo", "password": "\0"},
    {"username": "n" * 100_000, "password": "x"},
    {"username": "nemo", "password": "x" * 100_000},
    {"username": "\ufdfa" * 20_000, "password": "x"},
    {},
    {"next": "\0"},
    {"username": "nemo", "password": "x", "next": "//evil.example"},
]


def form(fields: dict[str, str]) -> bytes:
    return urlencode(fields, safe="{}").encode()


def of_pages() -> Iterator[Case]:
    for model in MODELS:
        for value in BAD_IDS if "/authtoken" not in model else BAD_IDS[:9]:
            for page in ("change/", "delete/", "history/", ""):
                yield Case("an id", "GET", f"/admin/{model}/{value}/{page}", None, sender="office")
        for query in QUERIES if model in MODELS[:2] else QUERIES[:12]:
            yield Case("a query", "GET", f"/admin/{model}/?{query}", None, sender="office")
    for query in AUTOCOMPLETE:
        yield Case("autocomplete", "GET", f"/admin/autocomplete/?{query}", None, sender="office")
    yield from (Case("a path", "GET", f"/admin/{path}", None, sender="office") for path in PATHS)


def of_forms() -> Iterator[Case]:
    for name, fields in FORMS:
        for path in (
            "devices/device/add/",
            "devices/device/{device}/change/",
            "users/user/add/",
            "users/user/{alice}/change/",
        ):
            yield Case(f"a form with {name}", "POST", f"/admin/{path}", None, "", form(fields), FORM, sender="office")
    for number, fields in enumerate(ACTIONS):
        yield Case(f"action {number}", "POST", "/admin/devices/device/", None, "", form(fields), FORM, sender="office")
    for number, fields in enumerate(LOGINS):
        csrf = {"Cookie": f"csrftoken={'c' * 32}", "X-CSRFToken": "c" * 32}
        yield Case(f"login {number}", "POST", "/admin/login/", None, "", form(fields), FORM, csrf, sender="nobody")
    for method in ("PUT", "DELETE", "TRACE", "PROPFIND", "OPTIONS", "HEAD"):
        for path in ("", "devices/device/", "devices/device/{device}/change/", "login/"):
            yield Case("a method", method, f"/admin/{path}", None, sender="office")


FAMILIES = [of_pages, of_forms]
