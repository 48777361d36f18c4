"""The reference of the single POST: what Django does at the least, through the same pool and the same middleware."""

import json

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def insert(request: HttpRequest) -> JsonResponse:
    """One parametrised INSERT of a JSON object; no authentication, no check."""
    reading = json.loads(request.body)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO devices_reading (device_id, recorded_at, x, y, z) VALUES (%s, %s, %s, %s, %s)",
            [1, reading["recorded_at"], reading["x"], reading["y"], reading["z"]],
        )
    return JsonResponse(reading, status=201)
