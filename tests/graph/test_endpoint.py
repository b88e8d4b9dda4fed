"""GraphQL over HTTP, as its specification has it."""

import asyncio
import json
from typing import Any

import pytest

from tests.fixtures.server import Served

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
EVENTS = {"Accept": "text/event-stream"}
VIEWER = "{ viewer { username } }"
TWO = "query A { viewer { username } } query B { health { version } }"
FOLLOW = "subscription { taskUpdates { __typename } }"


@pytest.fixture
def server(shared_server: Served) -> Served:
    return shared_server


async def test_a_query_may_be_sent_by_get(server: Served) -> None:
    query = "query ($id: ID!) { task(id: $id) { id } }"
    async with server.http() as http:
        plain = await http.get("/graphql", params={"query": VIEWER})
        words = {"query": query, "variables": json.dumps({"id": "x"})}
        with_variables = await http.get("/graphql", params=words)

    assert {"data": {"viewer": {"username": "admin"}}} == plain.json()
    assert "TASK_NOT_FOUND" == with_variables.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize(
    ("method", "words", "status", "allowed"),
    [
        ("GET", {"query": "mutation { refreshToken { expiresIn } }"}, 405, "POST"),
        ("GET", {"query": VIEWER, "variables": "{"}, 400, None),
        ("GET", {"query": VIEWER, "variables": "[]"}, 400, None),
        ("GET", {}, 400, None),
        ("PUT", {}, 405, "GET, POST"),
        ("DELETE", {}, 405, "GET, POST"),
    ],
)
async def test_other_ways_are_refused(
    server: Served, method: str, words: dict[str, str], status: int, allowed: str | None
) -> None:
    async with server.http() as http:
        response = await http.request(method, "/graphql", params=words)

    assert (status, allowed) == (response.status_code, response.headers.get("allow"))
    assert "VALIDATION_ERROR" == response.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ([], "The body must be a JSON object"),
        ("query", "The body must be a JSON object"),
        ({}, "query must be a GraphQL document"),
        ({"query": 1}, "query must be a GraphQL document"),
        ({"query": " \n"}, "query must be a GraphQL document"),
        ({"query": VIEWER, "variables": []}, "variables must be an object"),
        ({"query": VIEWER, "variables": "{}"}, "variables must be an object"),
        ({"query": VIEWER, "operationName": 1}, "operationName must be text"),
        ({"query": VIEWER, "extensions": []}, "extensions must be an object"),
    ],
)
async def test_what_is_no_request_is_told_why(server: Served, body: Any, mistake: str) -> None:
    async with server.http() as http:
        response = await http.post("/graphql", json=body)

    assert 400 == response.status_code
    assert mistake == response.json()["errors"][0]["message"]


async def test_a_request_may_have_nulls_and_more_words(server: Served) -> None:
    request = {"query": VIEWER, "variables": None, "operationName": None, "extensions": None}
    async with server.http() as http:
        answer = await http.post("/graphql", json=request | {"id": "7"})

    assert {"data": {"viewer": {"username": "admin"}}} == answer.json()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A", {"data": {"viewer": {"username": "admin"}}}),
        ("B", {"data": {"health": {"version": "1.0.0"}}}),
        ("C", "Unknown operation named 'C'."),
        (None, "Must provide operation name if query contains multiple operations."),
        ("", "Must provide operation name if query contains multiple operations."),
    ],
)
async def test_the_operation_is_the_one_that_is_named(
    server: Served, name: str | None, expected: Any
) -> None:
    async with server.http() as http:
        request = {"query": TWO, "operationName": name}
        answer = (await http.post("/graphql", json=request)).json()

    assert expected == (answer["errors"][0]["message"] if "errors" in answer else answer)


