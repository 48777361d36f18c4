"""The back office: accounts, devices and background analyses."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken

from analytics import analyses
from analytics.models import Analysis
from devices.models import Device, Reading, Refusal
from tests.helpers import client_of, client_of_device, stored
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "page", ["users/user/", "users/user/add/", "devices/device/", "devices/device/add/", "analytics/analysis/"]
)
def test_a_page_opens(office: Client, device: Device, page: str) -> None:
    assert office.get(f"/admin/{page}").status_code == 200


@pytest.mark.parametrize(
    "page", ["users/user/", "auth/group/", "knox/authtoken/", "analytics/analysis/", "devices/refusal/"]
)
def test_a_list_takes_as_many_queries_for_many_rows(office: Client, device: Device, page: str) -> None:
    counts = []
    for number in range(20):
        owner = User.objects.create_user(f"owner {number}")
        AuthToken.objects.create(owner)
        Group.objects.create(name=f"group {number}")
        theirs = Device.objects.create(owner=owner, name=f"device {number}")
        analyses.start(owner, theirs, {}, number)
        Refusal.objects.create(device=theirs, at=timezone.now(), status=400, faults=1, size=1, code="invalid")
        if number in (1, 19):
            with CaptureQueriesContext(connection) as queries:
                assert office.get(f"/admin/{page}").status_code == 200
            counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("page", ["users/user/", "devices/device/", "analytics/analysis/"])
def test_who_is_not_staff_is_sent_to_sign_in(alice: User, page: str) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(f"/admin/{page}").status_code == 302


def test_a_device_is_found_by_a_part_of_its_name(office: Client, device: Device, other_device: Device) -> None:
    page = office.get("/admin/devices/device/?q=ump+2").content.decode()
    assert "Pump 2" in page
    assert "Pump 1" not in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("devices/device/{pk}/delete/", {"post": "yes"}),
        ("devices/device/", {"action": "delete_selected", "_selected_action": "{pk}", "post": "yes"}),
    ],
)
def test_deleting_a_device_takes_its_readings_along(
    office: Client, device: Device, path: str, form: dict[str, str]
) -> None:
    stored(device, (0, 1, 2, 3))
    client_of_device(device)
    office.post(f"/admin/{path.format(pk=device.pk)}", {name: text.format(pk=device.pk) for name, text in form.items()})
    assert not Device.objects.exists()
    assert not Reading.objects.exists()


def test_the_page_that_asks_before_deleting_reads_no_reading(
    office: Client, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(device, (0, 1, 2, 3))
    monkeypatch.setattr(Reading, "from_db", None)  # whoever loads one fails
    assert office.get(f"/admin/devices/device/{device.pk}/delete/").status_code == 200


# What somebody types into an address or a form: a page is the answer, whatever it is.

MODELS = ["auth/group", "knox/authtoken", "users/user", "devices/device"]
QUERIES = [
    "q=%00", "q=%ED%A0%80", "q=" + "x" * 100_000, "q=" + "a+" * 2000, "name=%00", "name__regex=(((", "name__regex=%5B",
    "name__iregex=(?", "name__in=" + "a," * 70_000, "username=%00", "username__regex=(((", "password__startswith=p",
    "digest=%00", "timezone__regex=(((", "owner=%00", "owner=99999999999999999999", "owner__password__startswith=a",
    "owner__id__exact=9223372036854775808", "owner__groups__permissions__codename__regex=(((", "readings__x=nan",
    "keys__secret_hash__startswith=a", "user=99999999999999999999", "id=99999999999999999999", "id__in=1,x", "pk=x",
    "id__gt=1e400", "created_at__gte=9999-12-31T23:59:59-23:59", "created_at__lt=0001-01-01T00:00:00%2B23:59",
    "created_at__year=0", "created_at__year=10000", "created_at__year=99999999999999999999", "created_at__range=1,2,3",
    "created__year=99999999999", "date_joined__year=0", "date_joined__gte=0001-01-01T00:00:00%2B23:59",
    "last_login__gte=9999-12-31T23:59:59-23:59", "expiry__gte=9999-12-31T23:59:59-23:59", "is_active__exact=2",
    "is_active__exact=%00", "is_active__isnull=x", "is_staff__exact=%00", "groups__id__exact=99999999999999999999",
    "expected_interval=1e999", "o=99999999999999999999", "o=%00", "p=-1", "p=99999999999999999999", "p=%00", "e=1",
    "_facets=1", "_to_field=password", "_to_field=%00", "_popup=1", "name__=1", "__=1", "x=1&" * 1500,
]  # fmt: skip
IDS = ["0", "-1", "9223372036854775808", "99999999999999999999", "1e400", "x", "%00", "%ED%A0%80", "_00"]
BAD_IDS = ["99999999999999999999", "x", "\x00", "-1", "1e400"]


@pytest.fixture
def careful_office(office: Client, alice: User, device: Device) -> Client:
    """A 500 is an answer here, which the test then refuses; and each list has something to look through."""
    client_of(alice)
    client_of_device(device)
    office.raise_request_exception = False
    return office


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:50])
def test_no_filter_of_a_list_is_a_500(careful_office: Client, model: str, query: str) -> None:
    assert careful_office.get(f"/admin/{model}/?{query}").status_code in {200, 302, 400}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("page", ["", "change/", "delete/"])
@pytest.mark.parametrize("id", IDS)
def test_no_id_of_an_address_is_a_500(careful_office: Client, model: str, page: str, id: str) -> None:
    assert careful_office.get(f"/admin/{model}/{id}/{page}").status_code in {302, 400, 404}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", [{}, {"post": "yes"}], ids=["asked", "confirmed"])
@pytest.mark.parametrize("id", BAD_IDS)
def test_no_selected_id_is_a_500(careful_office: Client, model: str, form: dict[str, str], id: str) -> None:
    form = {"action": "delete_selected", "_selected_action": id, **form}
    assert careful_office.post(f"/admin/{model}/", form).status_code in {200, 302, 400}


@pytest.mark.parametrize("id", BAD_IDS)
def test_no_selected_id_for_a_new_key_is_a_500(careful_office: Client, id: str) -> None:
    form = {"action": "issue_key", "_selected_action": id}
    assert careful_office.post("/admin/devices/device/", form).status_code in {302, 400}


@pytest.mark.parametrize(
    "form",
    [
        {"owner": "99999999999999999999"}, {"owner": "x"}, {"owner": "\x00"}, {"owner": "0"}, {"name": "\x00"},
        {"timezone": "\x00"}, {"expected_interval": "nan"}, {"expected_interval": "1e999"},
        {"keys-TOTAL_FORMS": "99999999"}, {"keys-TOTAL_FORMS": "x"}, {"keys-INITIAL_FORMS": "x"},
        {"keys-TOTAL_FORMS": "1", "keys-INITIAL_FORMS": "1", "keys-0-id": "99999999999999999999"},
        {"keys-TOTAL_FORMS": "1", "keys-INITIAL_FORMS": "1", "keys-0-id": "\x00"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["add/", "{pk}/change/"])
def test_no_field_of_a_device_is_a_500(
    careful_office: Client, alice: User, device: Device, page: str, form: dict[str, str]
) -> None:
    good = {"name": "a", "owner": str(alice.pk), "keys-TOTAL_FORMS": "0", "keys-INITIAL_FORMS": "0"}
    response = careful_office.post(f"/admin/devices/device/{page.format(pk=device.pk)}", {**good, **form})
    assert response.status_code in {200, 302, 400}


@pytest.mark.parametrize("term", ["%00", "%ED%A0%80", "(((", "a+" * 2000])
def test_no_search_for_an_owner_is_a_500(careful_office: Client, term: str) -> None:
    where = "app_label=devices&model_name=device&field_name=owner"
    assert careful_office.get(f"/admin/autocomplete/?{where}&term={term}").status_code in {200, 400}


def test_a_value_error_of_our_own_is_still_a_defect(careful_office: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr("devices.admin.DeviceAdmin.get_queryset", fail)
    assert careful_office.get("/admin/devices/device/").status_code == 500


@pytest.fixture
def failed(alice: User, device: Device) -> Analysis:
    analysis = analyses.start(alice, device, {}, {})
    run = analyses.claim(analysis.pk)
    assert run is not None
    analyses.fail(run, "It can't be done.")
    return analysis


def test_the_list_of_analyses_shows_what_became_of_them(office: Client, failed: Analysis) -> None:
    page = office.get("/admin/analytics/analysis/").content.decode()
    for text in ("failed", "alice", "Pump 1", " s</td>", "It can&#x27;t be done."):
        assert text in page


def test_an_analysis_is_looked_at_without_its_result(office: Client, failed: Analysis) -> None:
    Analysis.objects.update(result='"a long one"')
    page = office.get(f"/admin/analytics/analysis/{failed.pk}/change/").content.decode()
    assert "It can&#x27;t be done." in page
    assert "a long one" not in page


@pytest.mark.parametrize(
    ("action", "status", "message"),
    [
        ("retry", "pending", "1 analyses tried again; 1 were left as they are."),
        ("cancel", "failed", "1 analyses cancelled; 1 were left as they are."),
    ],
)
def test_selected_analyses_are_tried_again_or_cancelled(
    office: Client, alice: User, failed: Analysis, action: str, status: str, message: str
) -> None:
    pending = analyses.start(alice, alice, {}, {})
    selected = [str(failed.pk), str(pending.pk)]
    page = office.post("/admin/analytics/analysis/", {"action": action, "_selected_action": selected}, follow=True)
    assert message in page.content.decode()
    failed.refresh_from_db()
    assert failed.status == status


def test_an_analysis_is_not_made_in_the_office(office: Client) -> None:
    assert office.get("/admin/analytics/analysis/add/").status_code == 403


def test_an_analysis_of_selected_devices_is_started(office: Client, alice: User, superuser: User) -> None:
    devices = [Device.objects.create(owner=alice, name=name) for name in "abc"]
    selected = [device.pk for device in devices[:2]]
    page = office.post(
        "/admin/devices/device/", {"action": "start_analysis", "_selected_action": selected}, follow=True
    )
    assert "2 analyses are under way." in page.content.decode()
    started = Analysis.objects.filter(requested_by=superuser, status="pending", parameters={})
    assert sorted(started.values_list("device", flat=True)) == selected


def test_the_same_analysis_over_the_api_is_the_one_that_was_started_here(office: Client, device: Device) -> None:
    office.post("/admin/devices/device/", {"action": "start_analysis", "_selected_action": [device.pk]})
    path = f"/api/v1/devices/{device.pk}/analyses/"
    assert office.post(path, {}, content_type="application/json").status_code == 202
    assert Analysis.objects.count() == 1
