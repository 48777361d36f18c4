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
    schemas = document["components"]["schemas"]
    references = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    assert references - {f"#/components/schemas/{name}" for name in schemas} == set()


@pytest.mark.parametrize("status", ["429", "500"])
def test_every_operation_tells_of_its_problems(document: dict[str, Any], status: str) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    silent = [o["operationId"] for o in operations(document) if o["responses"][status]["content"] != problem]
    assert silent == []


def test_429_tells_of_its_header(document: dict[str, Any]) -> None:
    assert all("Retry-After" in operation["responses"]["429"]["headers"] for operation in operations(document))


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
