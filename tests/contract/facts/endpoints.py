"""What the documentation says of a path: what may be sent, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract.shapes import ANY, Shape


@dataclass(frozen=True)
class Endpoint:
    """One method on one path.

    Words in braces (`{task_id}`) stand for something that exists when it is asked for; a name of
    the path may stand for something special (`given`).
    """

    method: str
    path: str
    answer: Shape = ANY
    more: Shape = field(default_factory=dict)
    """Keys of which each is only in some of the answers."""
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The parameters, each with values that are documented, the one in the example first."""
    free: tuple[str, ...] = ()
    """Parameters that take any text."""
    body: Mapping[str, Any] | None = None
    """A request as documented, with values of our own."""
    bodies: tuple[Mapping[str, Any], ...] = ()
    """Further requests, so that every documented word of a body is sent."""
    given: Mapping[str, str] = field(default_factory=dict)
    success: int = 200
    is_public: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"
