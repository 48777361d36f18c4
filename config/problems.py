"""Errors as RFC 9457 problems: `application/problem+json`, each fault named by a JSON pointer."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import page_not_found
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from users.integrity import is_about_a_missing_row, is_passing

CONTENT_TYPE = "application/problem+json"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of a view as a problem; None for what is raised on: a fault of the database, or a defect."""
    if is_passing(exc):
        return None  # answered by config.faults, as it is outside of the API
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif isinstance(exc, IntegrityError) and is_about_a_missing_row(exc):
        exc = exceptions.NotFound()
    if not isinstance(exc, exceptions.APIException):
        return None
    set_rollback()
    response = Response(
        problem(exc.status_code, faults(exc), getattr(exc, "summary", None)),
        status=exc.status_code,
        headers=_headers(exc),
    )
    # The browsable API renders the same problem as a page, and names its own content type.
    if getattr(context["request"], "accepted_renderer", None) is None or (
        context["request"].accepted_renderer.format != "api"
    ):
        response.content_type = CONTENT_TYPE
    return response


def problem(status: int, errors: list[dict[str, str]], detail: str | None = None) -> dict[str, Any]:
    """The body of a problem with its first fault as the detail, or how many there are."""
    if detail is None:
        detail = errors[0]["detail"] if len(errors) == 1 else f"{len(errors)} faults, see errors."
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors,
    }


def faults(exc: exceptions.APIException) -> list[dict[str, str]]:
    """The faults of an exception, each with the JSON pointer of the value it is about."""
    return [
        {"pointer": pointer, "code": str(detail.code), "detail": str(detail)}
        for pointer, detail in _flatten(exc.detail, "")
    ]


def _flatten(detail: Any, pointer: str) -> Iterator[tuple[str, exceptions.ErrorDetail]]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _flatten(value, pointer if key == "non_field_errors" else f"{pointer}/{_escape(str(key))}")
    elif isinstance(detail, list):
        for value in detail:
            yield from _flatten(value, pointer)
    else:
        yield pointer, detail


def _escape(token: str) -> str:
    """RFC 6901; and what is no Unicode, such as half a surrogate pair from a JSON body, can't be sent back."""
    return token.encode(errors="replace").decode().replace("~", "~0").replace("/", "~1")


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {"WWW-Authenticate": getattr(exc, "auth_header", None), "Retry-After": getattr(exc, "wait", None)}
    return {name: str(value) for name, value in headers.items() if value is not None}


def problem_response(status: int, code: str, detail: str) -> JsonResponse:
    """A problem from outside of the views, about the request as a whole."""
    body = problem(status, [{"pointer": "", "code": code, "detail": detail}])
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An unknown path: a problem below `/api/`, Django's page elsewhere."""
    if not request.path.startswith("/api/"):
        return page_not_found(request, exception)
    return problem_response(404, "not_found", "Not found.")
