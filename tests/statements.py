"""The statements that the service sends to PostgreSQL, and whether each stays within one device.

What is distributed by device, see docs/scaling.md, is asked about one device wherever that is possible: such a
statement goes to one place, and may be anything that PostgreSQL knows. Those that concern several devices are listed,
each with its reason, in `statements.toml`; any other fails the run. `conftest.py` says when.
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import chain, product
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import sqlglot
from sqlglot import exp

from analytics.management.commands.distribute_readings import DEVICE, DISTRIBUTED

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_name("statements.toml")

PRODUCT = tuple(f"{ROOT / app}{os.sep}" for app in ("config", "analytics", "devices", "users"))
# Functions that send what others have written.
BETWEEN = {"of_each", "newest_times", "look_up", "_fetch", "Heartbeat._guard"}
OURS = (*PRODUCT, f"{ROOT / 'tests'}{os.sep}")
QUERIES = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
ABOUT_ROWS = (
    *QUERIES,
    "PREPARE",
    "COPY",
    "TRUNCATE",
    "LOCK",
)  # others are about a table as a whole, such as its indexes
MENTIONED = re.compile(rf"\b(?:{'|'.join(DISTRIBUTED)})\b")
ROW_LOCK = re.compile(r"\bFOR (NO KEY UPDATE|UPDATE|SHARE|KEY SHARE)\b")


def record(folder: Path) -> None:
    """From now on keep in a folder what this process sends to PostgreSQL, by whichever way: each statement once."""
    met: set[int] = set()  # hashes of texts: some are long
    kept: set[str] = set()

    def note(query: Any) -> None:
        text = query if isinstance(query, str) else str(query)
        if not MENTIONED.search(text) or hash(text) in met or not text.lstrip().startswith(ABOUT_ROWS):
            return
        # Native partitions and distributed tables exclude each other: what makes the ones is not asked of the others.
        if (origin := _origin()) is None or origin.startswith("devices/partitions.py"):
            return
        met.add(hash(text))
        if (statement := folded(text)) not in kept:
            kept.add(statement)
            with (folder / str(os.getpid())).open("a") as file:
                file.write(json.dumps([statement, origin]) + "\n")

    for cursor in (psycopg.Cursor, psycopg.ServerCursor):
        for name in {"execute", "executemany", "copy"} & vars(cursor).keys():
            setattr(cursor, name, _noting(note, getattr(cursor, name)))


def _noting(note: Callable[[Any], None], send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def noted(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        note(query)
        return send(cursor, query, *args, **kwargs)

    return noted


def _origin() -> str | None:
    """Which function of the service sends a statement; None where it is a test or a migration."""
    frame = sys._getframe(3)  # who has called the cursor
    while not frame.f_code.co_filename.startswith(OURS) or _name(frame) in BETWEEN:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    file = frame.f_code.co_filename
    if not file.startswith(PRODUCT) or "/migrations/" in file:
        return None
    return f"{Path(file).relative_to(ROOT)}: {_name(frame)}"


def _name(frame: FrameType) -> str:
    """Of the function, also from within a comprehension of it."""
    return frame.f_code.co_qualname.partition(".<locals>")[0]


def recorded(folder: Path) -> dict[str, str]:
    """What all processes have sent, each statement with a function that did."""
    lines = (line for file in sorted(folder.iterdir()) for line in file.read_text().splitlines())
    return dict(sorted(map(json.loads, lines), reverse=True))


FOLDS = [
    (r"--[^\n]*", ""),
    (r"\s+", " "),
    (r"'(?:[^']|'')*'", "$1"),
    (r"%[sbt]|\$\d+|(?<![\w\"$.])-?\d+(?:\.\d+)?(?:e-?\d+)?", "$1"),
    (r"\(VALUES (\([^()]+\))(?:, \1)+", r"(VALUES \1"),  # a table to join with, of however many rows
    (r"(\([^()]+\))(?:, \1)+", r"\1, \1"),
    (r"\bIN \(\$1\)", "= $1"),  # as PostgreSQL does by itself
    (r"\bIN \(\$1(?:, \$1)+\)", "IN ($1, $1)"),
    (r"^ ?PREPARE \w+ \([^()]*\) AS ", ""),
]


def folded(text: str) -> str:
    """A statement without its values: the same for any of them, and for any number of them from two on."""
    for pattern, replacement in FOLDS:
        text = re.sub(pattern, replacement, text)
    return text.strip()


def shown(text: str) -> str:
    """A folded statement as it is listed: without quotes, with x for any axis, and without long lists of columns."""
    tree = _parsed(text)
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("quoted", False)
        identifier.set("this", re.sub(r"^[yz](?=_|$)", "x", identifier.name))
    for node in tree.find_all(exp.Select, exp.Schema, exp.Tuple):
        if len(node.expressions) > 5:
            queries = [part for part in node.expressions if part.find(exp.Select)]
            node.set("expressions", [exp.Var(this="..."), *queries])
    return tree.sql(dialect="postgres").replace("$1", "?")


def _parsed(text: str) -> exp.Expr:
    """A query as a tree; anything else, such as a COPY, as it is."""
    if not text.startswith(QUERIES):
        return exp.Command(this=text)
    return sqlglot.parse_one(text, dialect="postgres")


# What a statement asks of the distributed tables

Cell = tuple[int, str]  # a table of a statement, by its node, and a column
ONE_VALUE: Cell = (0, "")


def crossing(text: str) -> list[str]:
    """The distributed tables that a folded statement does not narrow to one device."""
    tree = _parsed(text)
    if isinstance(tree, exp.Command):
        return sorted(set(MENTIONED.findall(text)))
    equal = _Equal()
    for one, other in chain(_compared(tree), _inserted(tree)):
        equal.join(one, other)
    tables = (table for table in tree.find_all(exp.Table) if table.name in DISTRIBUTED)
    return sorted({table.name for table in tables if not equal.are((id(table), DEVICE), ONE_VALUE)})


class _Equal:
    """Which cells have the same value, as far as equality is asked for."""

    def __init__(self) -> None:
        self.parents: dict[Cell, Cell] = {}

    def find(self, cell: Cell) -> Cell:
        while cell in self.parents:
            cell = self.parents[cell]
        return cell

    def join(self, one: Cell, other: Cell) -> None:
        if not self.are(one, other):
            self.parents[self.find(one)] = self.find(other)

    def are(self, one: Cell, other: Cell) -> bool:
        return self.find(one) == self.find(other)


def _compared(tree: exp.Expr) -> Iterator[tuple[Cell, Cell]]:
    """What has to be equal in each WHERE and ON, for a row to be met."""
    for condition in tree.find_all(exp.Where, exp.Join):
        asked = condition.this if isinstance(condition, exp.Where) else condition.args.get("on")
        for part in _all_of(asked):
            if isinstance(part, exp.EQ):
                yield from _pairs(part.left.unnest(), part.right.unnest())


def _all_of(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.And | exp.Paren):
        for part in condition.iter_expressions():
            yield from _all_of(part)
    elif condition is not None:
        yield condition


def _inserted(tree: exp.Expr) -> Iterator[tuple[Cell, Cell]]:
    """What an INSERT gives to the columns of its table, where that is one row or a SELECT."""
    for insert in tree.find_all(exp.Insert):
        source = insert.expression
        rows = source.expressions if isinstance(source, exp.Values) else [exp.Tuple(expressions=source.selects)]
        if len(rows) == 1:
            for column, value in zip(insert.this.expressions, rows[0].expressions, strict=False):
                for cell in _cells(value):
                    yield (id(insert.this.this), column.name), cell


def _pairs(left: exp.Expr, right: exp.Expr) -> Iterator[tuple[Cell, Cell]]:
    if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
        for one, other in zip(left.expressions, right.expressions, strict=True):
            yield from _pairs(one, other)
    else:
        yield from product(_cells(left), _cells(right))


def _cells(value: exp.Expr) -> Iterator[Cell]:
    """The cell that an expression is, if it is one."""
    if isinstance(value, exp.Parameter):
        yield ONE_VALUE
    elif isinstance(value, exp.Column) and (source := _source_of(value)) is not None:
        yield id(source), value.name


def _source_of(column: exp.Column) -> exp.Expr | None:
    """The table that a column is of: the nearest with its name or, without one, the only one around."""
    query = column.parent_select or column.find_ancestor(exp.Update, exp.Delete)
    while query is not None:
        sources = {source.alias_or_name: source for source in _sources(query)}
        if column.table in sources:
            return sources[column.table]
        if not column.table:
            return next(iter(sources.values())) if len(sources) == 1 else None
        query = query.find_ancestor(exp.Select, exp.Update, exp.Delete)
    return None


def _sources(query: exp.Expr) -> Iterator[exp.Expr]:
    """What a query reads or changes, without what is within its subqueries."""
    kinds = exp.Table | exp.Subquery | exp.Lateral | exp.Values
    for node in query.walk(prune=lambda node: node is not query and isinstance(node, exp.Query | exp.Lateral)):
        if isinstance(node, kinds) and isinstance(node.parent, exp.From | exp.Join | exp.Update | exp.Delete):
            yield node


# What is listed


def listed() -> dict[str, dict[str, str]]:
    """The statements that may concern several devices, each with where it is sent, why it may, and what Citus does."""
    return {entry["sql"]: entry for entry in tomllib.loads(LIST.read_text()).get("statement", [])}


def faults(sent: dict[str, str]) -> Iterator[str]:
    """What concerns several devices and locks rows, or is not listed: then as it would be."""
    told = set(listed())
    for text, origin in sent.items():
        if crossing(text) and ROW_LOCK.search(text):
            yield f"{origin} locks rows of several devices: {shown(text)}"
        elif crossing(text) and shown(text) not in told:
            told.add(shown(text))
            yield f'[[statement]]\nfrom = "{origin}"\nsql = """{shown(text)}"""\nwhy = ""\ncitus = ""'


def no_longer_sent(sent: dict[str, str]) -> set[str]:
    return listed().keys() - {shown(text) for text in sent}
