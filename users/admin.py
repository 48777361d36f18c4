from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from users.models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    show_full_result_count = False
    list_display = ["username", "email", "is_active", "is_staff", "last_login"]
