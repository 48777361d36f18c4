"""What a constraint of the database says about two requests at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Model
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError


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
