"""However many rows a list shows, what they refer to is read by one statement for each relation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from db.statements import Compiled, Fetch
from graph.nouns import NOUNS, Column, Computed, Noun, Part, ToOne
from graph.services import Services
from tests.fixtures.databases import Maker
from tests.graph.executors import by_plan, by_reference, recorded
from tests.graph.world import ADMIN

QUERY = """query ($first: Int!) {
  tasks(first: $first) {
    totalCount
    nodes {
      project { name creator { username } }
      assignee { username }
      history { kind user { username } }
      dependencies { task { title } }
      lastRun { status recentOutput { content } }
    }
  }
}"""


async def statements_of_the_reference(services: Services, first: int) -> int:
    prepared = services.graphql.prepare(QUERY)
    with counted() as statements:
        answer = await by_reference(services, "graphql", prepared, ADMIN, {"first": first})
    assert not answer.errors
    return len(statements)


async def statements_of_the_plan(
    services: Services, first: int, monkeypatch: pytest.MonkeyPatch
) -> int:
    prepared = services.graphql.prepare(QUERY)
    fetched: list[str] = []
    original = Compiled.fetch

    def fetch(self: Compiled, values: Any) -> Fetch:
        fetched.append(self.sql)
        return original(self, values)

    with monkeypatch.context() as watched:
        watched.setattr(Compiled, "fetch", fetch)
        answer = await by_plan(services, "graphql", prepared, ADMIN, {"first": first})
    assert not answer.errors
    return len(fetched)


async def test_the_reference_reads_each_relation_once(make_database: Maker, tmp_path: Path) -> None:
    async with recorded(make_database, tmp_path) as services:
        few = await statements_of_the_reference(services, 3)
        many = await statements_of_the_reference(services, 24)

    # Tasks, their number, and nine relations; of users there are three.
    assert few <= many <= 12


async def test_a_plan_reads_no_more_for_more_rows(
    make_database: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recorded(make_database, tmp_path) as services:
        few = await statements_of_the_plan(services, 3, monkeypatch)
        many = await statements_of_the_plan(services, 24, monkeypatch)

    assert 0 < few <= many <= 12


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that SQLAlchemy executes meanwhile, in whichever thread."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    "noun", [noun for noun in NOUNS.values() if noun.table is not None], ids=lambda noun: noun.name
)
def test_a_row_has_all_that_its_resolvers_read(noun: Noun) -> None:
    assert _read_by_resolvers(noun) <= {column.name for column in noun.select().selected_columns}


def _read_by_resolvers(noun: Noun) -> set[str]:
    names: set[str] = set()
    for name, source in noun.fields.items():
        match source:
            case Column(expression) if expression is not None:
                names.add(name)
            case Computed(needs, _):
                names.update(needs)
            case ToOne(_, by):
                names.add(by)
            case Part(other):
                names |= _read_by_resolvers(NOUNS[other])
    return names
