"""The corpus of hostile requests: each gets the answer that its case names, and changes nothing."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from tests.hostile import documents, headers, lists, office, paths, readings
from tests.hostile.case import Case
from tests.hostile.house import House, demolish

FAMILIES: list[tuple[str, Callable[[], Iterator[Case]]]] = [
    (f"{module.__name__.rsplit('.', 1)[1]} {family.__name__}", family)
    for module in (paths, headers, documents, readings, lists, office)
    for family in module.FAMILIES
]
PROBLEM = {"type", "title", "status", "detail", "errors"}
# What a status has to bring along.
HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Committed for real: a transaction around each test would hide what an error does to the next request."""
    with django_db_blocker.unblock():
        yield
        demolish()


@pytest.fixture(scope="module")
def house(db: None) -> House:
    return House()


@pytest.mark.parametrize("family", [pytest.param(family, id=name) for name, family in FAMILIES])
def test_hostile_requests_are_answered_as_they_should_be_and_change_nothing(
    house: House, family: Callable[[], Iterator[Case]], record_property: Any
) -> None:
    faults: dict[str, list[str]] = {}
    cases = list(family())
    for case in cases:
        if found := faults_of(house, case):
            faults[case.title] = found
            house.rebuild()
    record_property("hostile_requests", len(cases))
    assert not faults, "\n".join(f"{title}: {', '.join(found)}" for title, found in faults.items())


def faults_of(house: House, case: Case) -> list[str]:
    """What is wrong with the answer to a case, and with what is there after it."""
    response = house.send(case)
    answer = f"{response.status_code} {response.getvalue()[:500]!r}"  # streamed to the end
    facts = {
        f"answered {answer}": is_expected(response, case),
        f"no problem: {answer}": is_fit_for_a_program(response, case),
        f"not {case.stores} readings stored": not case.stores or house.forget_new_readings() == case.stores,
        "something was changed": house.is_as_it_was(),
        "a list does not answer": house.list_status(case) == 200,
    }
    return [name for name, is_so in facts.items() if not is_so]


def is_expected(response: Any, case: Case) -> bool:
    if case.status is None:
        return bool(response.status_code < 500)
    return response.status_code == case.status and (not case.code or case.code == first_code(response))


def first_code(response: Any) -> str:
    is_problem = response.get("Content-Type") == "application/problem+json" and response.content
    return str(response.json()["errors"][0]["code"]) if is_problem else ""


def is_fit_for_a_program(response: Any, case: Case) -> bool:
    """Whether an error below `/api/` is a problem, with the headers that belong to its status."""
    is_of_the_api = case.path.startswith("/api/") or not case.path.startswith("/")
    if not is_of_the_api or response.status_code < 400:
        return True
    if response.status_code in HEADERS and not response.get(HEADERS[response.status_code]):
        return False
    return case.method == "HEAD" or "html" in case.headers.get("Accept", "") or is_problem(response)


def is_problem(response: Any) -> bool:
    if response["Content-Type"] != "application/problem+json":
        return False
    problem, status = response.json(), response.status_code
    return (
        set(problem) == PROBLEM
        and (problem["status"], problem["title"]) == (status, HTTPStatus(status).phrase)
        and bool(problem["errors"])
        and all(set(error) == {"pointer", "code", "detail"} for error in problem["errors"])
    )
