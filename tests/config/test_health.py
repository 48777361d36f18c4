"""Whether the process runs, and whether it can serve."""

import socket

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client, override_settings

from tests.service import free_port
from tests.valkey import valkey


def test_live_answers_without_the_database(client: Client) -> None:
    response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_answers_with_the_database(client: Client) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": "ok", "migrations": "ok"})


@pytest.mark.django_db
def test_ready_is_503_while_a_migration_is_missing(client: Client) -> None:
    last = MigrationRecorder.Migration.objects.filter(app="analytics").order_by("name").last()
    assert last is not None
    last.delete()
    response = client.get("/health/ready")
    assert (response.status_code, response.json()["migrations"]) == (503, "missing")


@pytest.mark.django_db
def test_ready_does_not_mind_a_migration_of_a_newer_release(client: Client) -> None:
    MigrationRecorder(connection).record_applied("devices", "9999_of_tomorrow")
    assert client.get("/health/ready").status_code == 200


@pytest.mark.django_db
def test_ready_tells_of_a_broker_that_answers(client: Client) -> None:
    with valkey() as url, override_settings(BROKER_URL=url):
        response = client.get("/health/ready")
    assert (response.status_code, response.json()["broker"]) == (200, "ok")


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_ready_tells_of_a_broker_that_is_away_and_stays_ready(client: Client, scheme: str) -> None:
    with override_settings(BROKER_URL=f"{scheme}://127.0.0.1:{free_port()}/0"):
        response = client.get("/health/ready")
    assert (response.status_code, response.json()["broker"]) == (200, "no answer")


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_ready_does_not_wait_for_a_broker_that_says_nothing(client: Client, scheme: str) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, override_settings(BROKER_URL=f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0"):
        response = client.get("/health/ready")
    assert (response.status_code, response.json()["broker"]) == (200, "no answer")


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
    assert int(response["Retry-After"]) > 0
    assert "10.0.0.7" not in response.content.decode()
