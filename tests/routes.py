"""Every route of the API, read from the URL configuration, so that no test has to list them."""

from functools import cache
from typing import Any

from rest_framework.schemas.generators import EndpointEnumerator, is_api_view

PLACEHOLDERS = {
    "device_id": "device",
    "user_id": "alice",
    "users/{pk}": "users/{alice}",
    "analyses/{pk}": "analyses/{analysis}",
    "{pk}": "{device}",
    "reading_id": "reading",
}


class _AllEndpoints(EndpointEnumerator):
    """Those without a place in the OpenAPI document too."""

    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        return is_api_view(callback)


@cache
def api_routes() -> tuple[tuple[str, str], ...]:
    """Method and path of each, the path below `/api/v1/`, with ids as {device}, {alice}, {prefix} and {reading}."""
    endpoints = _AllEndpoints().get_api_endpoints()
    return tuple(sorted((method, _named(path.removeprefix("/api/v1/"))) for path, method, _ in endpoints))


def api_paths() -> dict[str, list[str]]:
    """Each path with its methods."""
    routes = api_routes()
    return {path: [method for method, other in routes if other == path] for _, path in routes}


def _named(path: str) -> str:
    for name, ours in PLACEHOLDERS.items():
        path = path.replace(name, ours)
    return path
