"""What a program must be able to tell and be told, to be run for a task: one small protocol.

An adapter knows one program's words and nothing of ours: it starts no process, keeps no record and
decides no end. It makes effects of what the program prints; whoever carries the run out acts on
them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from db.approvals import Request
from db.spending import Spending
from db.types import Stream

EXECUTION_FAILED = "TASK_EXECUTION_FAILED"


class Unable(Exception):
    """The run can't be carried out now, nor later unless it may be retried."""

    def __init__(
        self,
        exit_code: int | None,
        message: str,
        code: str = EXECUTION_FAILED,
        *,
        may_retry: bool = False,
    ) -> None:
        self.exit_code = exit_code
        self.code = code
        self.may_retry = may_retry
        super().__init__(message)


class NotYet(Exception):
    """The run can't be carried out before some seconds have passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"not within {seconds} s")


@dataclass(frozen=True)
class Printed:
    """People are to see this."""

    stream: Stream
    text: str


@dataclass(frozen=True)
class Told:
    """Something happened that is worth an event of its own."""

    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Identified:
    """The agent has a name for its conversation, and speaks to this model."""

    session_id: str
    model: str


@dataclass(frozen=True)
class Progressed:
    """The agent has come so far."""

    percentage: int


@dataclass(frozen=True)
class Spent:
    """The agent has cost this since the last time."""

    spendings: Sequence[Spending]


@dataclass(frozen=True)
class Took:
    """The agent has heard this message."""

    message_id: str


@dataclass(frozen=True)
class Asked:
    """The agent waits for a permission."""

    request: Request


@dataclass(frozen=True)
class Withdrew:
    """The agent does not wait for that permission any more."""

    request_id: str


@dataclass(frozen=True)
class Despaired:
    """The agent goes on, but in vain: it should be stopped."""


Effect = Printed | Told | Identified | Progressed | Spent | Took | Asked | Withdrew | Despaired


@dataclass(frozen=True)
class Verdict:
    """How a program ended: with success if there is no `code`, else with this documented one.

    What has `lost_its_session` was to go on with a conversation that it does not know any more.
    """

    code: str | None = None
    message: str | None = None
    may_retry: bool = True
    lost_its_session: bool = False


class Program(Protocol):
    """One run of a program."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """On top of what every run gets."""

    home: Path | None
    """A directory of its own, where it keeps what it knows; None is where it works."""

    def verdict(self, exit_code: int) -> Verdict:
        """How it ended, by what it said and its exit code."""


@runtime_checkable
class Agent(Program, Protocol):
    """A program that is talked to, on standard input and output, while it runs."""

    def opening(self) -> bytes:
        """What it is told first."""

    def read(self, stream: Stream, data: bytes) -> Iterable[Effect]:
        """What comes of something that it printed."""

    def message(self, message_id: str, text: str) -> bytes:
        """How it is told something; it will say that it `Took` it."""

    def answer(self, request_id: str, *, allow: bool, reason: str | None) -> bytes | None:
        """How it is told whether it may do what it asked for; None if it does not ask."""

    def interruption(self) -> bytes:
        """How it is asked to stop what it is at."""

    def is_resting(self) -> bool:
        """Whether it has done all that it was told, and ends unless it is told more."""

    def patience_seconds(self) -> float | None:
        """After how long a silence it is stuck, as things are now; None is never."""
