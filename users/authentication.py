"""People's tokens and passwords, refused before the database is asked once they have been wrong too often."""

import re
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from knox.settings import CONSTANTS
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from users.failures import Attempt
from users.models import User

PLAUSIBLE_TOKEN = re.compile(rb"[0-9a-f]{64}")


class TokenAuthentication(KnoxTokenAuthentication):
    """`Authorization: Token <token>`."""

    def authenticate(self, request: Request) -> Any:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != self.authenticate_header(request).lower():
            return None
        if not PLAUSIBLE_TOKEN.fullmatch(token.strip().encode("latin-1")):  # not worth a query
            raise AuthenticationFailed("This token is not valid.")
        return self._looked_up(request, token.strip())

    def _looked_up(self, request: Request, token: str) -> Any:
        attempt = Attempt(request, "token", token[: CONSTANTS.TOKEN_KEY_LENGTH], token)
        attempt.refuse_if_too_many()
        try:
            user_and_token = self.authenticate_credentials(token.encode())
        except AuthenticationFailed:
            attempt.failed()
            raise
        attempt.succeeded()
        return user_and_token


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers by being defined
    target_class = "users.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "A person's token from `POST auth/token/`. Write `Token `, with its space, before it.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers by being defined
    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The cookie of a browser that has signed in at `/sign-in/`, which sends it by itself: "
            "nothing is to be filled in here. What writes needs the header `X-CSRFToken` too, which this page adds.",
        }


class PasswordBackend(ModelBackend):
    """A name and a password, through whichever door: for a token, in the admin. TooManyFailures past the limit."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if request is None or username is None or password is None:
            return super().authenticate(request, username, password, **kwargs)
        attempt = Attempt(request, "password", username)
        attempt.refuse_if_too_many()
        user = super().authenticate(request, username, password, **kwargs)
        if user is None:
            attempt.failed()
        return user
