from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.utils import timezone


class UsersConfig(AppConfig):
    name = "users"

    def ready(self) -> None:
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        user_logged_in.connect(note_last_login, dispatch_uid="note_last_login")


def note_last_login(user: Any, **kwargs: Any) -> None:
    """Django's own saves the account, which is an error when it was deleted since its password was checked."""
    user.last_login = timezone.now()
    type(user).objects.filter(pk=user.pk).update(last_login=user.last_login)
