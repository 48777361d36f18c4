"""What was refused of a device, and why: the last few, for a week, for the people who look after it.

Noted after the refused transaction is over, by a write that waits for nobody: it may fail, and then nobody is told.
It holds the codes, places and sentences of the answer, and nothing that was sent.
"""

import re
from contextlib import suppress
from typing import Any

from django.core.cache import caches
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from devices.models import Refusal
from devices.principals import DevicePrincipal
from devices.rows import CHECKS
from devices.transactions import without_waiting

KEPT_OF_EACH = 20  # of a device, or of a sender of batches for many
SECONDS_BETWEEN = 1  # of one device, in each process: who sends nothing but rubbish has it noted now and then
NOTED_STATUSES = {400, 403, 413, 415}
KNOWN_PLACE = re.compile(rf"(/[0-9]{{1,10}})?(/({'|'.join(CHECKS)}))?", re.ASCII)
OTHER_PLACE = "(a field that there is not)"


def note(request: Request, response: Response, device_id: int | None) -> None:
    """Keep what an answer tells of refused readings: of a device or, without one, of a sender for many."""
    told = _told(response)
    if told is None:
        return
    caller: Any = request.user
    by_key = isinstance(caller, DevicePrincipal)
    device_id = caller.device.pk if by_key else device_id
    sender_id = None if by_key else caller.pk
    whose = {"device_id": device_id} if device_id is not None else {"device_id": None, "sender_id": sender_id}
    if caches["process"].add(f"refusal:{device_id}:{sender_id}", True, SECONDS_BETWEEN):
        with suppress(DatabaseError, InterfaceError), without_waiting():
            Refusal.objects.create(**told | {"sender_id": sender_id} | whose, at=timezone.now(), size=_size(request))
            _keep_the_newest(whose)


def _told(response: Response) -> dict[str, Any] | None:
    """What the answer, a problem or a receipt, says of the first fault; None where it refused no readings."""
    if not response.exception:
        return _of_receipt(response) if (response.data or {}).get("rejected_count") else None
    errors = response.data["errors"]
    first = {name: str(errors[0][name]) for name in ("pointer", "code", "detail")}
    if response.status_code not in NOTED_STATUSES or first["code"] == "permission_denied":
        return None
    if response.status_code == 415:
        first["detail"] = ""  # which quotes what was sent
    return _fields(response, len(errors), **first)


def _of_receipt(response: Response) -> dict[str, Any]:
    first = response.data["rejected"][0]
    pointer = f"/{first['index']}/{first['field']}".rstrip("/")
    return _fields(response, response.data["rejected_count"], pointer, str(first["code"]), str(first["detail"]))


def _fields(response: Response, faults: int, pointer: str, code: str, detail: str) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "faults": faults,
        "pointer": pointer if KNOWN_PLACE.fullmatch(pointer) else OTHER_PLACE,
        "code": code[:50],
        "detail": detail[:200],
    }


def _size(request: Request) -> int:
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if re.fullmatch("[0-9]{1,18}", length, re.ASCII) else 0


def _keep_the_newest(whose: dict[str, int | None]) -> None:
    theirs = Refusal.objects.filter(**whose)
    oldest = theirs.order_by("-at").values_list("at", flat=True)[KEPT_OF_EACH - 1 : KEPT_OF_EACH].first()
    if oldest is not None:
        theirs.filter(at__lt=oldest).delete()
