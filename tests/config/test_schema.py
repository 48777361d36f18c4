"""The OpenAPI document, and the page that shows it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"get", "put", "post", "delete", "patch"}
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document, made as `make schema` makes it."""
    file = tmp_path_factory.mktemp("schema") / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    return file.read_text()


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.fixture
def page(client: Client) -> str:
    return client.get("/api/v1/docs/").content.decode()


def test_the_document_is_valid_and_made_without_a_warning(text: str) -> None:
    assert text.startswith("openapi: 3.")


def test_the_stored_document_is_the_one_that_the_code_makes(text: str) -> None:
    assert (ROOT / "schema.yaml").read_text() == text, "run make schema"


def test_no_two_operations_share_an_id(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert sorted(ids) == sorted(set(ids))


def test_no_operation_id_was_numbered_to_make_it_unique(document: dict[str, Any]) -> None:
    assert [id for id in (operation["operationId"] for operation in operations(document)) if id[-1].isdigit()] == []


def test_every_choice_is_of_the_type_that_is_declared(document: dict[str, Any]) -> None:
    wrong = [
        node
        for node in nodes(document)
        if isinstance(node.get("enum"), list)
        and "type" in node
        and not all(isinstance(value, PYTHON_TYPES[node["type"]]) for value in node["enum"] if value is not None)
    ]
    assert wrong == []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    components = document["components"]
    known = {f"#/components/{kind}/{name}" for kind in components for name in components[kind]}
    assert {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)} - known == set()


@pytest.mark.parametrize("status", ["429", "500", "503"])
def test_every_operation_may_fail(document: dict[str, Any], status: str) -> None:
    assert [o["operationId"] for o in operations(document) if status not in o["responses"]] == []


@pytest.mark.parametrize(
    ("status", "header"), [("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After")]
)
def test_a_problem_tells_of_its_header(document: dict[str, Any], status: str, header: str) -> None:
    answers = [o["responses"][status] for o in operations(document) if status in o["responses"]]
    assert all(header in resolved(document, answer)["headers"] for answer in answers)


def test_the_service_hands_out_the_same_document_to_anybody(client: Client, document: dict[str, Any]) -> None:
    response = client.get("/api/v1/schema/")
    assert response.status_code == 200
    assert yaml.safe_load(response.content) == document


def test_the_page_is_for_anybody(client: Client) -> None:
    assert client.get("/api/v1/docs/").status_code == 200


def test_docs_leads_to_the_page(client: Client) -> None:
    assert client.get("/docs").headers["Location"] == "/api/v1/docs/"


def test_the_page_needs_no_other_host(page: str) -> None:
    assert references(page)
    assert [url for url in references(page) if re.match(r"\w+:|//", url)] == []


def test_what_the_page_needs_is_served(client: Client, page: str) -> None:
    for url in references(page):
        response = client.get(url)
        assert (response.status_code, bool(response.getvalue())) == (200, True), url


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (operation for method, operation in item.items() if method in METHODS)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)


def references(page: str) -> set[str]:
    return set(re.findall(r"""\b(?:src|href)\s*=\s*["']([^"']*)["']""", page))


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    silent = [o["operationId"] for o in operations(document) if not (o.get("summary") and o["tags"])]
    assert silent == []


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    parameters = [(o["operationId"], p) for o in operations(document) for p in o.get("parameters", [])]
    assert [(operation, p["name"]) for operation, p in parameters if not p.get("description")] == []


def test_every_parameter_that_is_no_choice_has_an_example(document: dict[str, Any]) -> None:
    parameters = [(o["operationId"], p) for o in operations(document) for p in o.get("parameters", [])]
    without = [(id, p["name"], p["schema"]) for id, p in parameters if "example" not in p]
    unknown = [(id, name) for id, name, schema in without if not says_itself(schema) and name != "cursor"]
    assert unknown == []  # a cursor is never made up


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers = [
        (o["operationId"], status, resolved(document, answer))
        for o in operations(document)
        for status, answer in o["responses"].items()
    ]
    assert [(id, status) for id, status, answer in answers if status >= "400" and answer["content"] != problem] == []


@pytest.mark.parametrize(
    ("operation", "callers"),
    [
        ("auth_token_create", []),
        ("auth_token_revoke", ["token"]),
        ("devices_create", ["token", "session"]),
        ("devices_readings_create", ["deviceKey", "token", "session"]),
        ("devices_analytics_retrieve", ["deviceKey", "token", "session"]),
        ("devices_readings_destroy", ["token", "session"]),
    ],
)
def test_an_operation_names_its_callers(document: dict[str, Any], operation: str, callers: list[str]) -> None:
    found = next(o for o in operations(document) if o["operationId"] == operation)
    assert [name for scheme in found.get("security", []) for name in scheme] == callers


@pytest.mark.parametrize("caller", ["token", "deviceKey"])
def test_swagger_ui_sends_what_is_entered_as_the_authorization_header(document: dict[str, Any], caller: str) -> None:
    scheme = document["components"]["securitySchemes"][caller]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")


def test_swagger_ui_sends_the_csrf_token_of_a_session(client: Client, page: str) -> None:
    scripts = "".join(client.get(url).getvalue().decode() for url in references(page) if "script" in url)
    assert "X-CSRFTOKEN" in scripts.upper().replace("HTTP_", "")


def says_itself(schema: dict[str, Any]) -> bool:
    """Whether a parameter's values are clear without an example: choices, true or false, a number with its default."""
    return bool(schema.keys() & {"enum", "items", "default"}) or schema.get("type") == "boolean"


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or the component that it refers to."""
    if "$ref" not in part:
        return part
    found: dict[str, Any] = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found
