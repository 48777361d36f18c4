"""The cells of CSV: of all lines at once, and of one line after the other where something is wrong."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence

from rest_framework.exceptions import ErrorDetail, ValidationError

from devices.columns import NotSimple
from devices.rows import WHOLE_ROW, InvalidRow, fault

csv.field_size_limit(2**31 - 1)  # a body has its own limit; a long cell is refused for what is in it
BOM = "\ufeff"


def header(line: bytes, expected: Iterable[str]) -> list[str]:
    """The names in the first line of a CSV, in their order; ValidationError unless they are the expected ones."""
    names = [name.strip() for name in _cells(line.decode(errors="replace").removeprefix(BOM)) or ()]
    missing, unknown = set(expected) - set(names), set(names) - set(expected)
    faults = {name: ErrorDetail("This column is missing.", "missing_column") for name in missing}
    faults |= {name: ErrorDetail("There is no such column here.", "unknown_field") for name in unknown}
    if faults:
        raise ValidationError(faults)
    if len(names) > len(set(names)):
        raise ValidationError(ErrorDetail("A column is there twice.", "duplicate_column"))
    return names


def columns(
    body: bytes, names: Sequence[str], check_number: Callable[[int], None] = lambda number: None
) -> dict[str, Sequence[str]]:
    """The cells of a body without its header, by column; NotSimple where a line is not as it should be.

    `check_number` may refuse the number of rows before they are taken apart.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise NotSimple from None
    text = text.replace("\r\n", "\n")
    if '"' in text or "\r" in text:
        raise NotSimple
    lines = [line for line in text.split("\n") if line]
    if any(line.count(",") != len(names) - 1 for line in lines):
        raise NotSimple
    check_number(len(lines))
    cells = (line.split(",") for line in lines)
    return dict(zip(names, zip(*cells, strict=True), strict=True)) if lines else dict.fromkeys(names, ())


def numbers(cells: dict[str, Sequence[str]]) -> list[list[float]]:
    """The numbers of a CSV, which may yet be too large; NotSimple for what only Python takes for a number."""
    together = "".join("".join(cells[axis]) for axis in "xyz")
    if "_" in together or not together.isascii():
        raise NotSimple
    try:
        return [list(map(float, cells[axis])) for axis in "xyz"]
    except ValueError:
        raise NotSimple from None


def rows(lines: Iterable[bytes], names: Sequence[str]) -> Iterator[dict[str, str] | InvalidRow | None]:
    """Each line as its fields, or as what is wrong with it; None for a blank one.

    Each is read by itself, so that an open quote spoils no other. A byte that is no UTF-8 is refused in its field.
    """
    for line in lines:
        if not line.strip():
            yield None
            continue
        cells = _cells(line.decode(errors="surrogateescape"))
        if cells is None:
            yield InvalidRow(fault(WHOLE_ROW, "invalid_csv", "The quotes in this line do not match."))
        elif len(cells) == len(names):
            yield dict(zip(names, cells, strict=True))
        else:
            yield InvalidRow(fault(WHOLE_ROW, "invalid_csv", f"{len(cells)} columns in place of {len(names)}."))


def _cells(line: str) -> list[str] | None:
    """The cells of one line; None where quotes don't match."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return None
