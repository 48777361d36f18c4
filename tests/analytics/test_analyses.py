"""Background analyses over the API: asked for, run, read, listed, cancelled, deleted. Here they are run by hand."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from analytics import analyses, answers, running, wakeups
from analytics.models import MOST_BYTES_IN_A_LIST, Analysis
from devices.models import Device
from tests.analytics.leases import claimed, outlive
from tests.helpers import client_of, codes, send, stored
from users.models import User

pytestmark = pytest.mark.django_db

KEYS = ["id", "status", "requested_at", "started_at", "finished_at", "parameters", "result", "error"]
ALL_TIME: dict[str, Any] = {}
WINDOW = {"start_time": "2026-01-01T00:00:01Z", "end_time": "2026-01-01T01:00:02+01:00"}


@pytest.fixture(autouse=True)
def readings(device: Device, other_device: Device) -> None:
    stored(device, (0, 1, 2, 3), (1, 1e15, -5e-324, 0.1), (2, 7, 8, 9))
    stored(other_device, (1, 4, 5, 6))


def start(api: APIClient, path: str, parameters: Any) -> dict[str, Any]:
    response = send(api, "POST", f"/api/v1/{path}/analyses/", parameters)
    assert response.status_code == 202, response.content
    started: dict[str, Any] = response.json()
    return started


def run(started: dict[str, Any]) -> Analysis:
    running.run(UUID(started["id"]))
    return Analysis.objects.get(pk=started["id"])


def read(api: APIClient, started: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(f"/api/v1/analyses/{started['id']}/").json()
    return answer


# Asking


def test_a_started_analysis_is_pending_and_says_where_it_is(api: APIClient, device: Device) -> None:
    response = send(api, "POST", f"/api/v1/devices/{device.pk}/analyses/", WINDOW)
    started = response.json()
    assert (response.status_code, list(started)) == (202, KEYS)
    assert response["Location"] == f"http://testserver/api/v1/analyses/{started['id']}/"
    assert started == {
        "id": str(UUID(started["id"])),
        "status": "pending",
        "requested_at": started["requested_at"],
        "started_at": None,
        "finished_at": None,
        "parameters": WINDOW,
        "result": None,
        "error": None,
    }
    assert api.get(response["Location"]).json() == started


def test_a_body_is_not_needed(api: APIClient, device: Device) -> None:
    response = api.post(f"/api/v1/devices/{device.pk}/analyses/")
    assert (response.status_code, response.json()["parameters"]) == (202, {})


def test_bounds_that_are_null_stay_null(api: APIClient, device: Device) -> None:
    started = start(api, f"devices/{device.pk}", {"start_time": None, "end_time": None})
    run(started)
    answer = read(api, started)
    assert answer["parameters"] == {"start_time": None, "end_time": None}
    assert (answer["result"]["start_time"], answer["result"]["end_time"], answer["result"]["count"]) == (None, None, 3)


@pytest.mark.parametrize(
    ("parameters", "faults"),
    [
        ({"start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}, {"/end_time": "end_before_start"}),
        ({"start_time": "2026-01-01T00:00:00"}, {"/start_time": "no_offset"}),
        ({"end_time": 5}, {"/end_time": "invalid_time"}),
        ({"percentiles": "101"}, {"/percentiles": "invalid_percentile"}),
        ({"percentiles": [5]}, {"/percentiles": "invalid"}),
        ({"interval": "minute"}, {"/interval": "invalid_choice"}),
        ({"interval": ["day"]}, {"/interval": "invalid_choice"}),
        ({"timezone": "Atlantis"}, {"/timezone": "unknown_timezone"}),
        ({"timezone": "\x00"}, {"/timezone": "unknown_timezone"}),
        ({"aggregate": "true"}, {"/aggregate": "invalid"}),
        ({"aggregate": 1}, {"/aggregate": "invalid"}),
        ({"aggregate": None}, {"/aggregate": "null"}),
        ({"start": "2026-01-01T00:00:00Z"}, {"/start": "unknown_field"}),
        ([], {"": "invalid"}),
        ("x", {"": "invalid"}),
    ],
)
def test_what_the_call_would_refuse_is_refused_at_once(
    api: APIClient, alice: User, parameters: Any, faults: dict[str, str]
) -> None:
    response = send(api, "POST", f"/api/v1/users/{alice.pk}/analyses/", parameters)
    assert (response.status_code, codes(response)) == (400, faults)
    assert not Analysis.objects.exists()


def test_a_device_knows_no_aggregate(api: APIClient, device: Device) -> None:
    response = send(api, "POST", f"/api/v1/devices/{device.pk}/analyses/", {"aggregate": True})
    assert (response.status_code, codes(response)) == (400, {"/aggregate": "unknown_field"})


@pytest.mark.parametrize("path", ["devices/999999999999", "devices/99999999999999999999999", "users/999999999999"])
def test_a_target_that_is_not_there_is_404(api: APIClient, path: str) -> None:
    assert send(api, "POST", f"/api/v1/{path}/analyses/", {}).status_code == 404


def test_the_same_request_again_answers_with_the_open_one(api: APIClient, device: Device) -> None:
    first = start(api, f"devices/{device.pk}", {"end_time": "2026-01-01T01:00:00+01:00"})
    again = start(api, f"devices/{device.pk}", {"end_time": "2026-01-01T00:00:00Z", "interval": None})
    assert again == first
    analyses.claim(UUID(first["id"]))
    assert start(api, f"devices/{device.pk}", {"end_time": "2026-01-01T00:00:00Z"})["id"] == first["id"]


def test_the_same_request_after_the_end_is_a_new_one(api: APIClient, device: Device) -> None:
    first = start(api, f"devices/{device.pk}", {})
    run(first)
    assert start(api, f"devices/{device.pk}", {})["id"] != first["id"]


def test_another_question_target_or_caller_is_another_analysis(
    api: APIClient, alice: User, staff: User, device: Device, other_device: Device
) -> None:
    ids = {
        start(api, f"devices/{device.pk}", {})["id"],
        start(api, f"devices/{device.pk}", {"percentiles": "5"})["id"],
        start(api, f"devices/{other_device.pk}", {})["id"],
        start(api, f"users/{alice.pk}", {})["id"],
        start(api, f"users/{alice.pk}", {"aggregate": False})["id"],
        start(client_of(staff), f"devices/{device.pk}", {})["id"],
    }
    assert len(ids) == 6


# Running


@pytest.mark.parametrize("window", [ALL_TIME, WINDOW], ids=["all time", "a window"])
@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("devices/{device}", {}),
        ("devices/{device}", {"interval": "hour", "timezone": "Asia/Kathmandu", "percentiles": "99.9,5,50"}),
        ("users/{alice}", {}),
        ("users/{alice}", {"interval": "month", "percentiles": "0"}),
        ("users/{alice}", {"aggregate": False}),
        ("users/{alice}", {"aggregate": False, "interval": "week"}),
    ],
)
def test_the_result_is_the_answer_of_the_call_byte_for_byte(
    api: APIClient, alice: User, device: Device, path: str, parameters: dict[str, Any], window: dict[str, Any]
) -> None:
    path = path.format(alice=alice.pk, device=device.pk)
    asked = {**parameters, **window}
    started = start(api, path, asked)
    run(started)
    query = {name: str(value).lower() if name == "aggregate" else value for name, value in asked.items()}
    answer = api.get(f"/api/v1/{path}/analytics/", query).content
    assert (
        api.get(f"/api/v1/analyses/{started['id']}/").content.partition(b'"result":')[2] == answer + b',"error":null}'
    )


def test_a_run_says_when_it_began_and_ended(api: APIClient, device: Device) -> None:
    started = start(api, f"devices/{device.pk}", {})
    before = timezone.now()
    analysis = run(started)
    answer = read(api, started)
    assert answer["status"] == "succeeded"
    assert analysis.started_at is not None
    assert analysis.finished_at is not None
    second = timedelta(seconds=1)  # SQLite's clock counts in milliseconds
    assert before - second < analysis.started_at <= analysis.finished_at < timezone.now() + second
    assert (analysis.attempts, analysis.progress, analysis.token, analysis.lease_until) == (1, 1, None, None)


def test_a_run_answers_for_the_moment_at_which_it_ran(api: APIClient, device: Device) -> None:
    started = start(api, f"devices/{device.pk}", {})
    stored(device, (9, 1, 1, 1))
    run(started)
    stored(device, (10, 1, 1, 1))
    assert read(api, started)["result"]["count"] == 4


def test_what_has_ended_is_not_run_again(api: APIClient, device: Device) -> None:
    started = start(api, f"devices/{device.pk}", {})
    first = run(started)
    assert run(started).finished_at == first.finished_at


def test_an_unknown_analysis_is_not_run() -> None:
    running.run(uuid4())
    assert not Analysis.objects.exists()


def test_what_always_fails_ends_as_failed_with_its_reason(api: APIClient, device: Device) -> None:
    started = start(
        api, f"devices/{device.pk}",
        {"interval": "hour", "start_time": "1900-01-01T00:00:00Z", "end_time": "2199-01-01T00:00:00Z"},
    )  # fmt: skip
    assert run(started).attempts == 1
    answer = read(api, started)
    assert (answer["status"], answer["result"]) == ("failed", None)
    assert answer["error"] == "At most 10000 buckets in an answer: choose a shorter window or a longer interval."


def test_a_defect_is_told_without_its_details(
    api: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = start(api, f"devices/{device.pk}", {})
    monkeypatch.setattr(answers, "of_device", lambda *args: 1 / 0)
    run(started)
    assert read(api, started)["error"] == "The service failed at this analysis. Its log has the details."
    assert "ZeroDivisionError" in caplog.text


def test_who_may_not_see_the_device_any_more_gets_no_answer(
    api: APIClient, device: Device, bob: User, alice: User
) -> None:
    started = start(api, f"devices/{device.pk}", {})
    Device.objects.filter(pk=device.pk).update(owner=bob)
    run(started)
    assert read(api, started)["error"] == running.GONE


@pytest.mark.parametrize("fault", [OperationalError("away"), DataError("what is this")])
def test_a_passing_fault_is_tried_three_times_and_another_once(
    api: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*args: object) -> None:
        raise fault

    monkeypatch.setattr(answers, "of_device", fail)
    started = start(api, f"devices/{device.pk}", {})
    statuses = [run(started).status for _ in range(4)]
    passing = isinstance(fault, OperationalError)
    assert statuses == (["pending", "pending", "failed", "failed"] if passing else ["failed"] * 4)
    assert read(api, started)["error"] == (running.AWAY if passing else running.DEFECT)


# Leases


def test_a_claimed_analysis_is_nobody_elses(analysis: Analysis) -> None:
    claimed(analysis)
    assert analyses.claim(analysis.pk) is None
    assert analyses.next_pending() is None


def test_what_has_outlived_its_lease_is_pending_again(analysis: Analysis) -> None:
    mine = claimed(analysis)
    analyses.sweep()
    assert analyses.beat(mine, 0.5)
    outlive(analysis)
    analyses.sweep()
    analysis.refresh_from_db()
    assert (analysis.status, analysis.attempts) == ("pending", 1)
    assert analyses.next_pending() == analysis.pk


def test_who_lost_the_analysis_can_change_nothing(analysis: Analysis) -> None:
    lost = claimed(analysis)
    outlive(analysis)
    mine = claimed(analysis)
    assert not analyses.beat(lost, 0.5)
    assert not analyses.finish(lost, "{}")
    assert not analyses.fail(lost, "mine")
    analyses.release(lost)
    analyses.give_back(lost, "mine")
    analysis.refresh_from_db()
    assert (analysis.status, analysis.token, analysis.attempts) == ("running", mine.token, 2)


def test_three_lost_runs_are_enough(api: APIClient, analysis: Analysis) -> None:
    for _ in range(3):
        claimed(analysis)
        outlive(analysis)
        analyses.sweep()
    assert analyses.claim(analysis.pk) is None
    answer = api.get(f"/api/v1/analyses/{analysis.pk}/").json()
    assert (answer["status"], answer["error"]) == ("failed", analyses.LOST)


def test_a_released_attempt_does_not_count(analysis: Analysis) -> None:
    for _ in range(5):
        analyses.release(claimed(analysis))
    analysis.refresh_from_db()
    assert (analysis.status, analysis.attempts) == ("pending", 0)


def test_what_nobody_took_is_published_again_and_then_left_alone_a_while(analysis: Analysis) -> None:
    assert analyses.overdue() == []
    outlive(analysis)
    assert analyses.overdue() == [analysis.pk]
    assert analyses.overdue() == []


# Reading


def test_lists_come_newest_first_and_page_by_page(api: APIClient, alice: User, device: Device) -> None:
    ids = [start(api, f"devices/{device.pk}", {"percentiles": str(number)})["id"] for number in range(5)]
    first = api.get("/api/v1/analyses/", {"page_size": 2}).json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()
    assert [row["id"] for page in (first, second, third) for row in page["results"]] == ids[::-1]
    assert (first["previous"], third["next"]) == (None, None)
    assert api.get(third["previous"]).json()["results"] == second["results"]


def test_a_page_ends_right_among_equal_times(api: APIClient, alice: User, device: Device) -> None:
    for number in range(5):
        start(api, f"devices/{device.pk}", {"percentiles": str(number)})
    Analysis.objects.update(requested_at=timezone.now())
    url, seen = "/api/v1/analyses/?page_size=2", []
    while url:
        page = api.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == sorted(str(pk) for pk in Analysis.objects.values_list("pk", flat=True))


def test_each_list_holds_its_own(
    api: APIClient, alice: User, staff: User, device: Device, other_device: Device
) -> None:
    of_device = start(api, f"devices/{device.pk}", {})["id"]
    of_user = start(api, f"users/{alice.pk}", {})["id"]
    by_staff = start(client_of(staff), f"devices/{device.pk}", {})["id"]
    assert ids_in(api, "analyses/") == {of_device, of_user}
    assert ids_in(api, f"devices/{device.pk}/analyses/") == {of_device}
    assert ids_in(api, f"devices/{other_device.pk}/analyses/") == set()
    assert ids_in(api, f"users/{alice.pk}/analyses/") == {of_user}
    assert ids_in(client_of(staff), f"devices/{device.pk}/analyses/") == {of_device, by_staff}
    assert ids_in(client_of(staff), "analyses/") == {of_device, of_user, by_staff}


def ids_in(api: APIClient, path: str) -> set[str]:
    return {row["id"] for row in api.get(f"/api/v1/{path}").json()["results"]}


@pytest.mark.parametrize("path", ["analyses/", "devices/{device}/analyses/"])
def test_lists_are_filtered_by_status_and_time(api: APIClient, device: Device, path: str) -> None:
    path = path.format(device=device.pk)
    done, waiting = start(api, f"devices/{device.pk}", {}), start(api, f"devices/{device.pk}", WINDOW)
    run(done)
    assert ids_in(api, f"{path}?status=succeeded") == {done["id"]}
    assert ids_in(api, f"{path}?status=pending") == {waiting["id"]}
    assert ids_in(api, f"{path}?start_time={waiting['requested_at']}") == {waiting["id"]}
    assert ids_in(api, f"{path}?end_time={waiting['requested_at']}") == {done["id"]}


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("status=done", {"/status": "invalid_choice"}),
        ("status=", {"/status": "invalid_choice"}),
        ("start_time=2026", {"/start_time": "invalid_time"}),
        ("cursor=x", {"/cursor": "invalid"}),
        ("page_size=0", {"/page_size": "min_value"}),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(api: APIClient, query: str, faults: dict[str, str]) -> None:
    response = api.get(f"/api/v1/analyses/?{query}")
    assert (response.status_code, codes(response)) == (400, faults)


def test_a_list_shows_results_but_not_long_ones(api: APIClient, device: Device) -> None:
    started = start(api, f"devices/{device.pk}", {})
    run(started)
    assert api.get("/api/v1/analyses/").json()["results"] == [read(api, started)]
    Analysis.objects.update(result=json.dumps("x" * MOST_BYTES_IN_A_LIST))
    (row,) = api.get("/api/v1/analyses/").json()["results"]
    assert (row["status"], row["result"]) == ("succeeded", None)


@pytest.mark.parametrize("number", [1, 20])
def test_the_queries_of_a_list_do_not_grow(
    api: APIClient, alice: User, device: Device, django_assert_num_queries: DjangoAssertNumQueries, number: int
) -> None:
    for place in range(number):
        analyses.start(alice, device, {}, place)
    # the token with its user, the user's tokens, the page
    with django_assert_num_queries(3):
        api.get("/api/v1/analyses/")


@pytest.mark.parametrize("id", ["1", "x" * 36, "00000000-0000-0000-0000-000000000000", "-" * 36])
def test_an_id_that_is_none_is_404(api: APIClient, id: str) -> None:
    assert api.get(f"/api/v1/analyses/{id}/").status_code == 404


# Ending


def test_a_cancelled_analysis_is_not_run(api: APIClient, device: Device) -> None:
    started = start(api, f"devices/{device.pk}", {})
    response = api.post(f"/api/v1/analyses/{started['id']}/cancel/")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert response.json()["finished_at"] is not None
    assert run(started).attempts == 0


@pytest.mark.parametrize("end", ["succeeded", "cancelled"])
def test_what_has_ended_can_not_be_cancelled(api: APIClient, device: Device, end: str) -> None:
    started = start(api, f"devices/{device.pk}", {})
    if end == "succeeded":
        run(started)
    else:
        analyses.cancel(UUID(started["id"]))
    response = api.post(f"/api/v1/analyses/{started['id']}/cancel/")
    assert (response.status_code, codes(response)) == (409, {"": "has_ended"})
    assert read(api, started)["status"] == end


def test_a_run_that_was_cancelled_can_not_finish(api: APIClient, analysis: Analysis) -> None:
    mine = claimed(analysis)
    api.post(f"/api/v1/analyses/{analysis.pk}/cancel/")
    assert not analyses.beat(mine, 0.5)
    assert not analyses.finish(mine, "{}")
    assert api.get(f"/api/v1/analyses/{analysis.pk}/").json()["status"] == "cancelled"


def test_a_deleted_analysis_is_gone_and_its_run_changes_nothing(api: APIClient, analysis: Analysis) -> None:
    mine = claimed(analysis)
    assert api.delete(f"/api/v1/analyses/{analysis.pk}/").status_code == 204
    assert not analyses.beat(mine, 0.5)
    assert not analyses.finish(mine, "{}")
    assert api.get(f"/api/v1/analyses/{analysis.pk}/").status_code == 404


def test_the_analyses_of_a_device_go_with_it(api: APIClient, device: Device, analysis: Analysis) -> None:
    assert api.delete(f"/api/v1/devices/{device.pk}/").status_code == 204
    assert not Analysis.objects.exists()


def test_the_analyses_of_a_user_go_with_them(api: APIClient, alice: User, staff: User) -> None:
    start(client_of(staff), f"users/{alice.pk}", {})
    start(api, f"users/{alice.pk}", {})
    assert api.delete(f"/api/v1/users/{alice.pk}/?cascade=true").status_code == 204
    assert not Analysis.objects.exists()


def test_a_failed_or_cancelled_one_can_be_tried_again(analysis: Analysis) -> None:
    assert not analyses.retry(analysis.pk)
    analyses.fail(claimed(analysis), "no")
    assert analyses.retry(analysis.pk)
    running.run(analysis.pk)
    analysis.refresh_from_db()
    assert (analysis.status, analysis.attempts, analysis.error) == ("succeeded", 1, "")


def test_it_is_not_tried_again_while_its_equal_is_open(alice: User, device: Device, analysis: Analysis) -> None:
    analyses.cancel(analysis.pk)
    analyses.start(alice, device, {}, {})
    assert not analyses.retry(analysis.pk)


def test_what_ended_before_the_retention_is_pruned(
    alice: User, device: Device, analysis: Analysis, settings: Any
) -> None:
    recent, old = (analyses.start(alice, device, {}, name) for name in ("recent", "old"))
    for ended, days in ((recent, 89), (old, 91)):
        analyses.cancel(ended.pk)
        Analysis.objects.filter(pk=ended.pk).update(finished_at=timezone.now() - timedelta(days=days))
    settings.ANALYSIS_RETENTION_DAYS = 0
    assert analyses.prune() == 0
    settings.ANALYSIS_RETENTION_DAYS = 90
    assert analyses.prune() == 1
    assert set(Analysis.objects.all()) == {analysis, recent}


# Word of it


def test_the_word_goes_out_after_the_commit(
    api: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    woken: list[UUID] = []
    monkeypatch.setattr(wakeups, "wake", woken.append)
    with django_capture_on_commit_callbacks() as callbacks:
        started = start(api, f"devices/{device.pk}", {})
    assert woken == []
    for callback in callbacks:
        callback()
    assert woken == [UUID(started["id"])]


def test_the_sweeper_and_the_worker_find_their_rows_by_an_index(analysis: Analysis) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of a table of one row, any other plan is as cheap.
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        pending = Analysis.objects.filter(status=Analysis.Status.PENDING).order_by("requested_at")
        assert "analysis_by_status" in pending.explain()
