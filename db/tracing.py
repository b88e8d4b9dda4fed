"""Spans, for whoever follows requests and runs through several processes; nothing without a tracer.

Nothing here knows OpenTelemetry: the tracer that `app.py` hands over does.
"""

from collections.abc import Awaitable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Tracer(Protocol):
    """What we need of OpenTelemetry's."""

    def start_as_current_span(
        self, name: str, *, attributes: dict[str, Any]
    ) -> AbstractContextManager[Any]: ...


def use(tracer: Tracer | None) -> None:
    """Have spans made by this tracer from now on; by none with None."""
    global _tracer  # noqa: PLW0603 - like the logger, there is one for the process
    _tracer = tracer


def traced(work: Coroutine[Any, Any, T], name: str, **attributes: str | None) -> Awaitable[T]:
    """The same work, as one span: the work itself where there is no tracer."""
    return work if _tracer is None else _within(span(name, **attributes), work)


def span(name: str, **attributes: str | None) -> AbstractContextManager[Any]:
    """What happens within the block, as one span."""
    if _tracer is None:
        return _NOTHING
    known = {key: value for key, value in attributes.items() if value is not None}
    return _tracer.start_as_current_span(name, attributes=known)


async def _within(span: AbstractContextManager[Any], work: Coroutine[Any, Any, T]) -> T:
    with span:
        return await work


_tracer: Tracer | None = None
_NOTHING = nullcontext()
