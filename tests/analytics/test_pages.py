"""The pages of the people whose devices these are."""

import math
import re
import statistics
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from analytics.building import build
from devices.models import Device
from devices.rows import Row
from tests.helpers import store_rows, stored
from users.models import User

pytestmark = pytest.mark.django_db

NEW_YEARS_DAY = "start_time=2026-01-01T00:00&end_time=2026-01-02T00:00"


@pytest.fixture
def hers(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def his(bob: User) -> Client:
    client = Client()
    client.force_login(bob)
    return client


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.content
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def of_today(device: Device, count: int, every: int = 60) -> list[Row]:
    """Readings until now, the newest first."""
    now = timezone.now().replace(microsecond=0)
    rows = [Row(device.pk, now - n * timedelta(seconds=every), float(n), 2.0, 3.0) for n in range(count)]
    store_rows(rows)
    return rows


# Who sees what


@pytest.mark.parametrize("path", ["/devices/", "/devices/{}/", "/devices/{}/now/", "/devices/999999/"])
def test_nobody_is_sent_to_sign_in(client: Client, device: Device, path: str) -> None:
    path = path.format(device.pk)
    assert client.get(path).headers["Location"] == f"/sign-in/?next={path}"


@pytest.mark.parametrize("path", ["/devices/{}/", "/devices/{}/now/", "/devices/{}/?span=all"])
def test_a_stranger_gets_the_404_of_a_device_that_is_not_there(his: Client, device: Device, path: str) -> None:
    foreign, missing = his.get(path.format(device.pk)), his.get(path.format(999_999))
    assert (foreign.status_code, missing.status_code) == (404, 404)
    without_id = [re.sub(rb"Request \S+", b"", response.content) for response in (foreign, missing)]
    assert without_id[0] == without_id[1]


def test_staff_see_the_page_of_anybodys_device(staff: User, device: Device, client: Client) -> None:
    client.force_login(staff)
    assert "Pump 1" in text_of(client.get(f"/devices/{device.pk}/"))


def test_the_list_holds_ones_own_devices_alone(his: Client, bob: User, device: Device) -> None:
    Device.objects.create(owner=bob, name="Mill 1")
    page = text_of(his.get("/devices/"))
    assert ("Mill 1" in page, "Pump" in page) == (True, False)


def test_the_list_of_staff_is_of_their_own_too(staff: User, device: Device, client: Client) -> None:
    client.force_login(staff)
    assert "You have no devices yet." in text_of(client.get("/devices/"))


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("path", ["/devices/", "/devices/{}/", "/devices/{}/now/"])
def test_nothing_can_be_written(hers: Client, device: Device, method: str, path: str) -> None:
    assert getattr(hers, method)(path.format(device.pk)).status_code == 405


# In and out


def test_the_first_address_leads_to_the_list(hers: Client) -> None:
    assert hers.get("/").headers["Location"] == "/devices/"


def test_a_person_signs_in_and_out(alice: User, client: Client) -> None:
    answer = client.post("/sign-in/?next=/devices/7/", {"username": "alice", "password": "alice-9-secret"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/devices/7/")
    assert client.get("/devices/").status_code == 200
    assert client.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert client.get("/devices/").status_code == 302


def test_nobody_is_led_to_another_site(alice: User, client: Client) -> None:
    credentials = {"username": "alice", "password": "alice-9-secret"}
    answer = client.post("/sign-in/?next=https://example.org/", credentials)
    assert answer.headers["Location"] == "/devices/"


def test_a_wrong_password_is_told_and_then_limited(alice: User, client: Client, settings: Any) -> None:
    settings.FAILURE_LIMIT = 2
    wrong = {"username": "alice", "password": "wrong"}
    assert "Please enter a correct username and password" in text_of(client.post("/sign-in/", wrong))
    client.post("/sign-in/", wrong)
    answer = client.post("/sign-in/", {"username": "alice", "password": "alice-9-secret"})
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)


# The list


def test_a_device_is_found_by_a_part_of_its_name(hers: Client, device: Device, other_device: Device) -> None:
    page = text_of(hers.get("/devices/?search=ump+2"))
    assert ("Pump 2" in page, "Pump 1" in page) == (True, False)


def test_the_list_has_pages_that_lead_to_each_other(hers: Client, alice: User) -> None:
    Device.objects.bulk_create([Device(owner=alice, name=f"Sensor {number:02}") for number in range(45)])
    seen: list[str] = []
    address: str | None = "/devices/"
    while address:
        page = hers.get(address).content.decode()
        seen += re.findall(r"Sensor \d\d", page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        address = found[1] if found else None
    assert seen == [f"Sensor {number:02}" for number in range(45)]
    assert 'rel="prev"' in page


def test_a_cursor_that_was_made_up_is_400(hers: Client) -> None:
    assert hers.get("/devices/?cursor=x").status_code == 400


@pytest.mark.parametrize(
    "path",
    ["/devices/?search=%00", "/devices/?search=%25_%5C", "/devices/?cursor=~", "/devices/?page_size=0",
     "/devices/99999999999999999999/", "/devices/99999999999999999999/now/", "/devices/?cursor=WyJcdTAwMDAiLCAiMSJd"],
)  # fmt: skip
def test_what_no_browser_sends_is_no_defect(hers: Client, device: Device, path: str) -> None:
    assert hers.get(path).status_code in (200, 400, 404)


def test_a_device_in_the_list_has_its_last_reading_and_small_curves(hers: Client, device: Device) -> None:
    of_today(device, 100)
    page = hers.get("/devices/").content.decode()
    assert "last reading" in page
    assert page.count('<path class="line') == 3


def test_a_device_that_was_silent_for_a_day_has_no_small_curves(hers: Client, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    assert "nothing in the last day" in text_of(hers.get("/devices/"))


def test_the_list_takes_as_many_queries_for_twenty_devices_as_for_one(
    hers: Client, alice: User, device: Device, django_assert_num_queries: Any
) -> None:
    """Session, account, devices, their last readings; one for each 500 small samples."""
    of_today(device, 10)
    with django_assert_num_queries(5):
        hers.get("/devices/")
    Device.objects.bulk_create([Device(owner=alice, name=f"Sensor {number:02}") for number in range(19)])
    with django_assert_num_queries(6):
        hers.get("/devices/")


# The page of a device


def test_the_figures_are_those_of_the_window(hers: Client, device: Device) -> None:
    rows = [(float(n), n / 7, -n / 3, 1e15 - n) for n in range(1, 1000)]
    stored(device, *rows)
    page = text_of(hers.get(f"/devices/{device.pk}/?{NEW_YEARS_DAY}"))
    assert "999 readings, the first at 2026-01-01 00:00:01.000000" in page
    assert "the last at 2026-01-01 00:16:39.000000" in page
    for place, axis in enumerate("xyz", start=1):
        values = [row[place] for row in rows]
        figures = min(values), statistics.median(values), max(values), math.fsum(values) / 999, math.fsum(values)
        assert f"{axis} {' '.join(map(repr, figures))}" in page


def test_a_local_time_is_that_of_the_zone(hers: Client, device: Device) -> None:
    stored(device, (-3600, 1, 2, 3), (0, 4, 5, 6), (82_800, 7, 8, 9))
    page = text_of(hers.get(f"/devices/{device.pk}/?{NEW_YEARS_DAY}&timezone=Europe/Berlin"))
    assert "2 readings, the first at 2026-01-01 00:00:00" in page


def test_the_devices_own_zone_is_the_default(hers: Client, device: Device) -> None:
    Device.objects.update(timezone="Asia/Kathmandu")
    stored(device, (0, 1, 2, 3))
    assert "2026-01-01 05:45:00.000000" in text_of(hers.get(f"/devices/{device.pk}/?span=all"))


@pytest.mark.parametrize(
    ("span", "count"), [("hour", 60), ("day", 1440), ("week", 1500), ("month", 1500), ("year", 1500), ("all", 1500)]
)
def test_a_span_reaches_back_from_now(hers: Client, device: Device, span: str, count: int) -> None:
    of_today(device, 1500)
    page = text_of(hers.get(f"/devices/{device.pk}/?span={span}"))
    assert f" {count} readings" in page or f" {count + 1} readings" in page  # where a second has passed


def test_without_a_window_it_is_the_last_day(hers: Client, device: Device) -> None:
    page = hers.get(f"/devices/{device.pk}/").content.decode()
    assert re.search(r'span=day[^>]*aria-current="true"', page)
    assert "No readings in this window." in page


def test_open_ends_are_all_time(hers: Client, device: Device) -> None:
    stored(device, (0, 1, 2, 3), (10**8, 1, 2, 3))
    assert "2 readings" in text_of(hers.get(f"/devices/{device.pk}/?start_time=&end_time=&timezone=UTC"))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("start_time=yesterday", "This is no time"),
        ("start_time=0001-01-01T00:00", "Years are from 1900 until 2199."),
        ("start_time=0001-01-01T00:00&timezone=Asia/Tokyo", "Years are from 1900 until 2199."),
        ("end_time=9999-12-31T23:59&timezone=America/Lima", "Years are from 1900 until 2199."),
        ("start_time=2026-01-02T00:00&end_time=2026-01-01T00:00", "This is before the beginning."),
        ("timezone=Mars/Olympus", "Select a valid choice."),
        ("span=century", "Select a valid choice."),
        ("start_time=%00", "Null characters are not allowed."),
    ],
)
def test_a_window_that_is_none_is_told(hers: Client, device: Device, query: str, words: str) -> None:
    for page in ("", "now/"):
        answer = hers.get(f"/devices/{device.pk}/{page}?{query}")
        assert answer.status_code == 400
        assert page or words in answer.content.decode()


def test_the_readings_of_the_window_are_paged_by_a_cursor(hers: Client, device: Device) -> None:
    stored(device, *((n // 30, float(n), 2, 3) for n in range(50)), (100_000, -1, 2, 3))
    seen: list[str] = []
    address = f"?{NEW_YEARS_DAY}"
    while address:
        page = hers.get(f"/devices/{device.pk}/{address}").content.decode()
        seen += re.findall(r"</time></th><td>([-0-9.]+)</td>", page)
        found = re.search(r'rel="next" href="([^"#]+)', page)
        address = found[1].replace("&amp;", "&") if found else ""
    assert [float(text) for text in seen] == [float(n) for n in reversed(range(50))]


def test_a_reading_that_is_none_leads_nowhere(hers: Client, device: Device) -> None:
    assert hers.get(f"/devices/{device.pk}/?before=x").status_code == 404


@pytest.mark.parametrize("query", [NEW_YEARS_DAY, "span=all", f"{NEW_YEARS_DAY}&timezone=Asia/Kathmandu"])
def test_the_csv_has_exactly_what_is_seen(hers: Client, device: Device, query: str) -> None:
    stored(device, *((n * 3000.000001, float(n), 2, 3) for n in range(-20, 50)))
    response = hers.get(f"/devices/{device.pk}/?{query}")
    found = re.search(r'href="([^"]+)" download', response.content.decode())
    assert found
    csv = b"".join(hers.get(found[1].replace("&amp;", "&")).streaming_content).decode()  # type: ignore[attr-defined]
    assert len(csv.splitlines()) - 1 == response.context["curve"].summary.count > 20


def test_the_csv_of_a_device_without_readings_is_its_header(hers: Client, device: Device) -> None:
    response = hers.get(f"/devices/{device.pk}/?span=all")
    answer = hers.get(response.context["export"])
    assert b"".join(answer.streaming_content) == b"recorded_at,x,y,z\n"  # type: ignore[attr-defined]


def test_the_curve_is_there_as_a_table_too(hers: Client, device: Device) -> None:
    stored(device, *((n * 60, float(n), 2, 3) for n in range(1000)))
    plain, with_table = (hers.get(f"/devices/{device.pk}/?{NEW_YEARS_DAY}{more}") for more in ("", "&table"))
    assert "Without it" not in text_of(plain)
    first = with_table.context["curve"].points[0]
    assert first.summary.count > 1
    numbers = [first.summary.count, *(first.summary.x.min, first.summary.x.median, first.summary.x.max)]
    assert " ".join(map(str, numbers)) in text_of(with_table)


def test_what_an_owner_wrote_is_no_markup(hers: Client, alice: User) -> None:
    device = Device.objects.create(owner=alice, name="<script>x</script>", description="<img src=x>")
    for path in ("/devices/", "/devices/?search=<script>", f"/devices/{device.pk}/"):
        page = hers.get(path).content.decode()
        assert ("<script>" in page, "<img" in page) == (False, False)


@pytest.mark.parametrize(
    ("query", "wait"),
    [("span=hour", "10"), ("span=year", "60"), (NEW_YEARS_DAY, None), ("start_time=&end_time=", "60"),
     ("start_time=2026-01-01T00:00&end_time=2199-01-01T00:00", "60")],
)  # fmt: skip
def test_a_page_is_kept_up_to_date_where_readings_may_come(
    hers: Client, device: Device, query: str, wait: str | None
) -> None:
    stored(device, *((n * 600, float(n), 2, 3) for n in range(500)))
    of_today(device, 500, every=7)
    page = hers.get(f"/devices/{device.pk}/?{query}").content.decode()
    found = re.search(r'data-wait="(\d+)"', page)
    assert (found and found[1]) == wait


def test_the_part_that_changes_is_that_of_the_page(hers: Client, device: Device) -> None:
    stored(device, *((n * 60, float(n), 2, 3) for n in range(1000)))
    page = hers.get(f"/devices/{device.pk}/?{NEW_YEARS_DAY}&table").content.decode()
    found = re.search(r'data-now="([^"]+)"', page)
    assert found
    part = hers.get(found[1].replace("&amp;", "&")).content.decode()
    assert part.strip() in page
    assert len(part) > 10_000


def test_a_new_reading_is_in_the_part_that_changes(hers: Client, device: Device) -> None:
    of_today(device, 1)
    assert " 1 reading," in text_of(hers.get(f"/devices/{device.pk}/now/?span=hour"))
    store_rows([Row(device.pk, timezone.now(), 9.25, 2.0, 3.0)])
    assert "9.25" in text_of(hers.get(f"/devices/{device.pk}/now/?span=hour&readings"))


@pytest.mark.parametrize("span", ["hour", "week", "year", "all"])
def test_a_page_takes_a_bounded_number_of_queries(
    hers: Client, device: Device, django_assert_max_num_queries: Any, span: str
) -> None:
    """Session, account, device; figures and curve, see `series`; readings."""
    of_today(device, 2000, every=300)
    assert sum(build(device, timezone.now()))
    with django_assert_max_num_queries(20):
        assert hers.get(f"/devices/{device.pk}/?span={span}").status_code == 200


# What answers tell the browser


@pytest.mark.parametrize("path", ["/sign-in/", "/devices/", "/devices/{}/", "/devices/{}/now/"])
def test_a_page_has_no_script_or_style_in_itself_and_may_load_ours_alone(
    hers: Client, client: Client, device: Device, path: str
) -> None:
    stored(device, (0, 1, 2, 3))
    if path == "/sign-in/":
        hers.logout()
    response = hers.get(f"{path.format(device.pk)}?span=all")
    page = response.content.decode()
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son\w+=|https?://(?!testserver)", page)
    assert response["Cache-Control"] in ("no-store", "max-age=0, no-cache, no-store, must-revalidate, private")


@pytest.mark.parametrize("name", ["pages.css", "curve.css", "curve.js", "icon.svg"])
def test_the_files_of_the_pages_are_served_from_here(client: Client, name: str) -> None:
    response = client.get(f"/{django_settings.STATIC_URL.strip('/')}/analytics/{name}")
    assert response.status_code == 200
    assert b"http" not in b"".join(response).replace(b"http://www.w3.org/2000/svg", b"")
