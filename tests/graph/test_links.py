"""The addresses of a list's pages."""

import pytest

from graph.links import PageLinks, pagination
from tests.fixtures.server import Served


@pytest.mark.parametrize(
    ("here", "total", "page", "expected"),
    [
        (
            "/api/tasks/",
            0,
            1,
            PageLinks(
                first="/api/tasks/?page=1&page_size=10",
                previous=None,
                next=None,
                last="/api/tasks/?page=1&page_size=10",
            ),
        ),
        (
            "/api/tasks/?page=2&status=pending%2Crunning&page_size=5&search=%22a+b%22",
            25,
            2,
            PageLinks(
                first="/api/tasks/?status=pending%2Crunning&search=%22a+b%22&page=1&page_size=10",
                previous="/api/tasks/?status=pending%2Crunning&search=%22a+b%22&page=1&page_size=10",
                next="/api/tasks/?status=pending%2Crunning&search=%22a+b%22&page=3&page_size=10",
                last="/api/tasks/?status=pending%2Crunning&search=%22a+b%22&page=3&page_size=10",
            ),
        ),
        (
            "",
            25,
            3,
            PageLinks(
                first="?page=1&page_size=10",
                previous="?page=2&page_size=10",
                next=None,
                last="?page=3&page_size=10",
            ),
        ),
    ],
)
def test_links_lead_to_other_pages(here: str, total: int, page: int, expected: PageLinks) -> None:
    assert expected == pagination(here, total, page, 10).links


async def test_a_graphql_client_says_where_it_is(sqlite_server: Served) -> None:
    query = """
        query ($here: String!) {
          projectPage(pageSize: 1, here: $here) { pagination { pages links { last } } }
        }
    """
    found = await sqlite_server.data(query, here="https://example.org/list?all")

    assert {
        "pages": 0,
        "links": {"last": "https://example.org/list?all&page=1&page_size=1"},
    } == found["projectPage"]["pagination"]
