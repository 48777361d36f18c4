"""One reading on its way in: which fields it has, and what is wrong with them. Knows no database."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from rest_framework.exceptions import ErrorDetail

from devices import values

Faults = dict[str, list[ErrorDetail]]  # by the name of the field
WHOLE_ROW = "non_field_errors"
FAULTS_LISTED = 100  # an answer names the first of them; of the others not even the reasons are kept

Checks = Mapping[str, Callable[[Any], Any]]  # a field's name to what checks its value, or raises InvalidValue

CHECKS: Checks = {
    "device": values.identifier,
    "recorded_at": values.time,
    "x": values.number,
    "y": values.number,
    "z": values.number,
}
OWN_FIELDS = ("recorded_at", "x", "y", "z")  # of a reading where the device is known


class Row(NamedTuple):
    """A checked reading. Rows sort by the primary key of the table."""

    device_id: int
    recorded_at: datetime
    x: float
    y: float
    z: float


class InvalidRow(Exception):
    """A row that is refused, with all of its faults."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.faults = faults


def check(fields: Any, device_id: int | None, checks: Checks = CHECKS) -> Row:
    """The reading in a decoded object; raises InvalidRow with every fault that it has.

    With a `device_id` the object is a reading of that device, and has no field of that name.
    """
    if not isinstance(fields, dict):
        raise InvalidRow(fault(WHOLE_ROW, "not_an_object", "A reading must be an object with recorded_at, x, y and z."))
    names = OWN_FIELDS if device_id is not None else ("device", *OWN_FIELDS)
    faults: Faults = {}
    for name in islice(fields.keys() - names, FAULTS_LISTED):
        faults |= fault(name, "unknown_field", "There is no such field here.")
    checked: dict[str, Any] = {"device": device_id}
    for name in names:
        try:
            checked[name] = checks[name](fields[name])
        except KeyError:
            faults |= fault(name, "required", "This field is required.")
        except values.InvalidValue as error:
            faults |= fault(name, error.code, error.detail)
    if faults:
        raise InvalidRow(faults)
    return Row(*checked.values())


def sendable(text: str) -> str:
    """A text that can be sent back: half a surrogate pair, as a JSON body may name one, is no Unicode."""
    return text.encode(errors="replace").decode()


def fault(field: str, code: str, detail: str) -> Faults:
    return {field: [ErrorDetail(detail, code)]}
