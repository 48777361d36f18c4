"""The generated Python client at work: from signing in to a problem, read by its code.

make clients
export SERVICE_URL=http://127.0.0.1:8000 SERVICE_USERNAME=alice SERVICE_PASSWORD=…
PYTHONPATH=clients/generated/python python clients/example.py
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from device_monitoring import AuthenticatedClient, Client
from device_monitoring.api.analyses import analyses_retrieve, devices_analyses_create
from device_monitoring.api.analytics import devices_analytics_retrieve
from device_monitoring.api.devices import devices_create
from device_monitoring.api.readings import devices_readings_create, devices_readings_list
from device_monitoring.api.sign_in import auth_token_create
from device_monitoring.models import (
    Analysis,
    AnalysisParametersRequest,
    AnalysisStatus,
    CredentialsRequest,
    DeviceRequest,
    DeviceSummary,
    Interval,
    NewDevice,
    NewReadingRequest,
    PaginatedReadingList,
    Problem,
    Reading,
    ReadingRequest,
    Receipt,
    Token,
)
from device_monitoring.types import UNSET, Unset

URL = os.environ["SERVICE_URL"]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = (AnalysisStatus.PENDING, AnalysisStatus.RUNNING)


def main() -> None:
    person = sign_in()
    device = create_device(person)
    sender = AuthenticatedClient(URL, token=device.key, prefix="Device")
    send(sender, device.id)
    print("paged:", sum(1 for _ in pages(sender, device.id)))
    summarize(sender, device.id)
    analyse(person, device.id)
    read_a_problem(sender, device.id)


def sign_in() -> AuthenticatedClient:
    credentials = CredentialsRequest(os.environ["SERVICE_USERNAME"], os.environ["SERVICE_PASSWORD"])
    token = auth_token_create.sync(client=Client(URL), body=credentials)
    assert isinstance(token, Token), token
    return AuthenticatedClient(URL, token=token.token, prefix="Token")


def create_device(person: AuthenticatedClient) -> NewDevice:
    device = devices_create.sync(client=person, body=DeviceRequest(f"Pump {time.time_ns()}", expected_interval=1.0))
    assert isinstance(device, NewDevice), device
    print("created:", device.owner, device.is_active)
    return device


def send(sender: AuthenticatedClient, device_id: int) -> None:
    one = NewReadingRequest(x=0.0, y=0.5, z=9.81, recorded_at=NEW_YEAR)
    reading = devices_readings_create.sync(device_id, client=sender, body=one)
    assert isinstance(reading, Reading), reading
    many = [ReadingRequest(NEW_YEAR + timedelta(seconds=n), float(n), 0.5, 9.81) for n in range(250)]
    receipt = devices_readings_create.sync(device_id, client=sender, body=many)
    assert isinstance(receipt, Receipt), receipt
    print("sent:", receipt.received, receipt.created, receipt.duplicates)


def pages(sender: AuthenticatedClient, device_id: int) -> Iterator[Reading]:
    cursor: str | Unset = UNSET
    while True:
        page = devices_readings_list.sync(device_id, client=sender, cursor=cursor, page_size=100)
        assert isinstance(page, PaginatedReadingList), page
        yield from page.results
        if page.next_ is None:
            return
        cursor = parse_qs(urlsplit(page.next_).query)["cursor"][0]


def summarize(sender: AuthenticatedClient, device_id: int) -> None:
    summary = devices_analytics_retrieve.sync(
        device_id, client=sender, start_time=NEW_YEAR, end_time=NEW_YEAR + timedelta(seconds=100), percentiles="99"
    )
    assert isinstance(summary, DeviceSummary), summary
    assert not isinstance(summary.x.percentiles, Unset)
    print("analytics:", summary.count, summary.x.median, summary.x.percentiles["99"])


def analyse(person: AuthenticatedClient, device_id: int) -> None:
    question = AnalysisParametersRequest(interval=Interval.DAY, timezone="Europe/Berlin")
    analysis = devices_analyses_create.sync(device_id, client=person, body=question)
    assert isinstance(analysis, Analysis), analysis
    while analysis.status in OPEN:
        time.sleep(0.2)
        analysis = analyses_retrieve.sync(analysis.id, client=person)
        assert isinstance(analysis, Analysis), analysis
    assert isinstance(analysis.result, DeviceSummary), analysis
    print("analysis:", analysis.status, analysis.result.count, analysis.result.x.max_)


def read_a_problem(sender: AuthenticatedClient, device_id: int) -> None:
    too_large = NewReadingRequest(x=1e16, y=0.0, z=0.0)
    problem = devices_readings_create.sync(device_id, client=sender, body=too_large)
    assert isinstance(problem, Problem), problem
    print("problem:", problem.status, problem.errors[0].pointer, problem.errors[0].code)


if __name__ == "__main__":
    main()
