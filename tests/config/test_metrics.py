"""What `/metrics` tells, to whom, and that several processes tell it together."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections
from django.test import Client, override_settings
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from analytics.building import build
from analytics.models import Analysis
from config import metrics
from devices.models import Device
from tests.helpers import client_of_device, fields, send
from tests.service import Service, serving
from users.models import User

TOKEN = "a-token-of-thirty-two-characters-and-more"
DASHBOARD = json.loads((Path(__file__).resolve().parents[2] / "deploy" / "grafana-dashboard.json").read_text())
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def scraped(client: Client) -> Samples:
    with override_settings(METRICS_TOKEN=TOKEN):
        response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    return parsed(response.content.decode())


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0)


class Difference:
    """What was counted since this was made."""

    def __init__(self, client: Client) -> None:
        self.client, self.before = client, scraped(client)

    def of(self, name: str, **labels: str) -> float:
        return value(scraped(self.client), name, **labels) - value(self.before, name, **labels)

    def readings(self) -> tuple[float, float, dict[str, float]]:
        """Accepted, duplicates, and rejected by code."""
        now = scraped(self.client)
        rejected = {
            dict(labels)["code"]: now[name, labels] - self.before.get((name, labels), 0)
            for name, labels in now
            if name == "monitoring_readings_rejected_total"
        }
        return (
            self.of("monitoring_readings_accepted_total"),
            self.of("monitoring_readings_duplicate_total"),
            {code: number for code, number in rejected.items() if number},
        )


@pytest.fixture
def counted(client: Client, db: None) -> Difference:
    return Difference(client)


# Who may read it


def test_without_a_token_of_its_own_it_is_not_there(client: Client) -> None:
    assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize("sent", ["", TOKEN, "Bearer ", f"Bearer {TOKEN}x", f"bearer {TOKEN}", "Bearer \udce4"])
@override_settings(METRICS_TOKEN=TOKEN)
def test_without_the_token_it_is_401(client: Client, sent: str) -> None:
    response = client.get("/metrics", HTTP_AUTHORIZATION=sent)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert b"monitoring_" not in response.content


@override_settings(METRICS_TOKEN=TOKEN)
def test_a_session_of_a_superuser_is_no_token(client: Client, superuser: User) -> None:
    client.force_login(superuser)
    assert client.get("/metrics").status_code == 401


# Readings


def test_a_batch_counts_as_its_receipt_says(counted: Difference, api: APIClient, device: Device) -> None:
    rows = [fields(1), fields(1), fields(2), fields(3, x="much"), fields(4, y=1e16)]
    send(api, "POST", f"/api/v1/devices/{device.pk}/readings/", [fields(2)])
    receipt = send(api, "POST", f"/api/v1/devices/{device.pk}/readings/?partial=true", rows).json()
    accepted, duplicates, rejected = counted.readings()
    assert (accepted, duplicates) == (1 + receipt["created"], receipt["duplicates"])
    assert sum(rejected.values()) == receipt["rejected_count"]
    assert set(rejected) == {row["code"] for row in receipt["rejected"]}


def test_the_good_rows_of_a_refused_batch_count_as_rejected_with_it(
    counted: Difference, api: APIClient, device: Device
) -> None:
    send(api, "POST", f"/api/v1/devices/{device.pk}/readings/", [fields(1), fields(2), {**fields(3), "more": 1}])
    assert counted.readings() == (0, 0, {"refused_with_batch": 2, "unknown_field": 1})


def test_a_device_that_sends_its_reading_twice_counts_as_one_and_a_duplicate(
    counted: Difference, device: Device
) -> None:
    sender = client_of_device(device)
    for _ in range(2):
        send(sender, "POST", f"/api/v1/devices/{device.pk}/readings/", fields(1))
    assert counted.readings() == (1, 1, {})


def test_a_bad_reading_counts_as_one_however_many_faults_it_has(counted: Difference, device: Device) -> None:
    send(client_of_device(device), "POST", f"/api/v1/devices/{device.pk}/readings/", {"x": "a", "y": "b", "z": "c"})
    accepted, duplicates, rejected = counted.readings()
    assert (accepted, duplicates, sum(rejected.values())) == (0, 0, 1)


def test_rows_of_unknown_devices_count_as_rejected(counted: Difference, api: APIClient, device: Device) -> None:
    rows = [{**fields(1), "device": device.pk}, {**fields(1), "device": 10**9}]
    send(api, "POST", "/api/v1/readings/?partial=true", rows)
    assert counted.readings() == (1, 0, {"unknown_device": 1})


# Requests


def test_requests_count_by_the_name_of_their_view(counted: Difference, api: APIClient, device: Device) -> None:
    api.get(f"/api/v1/devices/{device.pk}/")
    api.get("/api/v1/devices/999999/")
    labels = {"method": "GET", "view": "device-detail"}
    assert counted.of("monitoring_http_requests_total", **labels, status="200") == 1
    assert counted.of("monitoring_http_requests_total", **labels, status="404") == 1
    assert counted.of("monitoring_http_request_seconds_count", view="device-detail") == 2


def test_paths_and_methods_that_nobody_knows_make_no_labels_of_their_own(counted: Difference, client: Client) -> None:
    client.generic("BREW", "/coffee/1")
    client.get("/coffee/2")
    assert counted.of("monitoring_http_requests_total", method="other", view="none", status="404") == 1
    assert counted.of("monitoring_http_requests_total", method="GET", view="none", status="404") == 1


# What the database knows


def test_analyses_are_told_by_status(client: Client, alice: User, device: Device) -> None:
    for status in ("pending", "failed", "failed"):
        Analysis.objects.create(
            requested_by=alice, device=device, parameters={}, fingerprint=f"{status}{Analysis.objects.count()}",
            status=status,
        )  # fmt: skip
    samples = scraped(client)
    found = {status: value(samples, "monitoring_analyses", status=status) for status in Analysis.Status.values}
    assert found == {"pending": 1, "failed": 2, "running": 0, "succeeded": 0, "cancelled": 0}


def test_the_lag_is_that_of_a_device_whose_old_readings_nobody_closed(
    client: Client, api: APIClient, device: Device, other_device: Device
) -> None:
    Device.objects.filter(pk=device.pk).update(created_at=datetime.now(UTC) - timedelta(days=3))
    assert value(scraped(client), "monitoring_rollup_lag_seconds") == 0
    send(api, "POST", f"/api/v1/devices/{device.pk}/readings/", [fields(1)])
    assert value(scraped(client), "monitoring_rollup_lag_seconds") // 3600 == 72


def test_the_lag_is_about_an_hour_behind_a_builder(client: Client, api: APIClient, device: Device) -> None:
    send(api, "POST", f"/api/v1/devices/{device.pk}/readings/", [fields(1)])
    for _ in build(device, datetime.now(UTC)):
        pass
    assert 0 < value(scraped(client), "monitoring_rollup_lag_seconds") <= 70 * 60 + 60


@pytest.mark.django_db
def test_without_the_database_it_tells_what_it_counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("away")

    assert value(scraped(client), "monitoring_database_up") == 1
    monkeypatch.setattr(metrics, "_bound_statements", fail)
    samples = scraped(client)
    assert value(samples, "monitoring_database_up") == 0
    assert ("monitoring_readings_accepted_total", frozenset()) in samples


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no pool")
@pytest.mark.django_db
def test_the_connections_of_the_pool_are_told(client: Client) -> None:
    pool = connections[DEFAULT_DB_ALIAS].pool  # type: ignore[attr-defined]
    assert value(scraped(client), "monitoring_database_pool_max") == pool.max_size
    assert value(scraped(client), "monitoring_database_pool_used") >= 1  # this test's own


# The dashboard


def test_every_metric_of_the_dashboard_exists(client: Client, db: None) -> None:
    with override_settings(METRICS_TOKEN=TOKEN):
        text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    families = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    exist = {name for name, _ in families} | {f"{name}_bucket" for name, kind in families if kind == "histogram"}
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    named = {name for expression in expressions for name in re.findall(r"\bmonitoring_\w+", expression)}
    assert len(expressions) > 10
    assert named <= exist


def test_the_dashboard_shows_every_metric_of_ours(client: Client, db: None) -> None:
    families = {name for name, _ in scraped(client) if name.startswith("monitoring_")}
    own = {re.sub(r"_(created|sum|count)$", "", name) for name in families}
    shown = json.dumps(DASHBOARD)
    assert [name for name in sorted(own) if name not in shown] == []


# Several processes


def metrics_of(service: Service) -> Samples:
    request = Request(f"{service.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urlopen(request, timeout=30) as response:
        return parsed(response.read().decode())


def post(service: Service, path: str, who: str, body: Any) -> None:
    headers = {"Authorization": who, "Content-Type": "application/json"}
    urlopen(Request(f"{service.url}{path}", json.dumps(body).encode(), headers), timeout=30).close()


def test_all_processes_count_together_and_go_on_after_one_is_replaced() -> None:
    with serving(METRICS_TOKEN=TOKEN, GUNICORN_CMD_ARGS="--workers 3 --max-requests 20") as service:
        account = service.create_account()
        path, first_workers = f"/api/v1/devices/{account.device_id}/readings/", set(service.workers())
        with ThreadPoolExecutor(8) as executor:
            send_one = lambda n: post(service, path, f"Device {account.key}", fields(n % 90))  # noqa: E731
            list(executor.map(send_one, range(120)))
        told = {
            tuple(value(metrics_of(service), f"monitoring_readings_{kind}_total") for kind in ("accepted", "duplicate"))
            for _ in range(10)
        }
        assert told == {(90, 30)}
        assert set(service.workers()) != first_workers
