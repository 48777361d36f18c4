"""The corpus of hostile requests: each gets the answer that its case names, and changes nothing."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection

from tests.hostile import documents, headers, lists, office, paths, readings
from tests.hostile.case import Case
from tests.hostile.defects import DEFECTS, DEFECTS_ON_POSTGRESQL
from tests.hostile.house import House, contents, demolish

CASES: list[Case] = [*paths.CASES, *headers.CASES, *documents.CASES, *readings.CASES, *lists.CASES, *office.CASES]
PROBLEM = {"type", "title", "status", "detail", "errors"}
# What a status has to bring along.
HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}


class Houses:
    """The house of all cases; a new one after a case that has spoilt it."""

    house: House | None = None

    def get(self) -> House:
        if self.house is None:
            demolish()
            self.house = House.build()
        return self.house


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Committed for real: a transaction around each test would hide what an error does to the next request."""
    with django_db_blocker.unblock():
        yield
        demolish()


@pytest.fixture(scope="module")
def houses(db: None) -> Houses:
    return Houses()


@pytest.fixture
def house(houses: Houses) -> Iterator[House]:
    house, houses.house = houses.get(), None
    yield house
    if house.is_sound:
        houses.house = house


def parameters() -> Iterator[Any]:
    defects = DEFECTS if connection.vendor == "sqlite" else DEFECTS | DEFECTS_ON_POSTGRESQL
    for case in {case.title: case for case in CASES}.values():
        reason = next((reason for pattern, reason in defects.items() if pattern.search(case.title)), None)
        marks = [pytest.mark.xfail(strict=connection.vendor == "sqlite", reason=reason)] if reason else []
        yield pytest.param(case, id=case.title, marks=marks)


@pytest.mark.parametrize("case", list(parameters()))
def test_a_hostile_request_is_answered_and_changes_nothing(house: House, case: Case, record_property: Any) -> None:
    record_property("hostile_requests", 1)
    house.is_sound = False
    response = house.send(case)
    answer = f"{response.status_code} {response.getvalue()[:500]!r}"  # streamed to the end
    assert not case.stores or house.forget_new_readings() == case.stores
    assert contents() == house.rows
    assert house.list_status(case) == 200
    house.is_sound = True
    if case.status is None:
        assert response.status_code < 500, answer
    else:
        assert (response.status_code, first_code(response)) == (case.status, case.code or first_code(response)), answer
    if case.path.startswith("/api/") or not case.path.startswith("/"):
        assert_that_an_error_is_a_problem(response, case)


def first_code(response: Any) -> str:
    is_problem = response.get("Content-Type") == "application/problem+json" and response.content
    return str(response.json()["errors"][0]["code"]) if is_problem else ""


def assert_that_an_error_is_a_problem(response: Any, case: Case) -> None:
    if response.status_code < 400:
        return
    assert response.status_code not in HEADERS or response[HEADERS[response.status_code]]
    if case.method == "HEAD" or "html" in case.headers.get("Accept", ""):
        return
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == PROBLEM
    assert (problem["status"], problem["title"]) == (response.status_code, HTTPStatus(response.status_code).phrase)
    assert problem["errors"]
    assert all(set(error) == {"pointer", "code", "detail"} for error in problem["errors"])