@pytest.mark.parametrize(
    ("accept", "query", "status", "content_type"),
    [
        (JSON, VIEWER, 200, JSON),
        (JSON, "{ nothing }", 200, JSON),
        (JSON, "{", 200, JSON),
        ("*/*", "{ nothing }", 200, JSON),
        (GRAPHQL_RESPONSE, VIEWER, 200, GRAPHQL_RESPONSE),
        (GRAPHQL_RESPONSE, "{ nothing }", 400, GRAPHQL_RESPONSE),
        (GRAPHQL_RESPONSE, "{", 400, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, {JSON};q=0.9", VIEWER, 200, GRAPHQL_RESPONSE),
    ],
)
async def test_the_status_is_that_of_the_media_type(
    server: Served, accept: str, query: str, status: int, content_type: str
) -> None:
    async with server.http() as http:
        response = await http.post("/graphql", json={"query": query}, headers={"Accept": accept})

    assert status == response.status_code
    assert f"{content_type}; charset=utf-8" == response.headers["content-type"]
    assert "no-store" == response.headers["cache-control"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_kind_is_refused(server: Served, content_type: str) -> None:
    async with server.http() as http:
        response = await http.post(
            "/graphql",
            content=b'{"query": "{ viewer { id } }"}',
            headers={"Content-Type": content_type},
        )

    assert 415 == response.status_code


async def test_a_request_keeps_the_id_that_it_came_with(server: Served) -> None:
    async with server.http() as http:
        request = {"query": "{ nothing }"}
        known = await http.post("/graphql", json=request, headers={"X-Request-ID": "abc-1"})
        strange = await http.post("/graphql", json=request, headers={"X-Request-ID": "a b\tc"})

    assert "abc-1" == known.headers["x-request-id"]
    assert "abc-1" == known.json()["errors"][0]["extensions"]["requestId"]
    assert "a b" not in strange.headers["x-request-id"]


async def test_a_subscription_needs_a_stream_to_answer_with(server: Served) -> None:
    async with server.http() as http:
        response = await http.post("/graphql", json={"query": FOLLOW})

    assert 406 == response.status_code


async def test_a_stream_ends_with_the_server(sqlite_server: Served) -> None:
    lines = []
    async with (
        sqlite_server.http() as http,
        http.stream("POST", "/graphql", json={"query": FOLLOW}, headers=EVENTS) as response,
        asyncio.timeout(10),
    ):
        sqlite_server.app.streams.end()
        lines = [line async for line in response.aiter_lines() if line]

    assert [":", "event: complete", "data:"] == lines


async def test_a_stream_says_that_it_is_alive(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.endpoint.KEEP_ALIVE_SECONDS", 0.01)
    async with (
        server.http() as http,
        http.stream("POST", "/graphql", json={"query": FOLLOW}, headers=EVENTS) as response,
        asyncio.timeout(10),
    ):
        lines = response.aiter_lines()
        first = [await anext(lines) for _ in range(4)]

    assert [":", "", ":", ""] == first


async def test_a_stream_does_not_outlive_its_token(server: Served) -> None:
    headers = EVENTS | {"Authorization": f"Bearer {server.token_for(seconds=1)}"}
    async with server.http(None) as http, asyncio.timeout(20):
        response = await http.post("/graphql", json={"query": FOLLOW}, headers=headers)

    (said,) = [line for line in response.text.splitlines() if line.startswith("data: {")]
    answer = json.loads(said.removeprefix("data: "))
    assert "AUTH_TOKEN_INVALID" == answer["errors"][0]["extensions"]["code"]
    assert response.text.endswith("event: complete\ndata:\n\n")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"isDisabled": True}, "AUTH_ACCOUNT_DISABLED"),
        ({"password": "battery staple"}, "AUTH_TOKEN_INVALID"),
    ],
)
async def test_a_stream_ends_for_who_is_refused_by_now(
    server: Served, change: dict[str, Any], code: str
) -> None:
    name = await server.newcomer()
    async with (
        server.http(name) as http,
        http.stream("POST", "/graphql", json={"query": FOLLOW}, headers=EVENTS) as response,
        asyncio.timeout(20),
    ):
        lines = response.aiter_lines()
        await anext(lines)
        await server.change_user(name, **change)
        said = [line async for line in lines if line]

    answer = json.loads(said[1].removeprefix("data: "))
    assert code == answer["errors"][0]["extensions"]["code"]
    assert ["event: complete", "data:"] == said[2:]


async def test_who_leaves_a_stream_is_not_held(sqlite_server: Served) -> None:
    streams = sqlite_server.app.streams
    async with sqlite_server.http() as http, asyncio.timeout(10):
        async with http.stream("POST", "/graphql", json={"query": FOLLOW}, headers=EVENTS):
            assert 1 == streams.open
        while streams.open:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)


async def test_an_accident_is_masked(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.app.services.graphql, "prepare", lambda *_: 1 / 0)
    async with server.http() as http:
        response = await http.post("/graphql", json={"query": VIEWER})

    assert 500 == response.status_code
    assert "Internal server error" == response.json()["errors"][0]["message"]
    assert "INTERNAL_ERROR" == response.json()["errors"][0]["extensions"]["code"]
    assert "division" not in response.text
