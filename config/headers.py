"""What answers tell a browser: that nobody keeps a copy and, with a page, what it may load and use."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]

STRICT = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# By the beginning of the path, the first that fits. Scripts come from files of ours everywhere; the browsable API and
# Swagger UI have styles in their pages. So has the admin, whose Alpine.js also makes functions of the attributes in its
# pages: nothing that a visitor wrote may get into such an attribute.
CONTENT_SECURITY_POLICIES = {
    "/admin/": f"{STRICT}; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'",
    "/api/": f"{STRICT}; style-src 'self' 'unsafe-inline'",
    "/": STRICT,
}
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def protective_headers(get_response: Handler) -> Handler:
    """Middleware: headers where the view has set none of its own. Static files bring their own `Cache-Control`."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.setdefault("Cache-Control", "no-store")
        if response.get("Content-Type", "").startswith("text/html"):
            response.setdefault("Content-Security-Policy", _policy(request.path))
            response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return handle


def _policy(path: str) -> str:
    return next((policy for start, policy in CONTENT_SECURITY_POLICIES.items() if path.startswith(start)), STRICT)
