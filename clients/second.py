"""The main calls with a client of another generator, openapi-generator: what holds for two holds for more.

openapi-generator-cli generate -i schema.yaml -g python --package-name second_client -o second
PYTHONPATH=second SERVICE_URL=… SERVICE_USERNAME=… SERVICE_PASSWORD=… python clients/second.py
"""

import os
import time
from datetime import UTC, datetime, timedelta

from second_client import (
    AnalysesApi,
    AnalysisParametersRequest,
    AnalysisStatus,
    AnalyticsApi,
    ApiClient,
    Configuration,
    CredentialsRequest,
    DeviceRequest,
    DevicesApi,
    NewReadingRequest,
    NewReadingsRequest,
    Problem,
    ReadingRequest,
    ReadingsApi,
    SignInApi,
)
from second_client.exceptions import BadRequestException

URL = os.environ["SERVICE_URL"]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = (AnalysisStatus.PENDING, AnalysisStatus.RUNNING)


def connect(**keys: str) -> ApiClient:
    configuration = Configuration(URL, api_key=keys)
    configuration.datetime_format = "%Y-%m-%dT%H:%M:%S.%fZ"  # of UTC; by itself it writes +0000, which is not RFC 3339
    return ApiClient(configuration)


def main() -> None:
    credentials = CredentialsRequest(username=os.environ["SERVICE_USERNAME"], password=os.environ["SERVICE_PASSWORD"])
    token = SignInApi(connect()).auth_token_create(credentials)
    person = connect(token=f"Token {token.token}")
    device = DevicesApi(person).devices_create(DeviceRequest(name=f"Pump {time.time_ns()}"))
    print("created:", device.owner, device.is_active)
    sender = connect(deviceKey=f"Device {device.key}")
    send(ReadingsApi(sender), device.id)
    page = ReadingsApi(sender).devices_readings_list(device.id, page_size=100)
    print("listed:", len(page.results), page.next is not None)
    until = NEW_YEAR + timedelta(seconds=100)
    summary = AnalyticsApi(sender).devices_analytics_retrieve(device.id, start_time=NEW_YEAR, end_time=until)
    print("analytics:", summary.count, summary.x.median)
    analyse(AnalysesApi(person), device.id)
    read_a_problem(ReadingsApi(sender), device.id)


def send(readings: ReadingsApi, device_id: int) -> None:
    one = NewReadingRequest(recorded_at=NEW_YEAR, x=0.0, y=0.5, z=9.81)
    readings.devices_readings_create(device_id, NewReadingsRequest(one))
    many = [ReadingRequest(recorded_at=NEW_YEAR + timedelta(seconds=n), x=float(n), y=0.5, z=9.81) for n in range(250)]
    receipt = readings.devices_readings_create(device_id, NewReadingsRequest(many)).actual_instance
    print("sent:", receipt.received, receipt.created, receipt.duplicates)


def analyse(analyses: AnalysesApi, device_id: int) -> None:
    analysis = analyses.devices_analyses_create(device_id, AnalysisParametersRequest())
    while analysis.status in OPEN:
        time.sleep(0.2)
        analysis = analyses.analyses_retrieve(analysis.id)
    print("analysis:", analysis.status.value, analysis.result.actual_instance.count)


def read_a_problem(readings: ReadingsApi, device_id: int) -> None:
    question = AnalyticsApi(readings.api_client)
    try:
        question.devices_analytics_retrieve(device_id, percentiles="101")
    except BadRequestException as error:
        problem = Problem.from_json(error.body)
        print("problem:", problem.status, problem.errors[0].pointer, problem.errors[0].code)


if __name__ == "__main__":
    main()
