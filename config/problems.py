"""Errors as RFC 9457 problems: `application/problem+json`, each fault named by a JSON pointer."""

import logging
import traceback
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.html import escape
from rest_framework import exceptions
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from config.logs import current_request_id
from devices.rows import sendable
from users.integrity import is_about_a_missing_row, is_passing

CONTENT_TYPE = "application/problem+json"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<h1>{title}</h1>
<p>{detail}</p>
<p>Request {request_id}</p>
</html>
"""

Handler = Callable[[HttpRequest], HttpResponseBase]

logger = logging.getLogger(__name__)


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
    if not isinstance(getattr(context["request"], "accepted_renderer", None), BrowsableAPIRenderer):
        # Also where a view renders pages or YAML, or nothing that is accepted.
        context["request"].accepted_renderer = JSONRenderer()
        context["request"].accepted_media_type = JSONRenderer.media_type
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
        {"pointer": pointer, "code": str(detail.code), "detail": sendable(detail)}
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
    """RFC 6901."""
    return sendable(token).replace("~", "~0").replace("/", "~1")


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {"WWW-Authenticate": getattr(exc, "auth_header", None), "Retry-After": getattr(exc, "wait", None)}
    return {name: str(value) for name, value in headers.items() if value is not None}


def problem_response(status: int, code: str, detail: str) -> JsonResponse:
    """A problem from outside of the views, about the request as a whole."""
    body = problem(status, [{"pointer": "", "code": code, "detail": detail}])
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


class ProblemMiddleware:
    """What a page's view raises: an error in REST framework's words, such as 429 at the admin's login, or the admin's
    own for a value in an address or a form that no database takes. Django would make a 500 of both.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not request.path.startswith("/api/") and is_about_a_value(exception):
            logger.warning("refused a value: %s", exception)
            return bad_request(request, exception)
        if not isinstance(exception, exceptions.APIException):
            return None
        fault = faults(exception)[0]
        response = answer(request, exception.status_code, fault["code"], fault["detail"])
        for name, value in _headers(exception).items():
            response[name] = value
        return response


def is_about_a_value(exception: Exception) -> bool:
    """Whether a value was the fault: NUL, an id or a year out of range, a broken regular expression."""
    if isinstance(exception, OperationalError):
        return getattr(exception.__cause__, "sqlite_errorname", None) == "SQLITE_ERROR"  # of a statement's function
    if isinstance(exception, OverflowError | ValueError) and exception.__traceback__:
        modules = [str(frame.f_globals["__name__"]) for frame, _ in traceback.walk_tb(exception.__traceback__)]
        # Raised by Django, while it made a value fit for a column: what our own code raises is a defect.
        return modules[-1].startswith("django.") and any(name.startswith("django.db.") for name in modules)
    return isinstance(exception, DataError)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A host that is not ours, too many fields, and what else Django finds suspicious."""
    return answer(request, 400, "bad_request", "The service does not take this request.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 403, "permission_denied", "You do not have permission to perform this action.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that did not come from one of our pages, or from one that was open for too long."""
    return answer(request, 403, "csrf_failed", "Open the page again, then send the form once more.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 404, "not_found", "Not found.")


def server_error(request: HttpRequest) -> HttpResponse:
    """A defect. What it was is in the log, under the id, and nowhere else."""
    return answer(request, 500, "defect", f"A defect of the service. The log has it under {current_request_id()}.")


def answer(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    """A problem below `/api/`, a plain page elsewhere."""
    if request.path.startswith("/api/"):
        return problem_response(status, code, detail)
    title = HTTPStatus(status).phrase
    page = PAGE.format(title=title, detail=escape(detail), request_id=escape(current_request_id()))
    return HttpResponse(page, status=status)
