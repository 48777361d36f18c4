"""One hostile request as data: what is sent, by whom, and how it has to be answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Rubbish = TypeVar("Rubbish")

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"


@dataclass(frozen=True)
class Case:
    """A request and its answer.

    Path, headers and small bodies may name what the house holds, such as {device}, {foreign} or {reading}: see
    `house`. A path is below `/api/v1/` unless it begins with a slash.
    """

    name: str
    method: str
    path: str
    status: int | None  # None: anything below 500
    code: str = ""  # of the first error
    body: bytes | Callable[[], bytes] = b""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    sender: str = "alice"
    stores: int = 0  # how many readings, of what is odd but right

    @property
    def title(self) -> str:
        path = self.path if len(self.path) < 100 else f"{self.path[:30]}...{self.path[-30:]}"
        return f"{self.method[:10]} {path}: {self.name}, by {self.sender}"

    def content(self) -> bytes:
        return self.body() if callable(self.body) else self.body


def for_route(path: str, thorough: tuple[str, ...], values: list[Rubbish], few: int) -> list[Rubbish]:
    """All values for the paths that are tried thoroughly, the first few of them for every other one."""
    return values if path in thorough else values[:few]
