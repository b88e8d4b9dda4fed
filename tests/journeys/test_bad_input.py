"""What is wrong gets the documented error, whatever it is and wherever it comes in."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fixtures.server import PASSWORD, Served
from tests.journeys.bad_input import (
    BODIES,
    GRAPHQL,
    INVALID,
    MESSAGES,
    PROTECTED,
    REST,
    SUBSCRIPTIONS,
    UNKNOWN,
)


@pytest.fixture
async def ids(server: Served) -> dict[str, str]:
    """What the tables name in braces."""
    project = (await server.data('mutation { createProject(input: {name: "x"}) { id } }'))[
        "createProject"
    ]["id"]
    create = 'mutation ($p: ID!) { createTask(input: {projectId: $p, title: "x"}) { id } }'
    task = (await server.data(create, p=project))["createTask"]["id"]
    return {"{project}": project, "{task}": task, "{unknown}": UNKNOWN}


async def test_rest_refuses_bad_input_as_documented(server: Served, ids: dict[str, str]) -> None:
    found = []
    async with server.http() as http:
        for method, path, body, *_ in REST:
            response = await asked(http, method, named(path, ids), named(body, ids))
            error = response.json()["error"] or {}
            field = error.get("details", {}).get("field")
            found.append((method, path, body, response.status_code, error.get("code"), field))

    assert REST == found


@pytest.mark.parametrize("method_and_path", PROTECTED, ids=" ".join)
async def test_rest_refuses_whoever_it_does_not_know(
    server: Served, method_and_path: tuple[str, str]
) -> None:
    found = {}
    async with server.http(None) as http:
        for name, headers in strangers(server).items():
            response = await http.request(*method_and_path, headers=headers)
            error = response.json()["error"]
            challenge = response.headers.get("www-authenticate")
            found[name] = (response.status_code, error["code"], challenge)

    assert {
        "nobody": (401, "AUTH_TOKEN_MISSING", "Bearer"),
        **dict.fromkeys(
            ["garbled", "expired", "forged", "other scheme"], (401, "AUTH_TOKEN_INVALID", "Bearer")
        ),
    } == found


async def test_graphql_refuses_bad_input_as_documented(server: Served, ids: dict[str, str]) -> None:
    found = []
    for query, variables, *_ in GRAPHQL:
        answer = await server.graphql(query, **named(variables, ids))
        extensions = answer["errors"][0]["extensions"]
        found.append((query, variables, extensions["code"],
                      extensions.get("details", {}).get("field")))  # fmt: skip

    assert GRAPHQL == found


async def test_graphql_refuses_what_is_no_request(sqlite_server: Served) -> None:
    found = {}
    async with sqlite_server.http() as http:
        for body in BODIES:
            response = await asked(http, "POST", "/graphql", body)
            assert INVALID == response.json()["errors"][0]["extensions"]["code"]
            found[body] = response.status_code

    assert BODIES == found


async def test_graphql_refuses_whoever_it_does_not_know(server: Served) -> None:
    found = {}
    async with server.http(None) as http:
        for name, headers in strangers(server).items():
            query = {"query": "{ viewer { id } }"}
            answer = (await http.post("/graphql", json=query, headers=headers)).json()
            assert not answer["data"]
            found[name] = answer["errors"][0]["extensions"]["code"]

    assert {
        "nobody": "AUTH_TOKEN_MISSING",
        **dict.fromkeys(["garbled", "expired", "forged", "other scheme"], "AUTH_TOKEN_INVALID"),
    } == found


async def test_subscriptions_over_a_socket_refuse_bad_input_as_documented(server: Served) -> None:
    found = []
    async with graphql_socket(server) as socket:
        await say(socket, {"type": "connection_init", "payload": server.headers()})
        await hear(socket)
        for number, (query, _) in enumerate(SUBSCRIPTIONS):
            await say(socket, subscribe(str(number), query))
            message = await hear(socket)
            if message["type"] == "next":
                assert {"type": "complete", "id": str(number)} == await hear(socket)
            payload = message["payload"]
            errors = payload if message["type"] == "error" else payload["errors"]
            found.append((query, errors[0]["extensions"]["code"]))

    assert SUBSCRIPTIONS == found


async def test_subscriptions_over_events_refuse_bad_input_as_documented(server: Served) -> None:
    found = []
    async with server.http() as http:
        for query, _ in SUBSCRIPTIONS:
            headers = {"Accept": "text/event-stream"}
            response = await http.post("/graphql", json={"query": query}, headers=headers)
            answers = [
                line for line in response.text.splitlines() if line.startswith(("{", "data: {"))
            ]
            errors = json.loads(answers[0].removeprefix("data: "))["errors"]
            found.append((query, errors[0]["extensions"]["code"]))

    assert SUBSCRIPTIONS == found


async def test_a_graphql_socket_closes_on_a_token_that_is_not_good(server: Served) -> None:
    found = {}
    for name, headers in strangers(server).items():
        if name == "nobody":
            continue
        async with graphql_socket(server) as socket:
            await say(socket, {"type": "connection_init", "payload": headers})
            found[name] = await close_code(socket)

    assert dict.fromkeys(["garbled", "expired", "forged", "other scheme"], 4403) == found


async def test_a_graphql_socket_refuses_whoever_comes_without_a_token(server: Served) -> None:
    async with graphql_socket(server) as socket:
        await say(socket, {"type": "connection_init"})
        await hear(socket)
        await say(socket, subscribe("1", "subscription { taskUpdates { __typename } }"))
        message = await hear(socket)

    assert "AUTH_TOKEN_MISSING" == message["payload"]["errors"][0]["extensions"]["code"]


async def test_ws_refuses_bad_messages_as_documented_and_stays(server: Served) -> None:
    found = []
    async with server.http() as http:
        session = (await http.post("/api/sessions/", json={})).json()["data"]["session_id"]
    async with connect(f"{server.ws_url}/ws/{session}", proxy=None) as socket:
        await say(socket, {"type": "authenticate", "token": server.tokens["admin"]})
        assert "authenticated" == (await hear(socket))["type"]
        for message, *_ in MESSAGES:
            await say(socket, message)
            answer = await hear(socket)
            assert "error" == answer["type"]
            field = answer["data"]["details"].get("field")
            found.append((message, answer["data"]["code"], field))
        await say(socket, {"type": "ping", "timestamp": 1})
        last = await hear(socket)

    assert MESSAGES == found
    assert {"type": "pong", "timestamp": 1} == last


def strangers(server: Served) -> dict[str, dict[str, str]]:
    """Headers of callers who are nobody to us."""
    claims = jwt.decode(server.tokens["admin"], options={"verify_signature": False})
    past = claims | {"exp": datetime.now(UTC) - timedelta(seconds=1)}
    key = server.app.services.settings.signing_key()
    return {
        "nobody": {},
        "garbled": {"Authorization": "Bearer rubbish"},
        "expired": {"Authorization": f"Bearer {jwt.encode(past, key, 'HS256')}"},
        "forged": {"Authorization": f"Bearer {jwt.encode(claims, 'x' * 32, 'HS256')}"},
        "other scheme": {"Authorization": f"Basic admin:{PASSWORD}"},
    }


def named(value: Any, ids: dict[str, str]) -> Any:
    """The value, with real ids for what it names in braces."""
    if isinstance(value, str):
        for name, id_ in ids.items():
            value = value.replace(name, id_)
    if isinstance(value, dict):
        return {key: named(item, ids) for key, item in value.items()}
    return value


async def asked(http: httpx2.AsyncClient, method: str, path: str, body: Any) -> httpx2.Response:
    if isinstance(body, bytes):
        headers = {"Content-Type": "application/json"}
        return await http.request(method, path, content=body, headers=headers)
    return await http.request(method, path, json=body)


def graphql_socket(server: Served) -> connect:
    url = f"{server.ws_url}/graphql"
    return connect(url, subprotocols=["graphql-transport-ws"], proxy=None)  # type: ignore[list-item]


def subscribe(id_: str, query: str) -> dict[str, Any]:
    return {"type": "subscribe", "id": id_, "payload": {"query": query}}


async def say(socket: ClientConnection, message: Any) -> None:
    await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def close_code(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await hear(socket)
    assert closed.value.rcvd
    return closed.value.rcvd.code
