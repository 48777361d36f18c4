"""Accounts, groups and tokens."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from knox.models import AuthToken

from users.admin_base import AdminPasswordChangeForm, ModelAdmin, UserChangeForm, UserCreationForm
from users.models import User

MOST_TOKENS = 100

admin.site.unregister([Group, AuthToken])


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User], ModelAdmin):
    form: Any = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_staff", "last_login"]
    list_filter = ["is_staff", "is_superuser", "is_active"]
    sortable_by = ["username"]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form with, below it, the account's tokens: as many as it may have."""
        if user := kwargs.get("obj"):
            context["tokens"] = AuthToken.objects.filter(user=user).order_by("-created")[:MOST_TOKENS]
        return super().render_change_form(request, context, *args, **kwargs)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(AuthToken)
class AuthTokenAdmin(ModelAdmin):
    """Deleting one revokes it. They are made by who signs in, over the API."""

    list_display = ["token_key", "user", "created", "expiry"]
    list_select_related = ["user"]
    sortable_by = ()
    search_fields = ["token_key", "user__username"]
    fields = readonly_fields = ("token_key", "user", "created", "expiry")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuthToken | None = None) -> bool:
        return False
