"""What the OpenAPI document says beyond what drf-spectacular reads from the views: tags, callers, ids, errors."""

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
UUID = {"type": "string", "format": "uuid"}
READING_ID = "AAZHUjvygAA_8AAAAAAAAEAAAAAAAAAAQAgAAAAAAAA"
# What is in a path and has no description of its own; by the word before it, then by its name.
PATH_PARAMETERS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "users": ("The user's id.", ID, 3),
    "devices": ("The device's id.", ID, 7),
    "keys": ("The key's `prefix`, its part before the dot.", {"type": "string"}, "0123456789ab"),
    "readings": ("The reading's `id`, unique within its device.", {"type": "string"}, READING_ID),
    "analyses": ("The analysis's id.", UUID, "6f1c2a34-9d2b-4c53-8a39-2f6f3c1d5b70"),
}
# The filters of lists, which describe themselves in labels of forms.
FILTERS = {
    "ordering": "The order of the results, then by id; a minus sign turns it around. Of several the first counts.",
    "search": "A part of the name, in upper or lower case.",
    "is_active": "Only those that are active, or only those that are not.",
    "owner": "Only the devices of this user, by the user's id.",
}
QUERY_EXAMPLES = {
    "start_time": "2026-01-01T00:00:00Z",
    "end_time": "2026-02-01T00:00:00Z",
    "percentiles": "5,95,99.9",
    "timezone": "Europe/Berlin",
    "search": "pump",
    "owner": 3,
}
# What an answer only has where it was asked for; whatever else it may have, it has.
NOT_ALWAYS_ANSWERED = {"percentiles", "buckets"}
NULL_CHOICE = {"$ref": "#/components/schemas/NullEnum"}

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


class Schema(AutoSchema):
    """An operation, with the tag of its subject and only those callers who may ever call it."""

    def get_tags(self) -> list[str]:
        known = [TAGS[word] for word in self.path.strip("/").split("/") if word in TAGS]
        return known[-1:]

    def get_auth(self) -> list[dict[str, list[str]]]:
        """A device key is named where the view takes one. Nobody is let in without any, whatever permissions allow."""
        schemes: list[dict[str, list[str]]] = super().get_auth()
        takes_keys = getattr(self.view, "action", None) in getattr(self.view, "device_key_actions", [])
        return [scheme for scheme in schemes if scheme and ("deviceKey" not in scheme or takes_keys)]


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing hook of drf-spectacular: parameters with examples, and the errors of each operation."""
    components = result["components"]
    for name, schema in components["schemas"].items():
        _complete_schema(name, schema)
    components["schemas"].pop("NullEnum", None)
    components["schemas"] |= {"Problem": PROBLEM, "Fault": FAULT}
    components["responses"] = {name: _response(about, headers) for name, about, headers in PROBLEMS.values()}
    for path, item in result["paths"].items():
        for method in METHODS & item.keys():
            _complete_operation(path, item[method])
    used = {operation["tags"][0] for item in result["paths"].values() for operation in item.values()}
    result["tags"] = [{"name": name, "description": text} for name, text in TAG_DESCRIPTIONS.items() if name in used]
    return result


def _complete_schema(name: str, schema: dict[str, Any]) -> None:
    properties = schema.get("properties", {})
    if properties and not name.endswith("Request"):
        schema["required"] = sorted(properties.keys() - NOT_ALWAYS_ANSWERED)
    for field_name, field in properties.items():
        if field_name == "username":  # its \w is Python's, which has letters of all languages: those of others have not
            field.pop("pattern", None)
        if NULL_CHOICE in field.get("oneOf", []):  # generators make no valid name of it
            choices = [choice for choice in field.pop("oneOf") if choice != NULL_CHOICE]
            field |= {"allOf": choices, "nullable": True}


def _complete_operation(path: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            word = path.split(f"/{{{parameter['name']}}}", maxsplit=1)[0].rsplit("/", 1)[-1]
            description, schema, example = PATH_PARAMETERS[word]
            parameter |= {"description": description, "schema": schema, "example": example}
            continue
        if parameter["name"] in QUERY_EXAMPLES:
            parameter["example"] = QUERY_EXAMPLES[parameter["name"]]
        if parameter["name"] in FILTERS and "default" not in parameter["schema"]:
            parameter["description"] = FILTERS[parameter["name"]]
    if operation["operationId"] == "devices_readings_create":
        operation["requestBody"]["required"] = True  # drf-spectacular thinks that one of two may be left out
    for status in _problems_of(path, operation):
        operation["responses"][status] = {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"}
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _problems_of(path: str, operation: dict[str, Any]) -> list[str]:
    """The statuses of an operation's errors: those it names itself, and those that follow from what it is."""
    known = {status for status in operation["responses"] if status in PROBLEMS}
    known |= {"400", "406", "429", "500", "503"}
    callers = operation.get("security", [])
    if callers:
        known.add("401")
    # A session needs its CSRF token to write, and a device's key is refused where only people may call.
    if {"session": []} in callers:
        known.add("403")
    if "{" in path:
        known.add("404")
    if "requestBody" in operation:
        known |= {"411", "413", "415"}
    return sorted(known)


def _response(description: str, headers: dict[str, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})
