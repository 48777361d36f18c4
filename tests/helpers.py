"""Short words for what many tests do."""

import json
from typing import Any

from knox.models import AuthToken
from rest_framework.test import APIClient

from devices import ingest
from devices.columns import Columns
from devices.models import Device, DeviceKey
from devices.rows import Row
from tests.bodies import NEW_YEAR, at, fields
from users.models import User

__all__ = ["NEW_YEAR", "at", "client_of", "client_of_device", "codes", "fields", "send", "store_rows", "stored"]


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {AuthToken.objects.create(user)[1]}")
    return client


def client_of_device(device: Device) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Device {DeviceKey.issue(device)[1]}")
    return client


def stored(device: Device, *values: tuple[float, float, float, float]) -> None:
    """Readings of a device, each as seconds after the new year and x, y, z."""
    store_rows([Row(device.pk, at(seconds), float(x), float(y), float(z)) for seconds, x, y, z in values])


def store_rows(rows: list[Row]) -> int:
    return ingest.store(Columns.of_rows(rows))


def send(api: APIClient, method: str, path: str, body: Any) -> Any:
    """A JSON body as many senders write it: with NaN, Infinity and half surrogate pairs, which are no JSON."""
    return api.generic(method, path, json.dumps(body), content_type="application/json")


def codes(response: Any) -> dict[str, str]:
    """The faults of a problem: pointer to code."""
    assert response["Content-Type"] == "application/problem+json", response.content
    return {error["pointer"]: error["code"] for error in response.json()["errors"]}
