"""What was refused of a device, and why: the last few, for a week, for the people who look after it.

Noted after the refused transaction is over. It may fail, and nobody is told; it holds the codes and places of ours
and nothing that was sent.
"""

import re
from contextlib import suppress
from typing import Any

from django.core.cache import caches
from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from devices.models import Refusal
from devices.principals import DevicePrincipal
from devices.rows import CHECKS

KEPT_OF_EACH = 20
SECONDS_BETWEEN = 1  # of one device, in each process: who sends nothing but rubbish has it noted now and then
NOTED_STATUSES = {400, 403, 413, 415}
KNOWN_PLACE = re.compile(rf"(/[0-9]{{1,10}})?(/({'|'.join(CHECKS)}))?", re.ASCII)
OTHER_PLACE = "(a field that there is not)"


def note(request: Request, response: Response, device_id: int | None) -> None:
    """Keep that an answer refused readings of a device or, without one, those of a sender of many."""
    if response.status_code not in NOTED_STATUSES:
        return
    told = _told(response)
    if response.status_code == 403 and told["code"] != "device_inactive":
        return
    caller = request.user
    by_key = isinstance(caller, DevicePrincipal)
    owner = {"device_id": caller.device.pk if by_key else device_id}
    if owner["device_id"] is None:
        owner["sender_id"] = caller.pk
    if caches["process"].add(f"refusal:{owner}", True, SECONDS_BETWEEN):
        with suppress(DatabaseError, InterfaceError), transaction.atomic():
            sender_id = None if by_key else caller.pk
            Refusal.objects.create(**told | {"sender_id": sender_id} | owner, at=timezone.now(), size=_size(request))
            _keep_the_newest(owner)


def _told(response: Response) -> dict[str, Any]:
    """What the answer, a problem, says of the first fault. A wrong media type would be quoted in it."""
    errors = response.data["errors"]
    pointer, code, detail = (str(errors[0][name]) for name in ("pointer", "code", "detail"))
    return {
        "status": response.status_code,
        "faults": len(errors),
        "pointer": pointer if KNOWN_PLACE.fullmatch(pointer) else OTHER_PLACE,
        "code": code[:50],
        "detail": detail[:200] if response.status_code != 415 else "",
    }


def _size(request: Request) -> int:
    length = request.META.get("CONTENT_LENGTH") or ""
    return min(int(length), 2**62) if re.fullmatch("[0-9]{1,18}", length, re.ASCII) else 0


def _keep_the_newest(owner: dict[str, int | None]) -> None:
    theirs = Refusal.objects.filter(**owner)
    oldest = theirs.order_by("-at").values_list("at", flat=True)[KEPT_OF_EACH - 1 : KEPT_OF_EACH].first()
    if oldest is not None:
        theirs.filter(at__lt=oldest).delete()
