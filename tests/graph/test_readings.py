"""What is read in one statement, and what takes several of one moment."""

import re
from typing import Any

import pytest

from db.statements import Fetch
from tests.fixtures.server import Served
from tests.graph.executors import count_of


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ tasks { nodes { id project { name } } pageInfo { hasNextPage } } }", ["fetch"]),
        ("{ tasks { nodes { id tags } totalCount } }", ["read"]),
        ("{ tasks { nodes { id history { kind } } } }", ["read"]),
        ("{ tasks { nodes { id } } projects { nodes { id } } }", ["read"]),
    ],
)
async def test_only_a_single_statement_is_read_without_a_transaction(
    sqlite_server: Served, monkeypatch: pytest.MonkeyPatch, query: str, expected: list[str]
) -> None:
    database = sqlite_server.app.services.database
    seen = []

    def noting(name: str) -> Any:
        method = getattr(database, name)

        def noted(asked: Any) -> Any:
            seen.append(name)
            return method(asked)

        return noted

    for name in ("fetch", "read"):
        monkeypatch.setattr(database, name, noting(name))
    await sqlite_server.data(query)

    assert expected == seen


@pytest.mark.parametrize(("page", "expected"), [(1, 1), (3, 1), (4, 2)])
async def test_a_page_and_the_count_of_its_list_are_one_statement_unless_it_is_empty(
    server: Served, monkeypatch: pytest.MonkeyPatch, page: int, expected: int
) -> None:
    await server.data("""mutation {
        a: createProject(input: {name: "a"}) { id }
        b: createProject(input: {name: "b"}) { id }
        c: createProject(input: {name: "c"}) { id }
    }""")
    database = server.app.services.database
    read, asked = database.read, 0

    async def noted(reading: Any) -> Any:
        def counting() -> Any:
            nonlocal asked
            statements, rows = reading(), None
            while True:
                try:
                    fetch = statements.send(rows)
                except StopIteration as end:
                    return end.value
                asked += 1
                rows = yield fetch

        return await read(counting)

    monkeypatch.setattr(database, "read", noted)
    query = "query ($page: Int!) { projectPage(page: $page, pageSize: 1) { items { id } total } }"
    found = (await server.data(query, page=page))["projectPage"]

    assert (expected, 3, page <= 3) == (asked, found["total"], bool(found["items"]))


async def test_how_many_are_read_is_no_parameter_that_postgres_would_plan_anew_for(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = server.app.services.database
    fetch, asked = database.fetch, []

    def noted(statement: Fetch) -> Any:
        asked.append(statement.sql)
        return fetch(statement)

    monkeypatch.setattr(database, "fetch", noted)
    query = "query ($first: Int) { users(first: $first) { nodes { id } } }"
    found = [await server.data(query, "admin", first=first) for first in (1, 2, 1)]

    assert [1, 2, 1] == [len(each["users"]["nodes"]) for each in found]
    assert ["LIMIT 1", "LIMIT 2", "LIMIT 1"] == [
        match.group() for sql in asked if (match := re.search(r"LIMIT \d+", sql))
    ]


async def test_a_list_is_counted_also_where_there_is_nothing_of_it(server: Served) -> None:
    query = "query ($after: String) { users(after: $after) { totalCount edges { cursor } } }"
    all_of_them = (await server.data(query, "admin"))["users"]
    planned_before = count_of("plan")
    beyond = (await server.data(query, "admin", after=all_of_them["edges"][-1]["cursor"]))["users"]

    assert 3 == len(all_of_them["edges"]) == all_of_them["totalCount"]
    assert {"totalCount": 3, "edges": []} == beyond
    assert planned_before + 1 == count_of("plan")


async def test_an_object_may_be_left_without_any_key(server: Served) -> None:
    query = """
        query ($no: Boolean!) {
          users { nodes { id @include(if: $no) } edges { cursor @include(if: $no) } }
        }
    """
    planned_before = count_of("plan")
    found = await server.data(query, "admin", no=False)

    assert {"nodes": [{}, {}, {}], "edges": [{}, {}, {}]} == found["users"]
    assert planned_before + 1 == count_of("plan")
