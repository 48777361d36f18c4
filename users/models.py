"""Who uses the service."""

from typing import Any, ClassVar, Self, TypeAlias

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models, transaction
from knox.models import AuthToken

Caller: TypeAlias = "AbstractUser | AnonymousUser"


class UserQuerySet(models.QuerySet["User"]):
    def visible_to(self, user: Caller) -> Self:
        """Staff see every account, a user their own, anybody else none."""
        if not user.is_authenticated:
            return self.none()
        return self if user.is_staff else self.filter(pk=user.pk)


class UserManager(DjangoUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def visible_to(self, user: Caller) -> UserQuerySet:
        return self.get_queryset().visible_to(user)

    def locked(self, pk: int) -> "User | None":
        """The account as it is now, which nobody else changes before the transaction ends; None if there is none."""
        return self.select_for_update().filter(pk=pk).first()


class User(AbstractUser):
    """An account. A changed password, through whichever door, revokes all of its tokens."""

    objects: ClassVar[UserManager] = UserManager()
    _password: str | None  # Django's: the raw password of `set_password` until it is saved; None for a mere new hash

    def save(self, *args: Any, **kwargs: Any) -> None:
        password_changed = self._password is not None and self.pk is not None
        with transaction.atomic():
            super().save(*args, **kwargs)
            if password_changed:
                AuthToken.objects.filter(user=self).delete()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            User.objects.locked(self.pk)  # who signs in meanwhile has made a token, which goes too, or makes none
            return super().delete(*args, **kwargs)
