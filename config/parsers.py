"""How JSON bodies are read."""

from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser as RestFrameworkJSONParser


class JSONParser(RestFrameworkJSONParser):
    """JSON whose faults are all 400: nesting beyond Python's stack too.

    `NaN` and `Infinity`, which many senders write although JSON has no such words, are let through to
    the fields: every number field refuses them, and can name the row and the field where a parser
    could only name the byte.
    """

    strict = False

    def parse(self, stream: IO[Any], media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply") from None
