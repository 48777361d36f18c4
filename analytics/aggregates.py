"""Aggregates that every database answers alike."""

import math
import sqlite3
from typing import Any

from django.db.models import FloatField, Sum

SMALLEST_DOUBLE = "5e-324::numeric"


class AccurateSum(Sum):
    """The sum of doubles to 1e-12 of the sum of their magnitudes, however many there are.

    A database adds doubles one after the other, and the rounding errors add up: ten million times 0.1 is off by
    1.6e-10. PostgreSQL's `numeric` keeps 15 digits of each value and adds without error; SQLite, whose own SUM is
    compensated only from 3.43 on, is given `FloatSum`.
    """

    output_field = FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        total = "%(function)s((%(expressions)s)::numeric)"
        # What is left of values that cancel may be smaller than any double, and such a cast would be an error.
        template = f"CASE WHEN abs({total}) < {SMALLEST_DOUBLE} / 2 THEN 0 ELSE {total}::float8 END"
        return super().as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, function="FLOAT_SUM", **context)


class FloatSum:
    """SQLite's aggregate FLOAT_SUM: `math.fsum` over blocks, so that memory stays flat."""

    BLOCK = 4096

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float | None) -> None:
        if value is None:
            return
        self.values.append(value)
        if len(self.values) == self.BLOCK:
            self.values = [math.fsum(self.values)]

    def finalize(self) -> float | None:
        return math.fsum(self.values) if self.values else None


def register_sqlite_aggregates(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`."""
    if connection.vendor == "sqlite":
        database: sqlite3.Connection = connection.connection
        database.create_aggregate("FLOAT_SUM", 1, FloatSum)  # type: ignore[arg-type]  # None may come too
