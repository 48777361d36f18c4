"""One reading on its way in: which fields it has, and what is wrong with them. Knows no database."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from rest_framework.exceptions import ErrorDetail

from devices import values

Faults = dict[str, list[ErrorDetail]]  # by the name of the field
WHOLE_ROW = "non_field_errors"

CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "recorded_at": values.time,
    "x": values.number,
    "y": values.number,
    "z": values.number,
}


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


def check(device_id: int, fields: Any, checks: Mapping[str, Callable[[Any], Any]] = CHECKS) -> Row:
    """The reading of a device in a decoded object; raises InvalidRow with every fault that it has."""
    if not isinstance(fields, dict):
        raise InvalidRow(fault(WHOLE_ROW, "not_an_object", "A reading must be an object with recorded_at, x, y and z."))
    faults: Faults = {}
    for name in fields.keys() - checks.keys():
        faults |= fault(name, "unknown_field", "There is no such field here.")
    checked: dict[str, Any] = {}
    for name, checked_value in checks.items():
        try:
            checked[name] = checked_value(fields[name])
        except KeyError:
            faults |= fault(name, "required", "This field is required.")
        except values.InvalidValue as error:
            faults |= fault(name, error.code, error.detail)
    if faults:
        raise InvalidRow(faults)
    return Row(device_id, **checked)


def fault(field: str, code: str, detail: str) -> Faults:
    return {field: [ErrorDetail(detail, code)]}
