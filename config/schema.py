"""What the OpenAPI document says beyond what drf-spectacular reads from the views: tags, callers, ids, errors."""

import re
from typing import Any

from drf_spectacular.openapi import AutoSchema

# By the last word of a path that is known.
TAGS = {
    "auth": "Sign-in",
    "users": "Users",
    "devices": "Devices",
    "latest": "Readings",
    "readings": "Readings",
    "analytics": "Analytics",
    "analyses": "Analyses",
}
TAG_DESCRIPTIONS = {
    "Sign-in": "A name and a password become a token, which expires after thirty days.",
    "Users": "Accounts. A user sees only their own; staff see all.",
    "Devices": "What sends readings, and the keys by which each is known.",
    "Readings": "One reading is a time and three numbers. Sending it again changes nothing.",
    "Analytics": "Exact figures over a window of time, at once.",
    "Analyses": "The same questions asked in the background, with stored answers.",
}
METHODS = {"get", "put", "post", "delete", "patch"}

ID = {"type": "integer", "format": "int64", "minimum": 1}
ID_PATTERN = "^[0-9]+$"
TIME = "2026-01-01T00:00:00Z"
# Of each parameter, wherever it is: an example, and a description unless it has one of its own.
PARAMETERS: dict[str, tuple[Any, str]] = {
    "id": (7, "The id."),
    "device_id": (7, "The device's id."),
    "user_id": (3, "The user's id."),
    "prefix": ("0123456789ab", "The key's `prefix`, its part before the dot."),
    "reading_id": ("AAZHUjvygAA_8AAAAAAAAEAAAAAAAAAAQAgAAAAAAAA", "The reading's `id`, unique within its device."),
    "start_time": (TIME, ""),
    "end_time": ("2026-02-01T00:00:00Z", ""),
    "percentiles": ("5,95,99.9", ""),
    "interval": ("day", ""),
    "timezone": ("Europe/Berlin", ""),
    "aggregate": ("true", ""),
    "cursor": ("AAZHUjvygAA_8AAAAAAAAEAAAAAAAAAAQAgAAAAAAAA", ""),
    "page_size": (100, ""),
    "ordering": ("recorded_at", "The order of the results; a minus sign turns it around."),
    "search": ("pump", "A part of the name, in upper or lower case."),
    "is_active": (True, "Only those that are active, or only those that are not."),
    "owner": (3, "Only the devices of this user, by the user's id."),
    "partial": (False, ""),
    "cascade": (False, ""),
    "file_format": ("csv", "`csv` has a header and a line for each reading, `ndjson` a JSON object a line."),
    "status": ("succeeded", "Only those in this state."),
}

PROBLEM = {
    "type": "object",
    "description": "What was wrong, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "description": "The status in words.", "example": "Bad Request"},
        "status": {"type": "integer", "example": 400},
        "detail": {"type": "string", "description": "For people: the fault, or how many there are."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
FAULT = {
    "type": "object",
    "description": "One fault, and the JSON pointer of the value that it is about; empty for the request as a whole.",
    "required": ["pointer", "code", "detail"],
    "properties": {
        "pointer": {"type": "string", "description": "Where in the body or the query.", "example": "/3/x"},
        "code": {"type": "string", "description": "For programs.", "example": "not_finite"},
        "detail": {"type": "string", "description": "For people.", "example": "A number must be finite."},
    },
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}}
CHALLENGE = {"WWW-Authenticate": {"description": "How to say who calls.", "schema": {"type": "string"}}}
# Name of the component, what it means, and its headers.
PROBLEMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "400": ("BadRequest", "What was sent is wrong: `errors` says where. Sent again, it stays wrong.", {}),
    "401": ("Unauthorized", "No credentials, or such as are not valid.", CHALLENGE),
    "403": ("Forbidden", "The caller may see this, but may not do it.", {}),
    "404": ("NotFound", "Not there, or not for the caller to see.", {}),
    "406": ("NotAcceptable", "No format that `Accept` names is to be had here.", {}),
    "409": ("Conflict", "What is stored stands against it: `errors` says why.", {}),
    "411": ("LengthRequired", "The body came in chunks: send it with a Content-Length.", {}),
    "413": ("TooLarge", "The body has too many bytes or too many rows, compressed or not: send it in parts.", {}),
    "415": ("UnsupportedMediaType", "This Content-Type or Content-Encoding is not taken here.", {}),
    "429": (
        "TooManyFailures",
        "Wrong credentials have come from this address too often. Send it again after `Retry-After`.",
        RETRY_AFTER,
    ),
    "500": ("Defect", "A defect of the service. Its log has more under the id in X-Request-ID.", {}),
    "503": ("Unavailable", "A passing fault. Nothing was stored: send it again after `Retry-After`.", RETRY_AFTER),
}


class Schema(AutoSchema):  # type: ignore[misc]  # drf-spectacular carries no types
    """An operation, with the tag of its subject and only those callers who may ever call it."""

    def get_tags(self) -> list[str]:
        known = [TAGS[word] for word in self.path.strip("/").split("/") if word in TAGS]
        return known[-1:]

    def get_auth(self) -> list[dict[str, list[str]]]:
        """A device key is named where the view takes one. Nobody is let in without any, whatever permissions allow."""
        schemes: list[dict[str, list[str]]] = super().get_auth()
        takes_keys = getattr(self.view, "action", None) in getattr(self.view, "device_key_actions", [])
        named = [scheme for scheme in schemes if scheme and ("deviceKey" not in scheme or takes_keys)]
        return named or [{}]


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing hook of drf-spectacular: parameters with examples, and the errors of each operation."""
    components = result["components"]
    components["schemas"] |= {"Problem": PROBLEM, "Fault": FAULT}
    components["responses"] = {name: _response(*about) for name, *about in PROBLEMS.values()}
    for path, item in result["paths"].items():
        for method in METHODS & item.keys():
            _complete_operation(path, method, item[method])
    used = {operation["tags"][0] for item in result["paths"].values() for operation in item.values()}
    result["tags"] = [{"name": name, "description": text} for name, text in TAG_DESCRIPTIONS.items() if name in used]
    return result


def _complete_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] != "header":
            _complete_parameter(parameter)
    for status in _problems_of(path, method, operation):
        operation["responses"][status] = {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"}
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _complete_parameter(parameter: dict[str, Any]) -> None:
    example, description = PARAMETERS[parameter["name"]]
    schema = parameter["schema"]
    if schema.get("pattern") == ID_PATTERN or (parameter["in"] == "path" and schema["type"] == "integer"):
        parameter["schema"] = ID
    elif schema["type"] == "array":
        example = [schema["items"]["enum"][-1]]
    elif schema.get("format") == "uuid" or re.search("uuid|36", schema.get("pattern", "")):
        parameter["schema"] = {"type": "string", "format": "uuid"}
        example = "6f1c2a34-9d2b-4c53-8a39-2f6f3c1d5b70"
    parameter["description"] = description or parameter["description"]
    parameter["example"] = example


def _problems_of(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    """The statuses of an operation's errors: those it names itself, and those that follow from what it is."""
    known = {status for status in operation["responses"] if status in PROBLEMS}
    known |= {"400", "406", "429", "500", "503"}
    if {} not in operation["security"]:
        known.add("401")
    # A device's key is refused where only people may call; a session needs its CSRF token to write.
    if "401" in known and ({"deviceKey": []} not in operation["security"] or method != "get"):
        known.add("403")
    if "{" in path:
        known.add("404")
    if "requestBody" in operation:
        known |= {"411", "413", "415"}
    return sorted(known)


def _response(description: str, headers: dict[str, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})
