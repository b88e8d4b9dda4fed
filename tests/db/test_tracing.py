"""Spans: made when there is a tracer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from db import tracing, users
from db.engine import Database


class Book:
    """A tracer that writes down which spans were begun and ended."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, dict[str, Any]]] = []

    @contextmanager
    def start_as_current_span(self, name: str, *, attributes: dict[str, Any]) -> Iterator[None]:
        self.spans.append(("begun", name, attributes))
        yield
        self.spans.append(("ended", name, attributes))


@pytest.fixture
def book() -> Iterator[Book]:
    found = Book()
    tracing.use(found)
    yield found
    tracing.use(None)


async def test_a_transaction_is_a_span(database: Database, book: Book) -> None:
    await database.write(users.is_empty)

    assert [("begun", "transaction", {}), ("ended", "transaction", {})] == book.spans


def test_a_span_says_what_is_known(book: Book) -> None:
    with tracing.span("run", run_id="1", task_id=None):
        pass

    assert ("begun", "run", {"run_id": "1"}) == book.spans[0]


def test_without_a_tracer_there_is_no_span() -> None:
    with tracing.span("run", run_id="1") as found:
        assert found is None
