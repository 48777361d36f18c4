"""Accounts, their passwords and their tokens."""

from typing import Any

from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from knox.models import AuthToken
from knox.views import LoginView
from rest_framework import status, viewsets
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.parsers import BaseParser, FormParser, MultiPartParser
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from users.authentication import TokenAuthentication
from users.filters import UserFilter
from users.integrity import save_changes
from users.models import User
from users.permissions import MayRegister, OwnAccountOrModelPermission
from users.serializers import (
    CredentialsSerializer,
    PasswordSerializer,
    TokenSerializer,
    UserCreateSerializer,
    UserSerializer,
    wrong_credentials,
)

FORM_PARSERS: list[type[BaseParser]] = [
    *APIView.parser_classes,
    FormParser,
    MultiPartParser,
]  # for the browsable forms


class TokenView(LoginView):
    """People's tokens: a name and a password become one; a token revokes itself."""

    permission_classes = [AllowAny]
    serializer_class = TokenSerializer

    def get_authenticators(self) -> list[Any]:
        if self.request is not None and self.request.method == "DELETE":
            return [TokenAuthentication()]
        return []

    @extend_schema(
        operation_id="auth_token_create", summary="Sign in", request=CredentialsSerializer, responses=TokenSerializer
    )
    def post(self, request: Request, format: str | None = None) -> Response:
        """A name and a password become a token. Of a person's tokens the twenty newest are good."""
        credentials = CredentialsSerializer(data=request.data, context={"request": request})
        credentials.is_valid(raise_exception=True)
        with transaction.atomic():
            request.user = self._locked(credentials.validated_data["user"])
            self._forget_oldest_token(request.user)
            response: Response = super().post(request, format)
        return response

    @extend_schema(operation_id="auth_token_revoke", summary="Sign out", request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Revoke the token that the request was sent with."""
        if request.auth is None:
            raise AuthenticationFailed("Send the token that is to be revoked.")
        request.auth.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _locked(self, checked: User) -> User:
        """The account, whose sign-ins come one after the other; refused where its password is another by now."""
        user = User.objects.locked(checked.pk)
        if user is None or not user.is_active or user.password != checked.password:
            raise wrong_credentials()
        return user

    def _forget_oldest_token(self, user: User) -> None:
        """Make room under the limit, so that somebody who never revokes a token can still sign in."""
        kept = AuthToken.objects.filter(user=user).order_by("-created")[: self.get_token_limit_per_user() - 1]
        AuthToken.objects.filter(user=user).exclude(pk__in=[token.pk for token in kept]).delete()


@extend_schema_view(
    list=extend_schema(
        summary="List users", description="Staff see everybody, anybody else sees only themself. Inactive ones too."
    ),
    create=extend_schema(
        summary="Create a user",
        description="For staff and, where the service is set up so, for anybody, without credentials.",
        examples=[OpenApiExample("Carol", {"username": "carol", "email": "carol@example.com"}, request_only=True)],
    ),
    retrieve=extend_schema(summary="Show a user", description="With the devices that they own."),
    update=extend_schema(
        summary="Replace a user", description="With all that is required; what else is left out stays."
    ),
    partial_update=extend_schema(summary="Change a user", description="What is left out stays as it is."),
)
class UserViewSet(viewsets.ModelViewSet[User]):
    permission_classes = [OwnAccountOrModelPermission]
    parser_classes = FORM_PARSERS
    filterset_class = UserFilter
    lookup_value_regex = "[0-9]+"
    detail_serializer_class: type[BaseSerializer[User]] = UserSerializer

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.visible_to(self.request.user).order_by("id")

    def get_permissions(self) -> Any:
        return [MayRegister()] if self.action == "create" else super().get_permissions()

    def get_serializer_class(self) -> type[BaseSerializer[User]]:
        serializers = {"list": UserSerializer, "create": UserCreateSerializer}
        return serializers.get(self.action, self.detail_serializer_class)

    @extend_schema(operation_id="users_me_retrieve", summary="Show the caller")
    @action(detail=False, permission_classes=[IsAuthenticated], filterset_class=None, pagination_class=None)
    def me(self, request: Request) -> Response:
        """The account that the credentials belong to, with its devices."""
        return Response(self.get_serializer(request.user).data)

    @extend_schema(
        operation_id="users_me_password",
        summary="Change the caller's password",
        request=PasswordSerializer,
        responses={204: None},
    )
    @action(detail=False, methods=["post"], url_path="me/password", permission_classes=[IsAuthenticated])
    def password(self, request: Request) -> Response:
        """All of the caller's tokens are revoked; this browser session goes on."""
        passwords = PasswordSerializer(data=request.data, context=self.get_serializer_context())
        passwords.is_valid(raise_exception=True)
        user = passwords.validated_data["user"]
        user.set_password(passwords.validated_data["new_password"])
        save_changes(user, {"password": user.password})
        if isinstance(request.successful_authenticator, SessionAuthentication):
            update_session_auth_hash(request._request, user)
        return Response(status=status.HTTP_204_NO_CONTENT)
