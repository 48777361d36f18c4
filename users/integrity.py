"""What an error of the database means: two requests at once that a constraint kept apart, or a fault that passes."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Model
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError

# PostgreSQL: lost connections, rollbacks that a repetition may not meet, resources (disk, memory, connections),
# operators (shutdown, timeouts), and the system's input and output.
PASSING_CLASSES = {"08", "40", "53", "57", "58"}
PASSING_STATES = {"25006", "25P03", "55P03"}  # read-only, idle for too long in a transaction, a lock not had in time
PASSING_ON_SQLITE = tuple(
    f"SQLITE_{name}"
    for name in ("BUSY", "LOCKED", "FULL", "READONLY", "IOERR", "CANTOPEN", "NOMEM", "PROTOCOL", "INTERRUPT")
)


def is_passing(error: BaseException | None) -> bool:
    """Whether an error is one of the database's that may be over when the sender tries again.

    By its code, for its class does not tell: a read-only server is an "internal" error to psycopg, and to sqlite3 a
    table that is missing is as "operational" as a full disk.
    """
    cause = getattr(error, "__cause__", None)
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return state[:2] in PASSING_CLASSES or state in PASSING_STATES
    if (name := getattr(cause, "sqlite_errorname", None)) is not None:
        return bool(name.startswith(PASSING_ON_SQLITE))
    return isinstance(error, OperationalError | InterfaceError)  # the client's own: no connection, or no longer


def is_about_a_missing_row(error: IntegrityError) -> bool:
    """Whether a foreign key refused: what the new row belongs to was deleted meanwhile."""
    cause = error.__cause__
    return (
        getattr(cause, "sqlstate", None) == "23503"  # PostgreSQL's foreign_key_violation
        or getattr(cause, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_FOREIGNKEY"
    )


@contextmanager
def unique_or_invalid(field: str) -> Iterator[None]:
    """Let the unique constraint decide, also between two requests at once, and answer 400 `unique` on the field."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if is_about_a_missing_row(error):
            raise
        raise ValidationError({field: ErrorDetail(f"This {field} is already taken.", "unique")}) from None


def save_changes(instance: Model, changes: dict[str, object]) -> None:
    """Write the changed columns alone; NotFound if the row is gone. A plain `save()` would insert it again."""
    for name, value in changes.items():
        setattr(instance, name, value)
    try:
        instance.save(update_fields=list(changes))
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # Django's own is for an update that met no row
            raise
        raise NotFound from None
