"""What this process was installed with, beyond the reach of the graph."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cli:
    """A program: whether it is there, and its version as far as it says one."""

    is_installed: bool
    version: str | None


@dataclass(frozen=True)
class Installation:
    """How runs are contained, None in a process that carries out none; and the claude CLI."""

    process_backend: str | None
    find_claude: Callable[[], Awaitable[Cli]]
