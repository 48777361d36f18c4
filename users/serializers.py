"""Accounts as JSON, and the strictness that all bodies share."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.utils.html import is_html_input

from users.failures import Attempt
from users.integrity import save_changes, unique_or_invalid
from users.models import User

Field = serializers.Field[Any, Any, Any, Any]

FORM_FIELDS = {"csrfmiddlewaretoken"}  # what a browser's form adds to its own fields


# What JSON has for these; the fields by themselves also take texts, as a form has nothing else.
JSON_TYPES: dict[type[Field], tuple[type, ...]] = {
    serializers.BooleanField: (bool,),
    serializers.IntegerField: (int,),
    serializers.FloatField: (int, float),
    serializers.PrimaryKeyRelatedField: (int,),
}


class StrictFieldsMixin(serializers.Serializer[Any]):
    """Refuses a field that it does not know; one that is only read may come back and is ignored.

    And in JSON a text or a truth that stands for a number, and what else stands for a truth.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            faults = {name: unknown_field() for name in data if name not in self.fields and name not in FORM_FIELDS}
            faults |= {} if is_html_input(data) else self._of_wrong_type(data)
            if faults:
                raise serializers.ValidationError(faults)
        return super().to_internal_value(data)

    def _of_wrong_type(self, data: dict[str, Any]) -> dict[str, serializers.ErrorDetail]:
        given = {name: field for name, field in self.fields.items() if data.get(name) is not None}
        return {
            name: _wrong_type(field, data[name])
            for name, field in given.items()
            if not field.read_only and type(data[name]) not in _json_types(field, type(data[name]))
        }


def _json_types(field: Field, otherwise: type) -> tuple[type, ...]:
    return next((types for kind, types in JSON_TYPES.items() if isinstance(field, kind)), (otherwise,))


def _wrong_type(field: Field, value: Any) -> serializers.ErrorDetail:
    code = "incorrect_type" if "incorrect_type" in field.error_messages else "invalid"
    return serializers.ErrorDetail(field.error_messages[code].format(data_type=type(value).__name__), code)


def unknown_field() -> serializers.ErrorDetail:
    return serializers.ErrorDetail("There is no such field here.", code="unknown_field")


class UserSerializer(StrictFieldsMixin, serializers.ModelSerializer[User]):
    """An account."""

    class Meta:
        model = User
        fields = ["id", "username", "email", "date_joined"]
        read_only_fields = ["date_joined"]
        extra_kwargs = {"username": {"validators": [User.username_validator]}}

    def save(self, **kwargs: Any) -> User:
        with unique_or_invalid("username"):
            user: User = super().save(**kwargs)
        return user

    def update(self, instance: User, validated_data: dict[str, Any]) -> User:
        save_changes(instance, validated_data)
        return instance


class UserCreateSerializer(UserSerializer):
    """A new account; without a password it cannot sign in until staff set one."""

    password = serializers.CharField(write_only=True, required=False, trim_whitespace=False, max_length=128)

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "password"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "password" in attrs:
            account = User(username=attrs["username"], email=attrs.get("email", ""))
            _validate_password(attrs["password"], account, "password")
        return attrs

    def create(self, validated_data: dict[str, Any]) -> User:
        return User.objects.create_user(**validated_data)


class PasswordSerializer(StrictFieldsMixin):
    """The caller's password, old and new."""

    old_password = serializers.CharField(write_only=True, trim_whitespace=False, max_length=128)
    new_password = serializers.CharField(write_only=True, trim_whitespace=False, max_length=128)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        user = self.context["request"].user
        attempt = Attempt(self.context["request"], "password", user.username)
        attempt.refuse_if_too_many()
        if not user.check_password(attrs["old_password"]):
            attempt.failed()
            raise serializers.ValidationError({"old_password": "This is not the password."}, code="wrong_password")
        _validate_password(attrs["new_password"], user, "new_password")
        return {**attrs, "user": user}


@extend_schema_serializer(component_name="Credentials")
class CredentialsSerializer(StrictFieldsMixin, AuthTokenSerializer):
    """Who signs in."""

    token = None  # type: ignore[assignment]  # the answer is TokenSerializer's


def wrong_credentials() -> serializers.ValidationError:
    """What `Credentials` says of a name and a password that do not belong together."""
    return serializers.ValidationError("Unable to log in with provided credentials.", code="authorization")


@extend_schema_serializer(component_name="Token")
class TokenSerializer(serializers.Serializer[Any]):
    """A person's token, shown once, and when it expires."""

    token = serializers.CharField(read_only=True, help_text="To be sent as `Authorization: Token <token>`.")
    expiry = serializers.DateTimeField(read_only=True, help_text="When the token stops being good.")


def _validate_password(password: str, user: User, field: str) -> None:
    try:
        validate_password(password, user)
    except DjangoValidationError as error:
        raise serializers.ValidationError({field: serializers.as_serializer_error(error)["non_field_errors"]}) from None
