"""Log lines: each with the id of its request, as JSON or as text, and none with a secret.

A request's id is the proxy's `X-Request-ID` where that is well formed, else a new one; the answer has it as a header.
"""

import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog
from django.core.signals import request_finished
from django.http import FileResponse, HttpRequest, HttpResponseBase, StreamingHttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars, merge_contextvars
from structlog.typing import EventDict, Processor

Handler = Callable[[HttpRequest], HttpResponseBase]

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9_.:-]{8,128}")
HIDDEN = "[hidden]"
# Nothing here logs a secret on purpose. This is for what others quote: an exception its argument, a server its input.
SECRET = re.compile(
    r"""
    \b(?P<scheme>Device|Token|Bearer|Basic)\s+[\w.~+/=-]{16,}      # the Authorization header
    | \b(?P<prefix>[0-9a-f]{12})\.[\w-]{16,}                       # a device key
    | \b[0-9a-f]{64}\b                                             # a person's token, and the hash of a secret
    | (?P<user>://[^\s/:@]*):[^\s/@]+(?=@)                         # the password of a URL
    | (?P<name>(?:password\w*|secret\w*|sessionid|csrf\w*|authorization|cookie)["']?\s*[:=]\s*["']?)[^\s"',;&]+
    """,
    re.IGNORECASE | re.VERBOSE,
)

logger = structlog.get_logger("request")


def requests(get_response: Handler) -> Handler:
    """Middleware: give the request its id, and log how it was answered. The query may hold anything: it stays out."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        request_id = _id_of(request)
        bind_contextvars(request_id=request_id)
        response = get_response(request)
        response["X-Request-ID"] = request_id
        if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
            response.streaming_content = _logging_failure(response.streaming_content)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        # What went well is a line at DEBUG only: a fleet sends thousands of readings a second, and a proxy logs them.
        log = logger.debug if response.status_code < 400 else logger.info
        log("request", method=request.method, path=request.path, status=response.status_code, milliseconds=milliseconds)
        return response

    return handle


def current_request_id() -> str:
    """The id of the request that this thread answers; empty where there is none."""
    return str(get_contextvars().get("request_id", ""))


def _id_of(request: HttpRequest) -> str:
    sent = request.META.get("HTTP_X_REQUEST_ID", "")
    return sent if WELL_FORMED_ID.fullmatch(sent) else secrets.token_hex(16)


def _logging_failure(chunks: Any) -> Iterator[bytes]:
    """What fails in the middle of a stream can't be answered any more, only logged."""
    try:
        yield from chunks
    except Exception:
        logger.exception("stream broken off")
        raise


def _forget_request(**kwargs: object) -> None:
    clear_contextvars()  # the thread goes on to the next one


request_finished.connect(_forget_request)


def configured(level: str, log_format: str) -> dict[str, Any]:
    """Set structlog up, for our own lines, and return `LOGGING`, for those of everybody else: one format for both."""
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Without the local variables of a traceback, which hold the secrets that somebody sent.
    last: list[Processor] = [structlog.processors.format_exc_info, without_secrets]
    structlog.configure(
        processors=[*shared, *last, _as_json if log_format == "json" else _as_text],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(
            sys.stderr.buffer
        ),  # past the standard library: a third of the time
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [*shared, structlog.stdlib.add_logger_name],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, _text_of(log_format)],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers print no traceback with DEBUG off, and gunicorn's have no request id.
            "django": {"handlers": [], "propagate": True},
            "gunicorn.error": {"handlers": [], "propagate": True, "level": level},
            "django.request": {"level": "ERROR"},  # what is answered 4xx has its line already
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "django.db.backends": {"level": "INFO"},  # its DEBUG lines are statements with what they look for
        },
    }


def without_secrets(_: object, __: str, event: EventDict) -> EventDict:
    """Cut out of a line what looks like a key, a token or a password."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > 16:
            event[name] = SECRET.sub(_hidden, value)
    return event


def _hidden(match: re.Match[str]) -> str:
    parts = match.groupdict(default="")
    ends = {"scheme": " ", "prefix": ".", "user": ":", "name": ""}
    return next((parts[name] + end for name, end in ends.items() if parts[name]), "") + HIDDEN


_console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def _as_json(_: object, __: str, event: EventDict) -> bytes:
    return msgspec.json.encode(event, enc_hook=repr)


def _as_text(logger: Any, name: str, event: EventDict) -> bytes:
    return str(_console(logger, name, event)).encode(errors="backslashreplace")


def _text_of(log_format: str) -> Callable[..., str]:
    render = _as_json if log_format == "json" else _as_text
    return lambda logger, name, event: render(logger, name, event).decode()
