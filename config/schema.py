"""What the OpenAPI document says about errors, which drf-spectacular leaves out."""

from typing import Any

METHODS = {"get", "put", "post", "delete", "patch"}
PROBLEM = {
    "type": "object",
    "description": "What was wrong, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
FAULT = {
    "type": "object",
    "description": "One fault, and the JSON pointer of the value that it is about; empty for the request as a whole.",
    "required": ["pointer", "code", "detail"],
    "properties": {name: {"type": "string"} for name in ("pointer", "code", "detail")},
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
# Whatever is called: 429 `too_many_failures` where credentials are sent.
RESPONSES = {
    "429": ("Wrong credentials have come from this address too often.", RETRY_AFTER),
    "500": ("A defect of the service. Its log has more under the id in X-Request-ID.", {}),
}


def with_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing hook of drf-spectacular: the errors that every operation may answer."""
    result["components"]["schemas"] |= {"Problem": PROBLEM, "Fault": FAULT}
    for item in result["paths"].values():
        for method in METHODS & item.keys():
            for status, (description, headers) in RESPONSES.items():
                item[method]["responses"].setdefault(status, _response(description, headers))
    return result


def _response(description: str, headers: dict[str, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})
