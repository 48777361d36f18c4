"""What `OPTIONS` tells of a view."""

from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request


class Metadata(SimpleMetadata):
    """Its name and media types, and no fields: those are in the document, without a look-up for each choice."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        return {}
