"""What a body must be before a view sees it: of a known length, not too large, and all there."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError

from config.problems import problem_response

UTF_8 = {"utf-8", "utf8"}

Handler = Callable[[HttpRequest], HttpResponseBase]


def whole_bodies(get_response: Handler) -> Handler:
    """Middleware: 411, 413, 415 or 400 for a body below `/api/` that is not whole, or in no charset of ours.

    The server passes on a body that was cut short, and a chunked one as empty: half a batch would be answered 2xx.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        refusal = _refusal(request) if request.path.startswith("/api/") else None
        return refusal if refusal is not None else get_response(request)

    return handle


def _refusal(request: HttpRequest) -> HttpResponse | None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in request.META:
        return problem_response(411, "length_required", "Send the body with a Content-Length, not in chunks.")
    if not (length.isascii() and length.isdigit()):
        return problem_response(400, "invalid_length", "Content-Length must be a number.")
    if len(length) > 18 or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return problem_response(
            413, "too_large", f"A body may have {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes, and gzip helps."
        )
    if int(length) and not _has_a_known_type(request):
        return problem_response(415, "unsupported_media_type", "Send a media type of ours, in UTF-8.")
    return None if _is_all_there(request, int(length)) else problem_response(
        400, "incomplete_body", "The body is shorter than its Content-Length. Nothing was stored; send it again."
    )  # fmt: skip


def _has_a_known_type(request: HttpRequest) -> bool:
    """REST framework takes `*/*` for any of its types, and what is in another charset for UTF-8."""
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    return charset in UTF_8 and "*" not in (request.content_type or "")


def _is_all_there(request: HttpRequest, length: int) -> bool:
    try:
        return len(request.body) == length
    except UnreadablePostError:  # the sender has gone
        return False
