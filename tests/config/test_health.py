"""Whether the process runs, and whether it can serve."""

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client


def test_live_answers_without_the_database(client: Client) -> None:
    response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_answers_with_the_database(client: Client) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": "ok"})


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_ready_is_503_while_the_database_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail() -> None:
        raise error("connection refused by 10.0.0.7")

    monkeypatch.setattr(connection, "cursor", fail)
    response = client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert "10.0.0.7" not in response.content.decode()
