"""What is read in one statement, and what takes several of one moment."""

from typing import Any

import pytest

from tests.fixtures.server import Served
from tests.graph.executors import count_of


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ tasks { nodes { id project { name } } pageInfo { hasNextPage } } }", [True]),
        ("{ tasks { nodes { id tags } totalCount } }", [True]),
        ("{ tasks { nodes { id history { kind } } } }", [False]),
        ("{ tasks { nodes { id } } projects { nodes { id } } }", [False]),
    ],
)
async def test_only_a_single_statement_is_read_without_a_transaction(
    sqlite_server: Served, monkeypatch: pytest.MonkeyPatch, query: str, expected: list[bool]
) -> None:
    database = sqlite_server.app.services.database
    read, seen = database.read, []

    async def noted(reading: Any, *, is_single: bool = False) -> Any:
        seen.append(is_single)
        return await read(reading, is_single=is_single)

    monkeypatch.setattr(database, "read", noted)
    await sqlite_server.data(query)

    assert expected == seen


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
