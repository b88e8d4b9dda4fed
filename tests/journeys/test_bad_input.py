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

UNKNOWN = "0198ffff-ffff-7fff-bfff-ffffffffffff"
MISSING, FORMAT = "VALIDATION_REQUIRED_FIELD", "VALIDATION_INVALID_FORMAT"
INVALID, TOO_LONG = "VALIDATION_ERROR", "VALIDATION_VALUE_TOO_LONG"

# A request, and the status, the code and the field that its answer names.
REST: list[tuple[str, str, Any, int, str, str | None]] = [
    ("POST", "/api/auth/login", {"username": "admin"}, 422, MISSING, "password"),
    ("POST", "/api/auth/login", {"username": 1, "password": "x"}, 422, FORMAT, "username"),
    ("POST", "/api/auth/login", {"username": "admin", "password": "no"}, 401,
     "AUTH_TOKEN_INVALID", None),
    ("POST", "/api/auth/login", {"username": "a\0", "password": "no"}, 422, FORMAT, "username"),
    ("POST", "/api/auth/login", b"{", 400, INVALID, "body"),
    ("POST", "/api/projects/", {}, 422, MISSING, "name"),
    ("POST", "/api/projects/", None, 422, MISSING, "name"),
    ("POST", "/api/projects/", b"[1]", 400, INVALID, "body"),
    ("POST", "/api/projects/", b"null", 400, INVALID, "body"),
    ("POST", "/api/projects/", b'{"name":' + b"[" * 5000, 400, INVALID, "body"),
    ("POST", "/api/projects/", b'{"name":"\xff"}', 400, INVALID, "body"),
    ("POST", "/api/projects/", b" " * 1_100_000, 413, INVALID, "body"),
    ("POST", "/api/projects/", {"name": ""}, 422, MISSING, "name"),
    ("POST", "/api/projects/", {"name": "x" * 201}, 422, TOO_LONG, "name"),
    ("POST", "/api/projects/", {"name": "x", "settings": []}, 422, FORMAT, "settings"),
    ("POST", "/api/projects/", {"name": "x", "resource_limits": {"max_tasks": "ten"}}, 422,
     FORMAT, "resource_limits.max_tasks"),
    ("POST", "/api/projects/", {"name": "x", "resource_limits": {"max_tasks": 0}}, 422,
     INVALID, "resource_limits.max_tasks"),
    ("GET", "/api/projects/{unknown}", None, 404, "PROJECT_NOT_FOUND", None),
    ("GET", "/api/projects/%00", None, 422, FORMAT, "project_id"),
    ("PUT", "/api/projects/{project}", {"name": None}, 422, MISSING, "name"),
    ("PUT", "/api/projects/{project}", {"status": "lost"}, 422, FORMAT, "status"),
    ("PUT", "/api/projects/{unknown}", {"name": "x"}, 404, "PROJECT_NOT_FOUND", None),
    ("DELETE", "/api/projects/{unknown}", None, 404, "PROJECT_NOT_FOUND", None),
    ("GET", "/api/projects/?page=0", None, 422, INVALID, "page"),
    ("GET", "/api/projects/?page=one", None, 422, FORMAT, "page"),
    ("POST", "/api/tasks/", {"title": "x"}, 422, MISSING, "project_id"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{unknown}"}, 404,
     "PROJECT_NOT_FOUND", None),
    ("POST", "/api/tasks/", {"project_id": "{project}"}, 422, MISSING, "title"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "priority": "high"}, 422,
     FORMAT, "priority"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "priority": 101}, 422,
     INVALID, "priority"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "priority": 2**40}, 422,
     FORMAT, "priority"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "tags": "a"}, 422,
     FORMAT, "tags"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "tags": [None]}, 422,
     MISSING, "tags.0"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}",
     "estimated_duration": "long"}, 422, FORMAT, "estimated_duration"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "assigned_to": "{unknown}"},
     422, FORMAT, "assigned_to"),
    ("POST", "/api/tasks/", {"title": "x", "project_id": "{project}", "metadata": {"a": "\0"}},
     422, FORMAT, "metadata"),
    ("GET", "/api/tasks/{unknown}", None, 404, "TASK_NOT_FOUND", None),
    ("GET", "/api/tasks/?status=done", None, 422, FORMAT, "status"),
    ("GET", "/api/tasks/?page_size=101", None, 422, INVALID, "page_size"),
    ("GET", "/api/tasks/?created_after=yesterday", None, 422, FORMAT, "created_after"),
    ("GET", "/api/tasks/?sort=colour", None, 422, FORMAT, "sort"),
    ("PUT", "/api/tasks/{task}", {"title": None}, 422, MISSING, "title"),
    ("PUT", "/api/tasks/{task}", {"status": 5}, 422, FORMAT, "status"),
    ("PUT", "/api/tasks/{task}", {"progress_percentage": 101}, 422, INVALID, "progress_percentage"),
    ("GET", "/api/tasks/{unknown}/history", None, 404, "TASK_NOT_FOUND", None),
    ("POST", "/api/tasks/{unknown}/execute", {}, 404, "TASK_NOT_FOUND", None),
    ("POST", "/api/tasks/{task}/execute", {"priority": "urgent"}, 422, FORMAT, "priority"),
    ("POST", "/api/tasks/{task}/execute", {"options": {"timeout": -1}}, 422, INVALID,
     "options.timeout"),
    ("POST", "/api/tasks/{task}/execute", {"options": {"runner": "shell"}}, 422, INVALID,
     "metadata.command"),
    ("POST", "/api/tasks/{unknown}/cancel", {}, 404, "TASK_NOT_FOUND", None),
    ("POST", "/api/tasks/{task}/retry", {}, 422, INVALID, "status"),
    ("DELETE", "/api/tasks/{unknown}", None, 404, "TASK_NOT_FOUND", None),
    ("POST", "/api/commands/execute", {}, 422, MISSING, "command"),
    ("POST", "/api/commands/execute", {"command": " "}, 422, MISSING, "command"),
    ("POST", "/api/commands/execute", {"command": "true", "timeout": 0}, 422, INVALID, "timeout"),
    ("POST", "/api/commands/execute", {"command": "true", "environment": {"A": 1}}, 422, FORMAT,
     "environment.A"),
    ("GET", "/api/commands/{unknown}/status", None, 404, "RESOURCE_NOT_FOUND", None),
    ("POST", "/api/commands/{unknown}/cancel", {}, 404, "RESOURCE_NOT_FOUND", None),
    ("POST", "/api/sessions/", {"project_id": "{unknown}"}, 404, "PROJECT_NOT_FOUND", None),
    ("POST", "/api/sessions/", {"settings": "dark"}, 422, FORMAT, "settings"),
    ("GET", "/api/sessions/{unknown}", None, 404, "RESOURCE_NOT_FOUND", None),
    ("GET", "/api/nothing", None, 404, "RESOURCE_NOT_FOUND", None),
    ("PATCH", "/api/tasks/{task}", {}, 405, "METHOD_NOT_ALLOWED", None),
]  # fmt: skip

PROTECTED = [
    ("GET", "/api/tasks/"),
    ("POST", "/api/projects/"),
    ("GET", "/api/commands/running"),
    ("POST", "/api/sessions/"),
]

# A query with its variables, and the code and the field that its error names.
GRAPHQL: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("{", {}, "GRAPHQL_PARSE_FAILED", None),
    ("{ nothing }", {}, INVALID, None),
    ("query A { viewer { id } } query B { viewer { id } }", {}, INVALID, None),
    ("{ task { id } }", {}, INVALID, None),
    ("{ taskPage(page: true) { page } }", {}, INVALID, None),
    ("query ($page: Int!) { taskPage(page: $page) { page } }", {}, INVALID, None),
    ("query ($page: Int!) { taskPage(page: $page) { page } }", {"page": "x"}, INVALID, None),
    ("query ($page: Int!) { taskPage(page: $page) { page } }", {"page": 2**40}, INVALID, None),
    ("query ($page: Int!) { taskPage(page: $page) { page } }", {"page": 0}, INVALID, "page"),
    ("{ tasks(first: 101) { nodes { id } } }", {}, INVALID, "first"),
    ("{ tasks(first: 1, last: 1) { nodes { id } } }", {}, INVALID, "first"),
    ('{ tasks(after: "rubbish") { nodes { id } } }', {}, FORMAT, "after"),
    # ["created_at", 5, "x"], ["priority", 1e30, "x"]: cursors that we did not make.
    ('{ tasks(after: "WyJjcmVhdGVkX2F0Iiw1LCJ4Il0=") { nodes { id } } }', {}, FORMAT, "after"),
    ('{ tasks(sort: PRIORITY, before: "WyJwcmlvcml0eSIsMWUzMCwieCJd") { nodes { id } } }', {},
     FORMAT, "before"),
    ("query ($id: ID!) { task(id: $id) { id } }", {"id": UNKNOWN}, "TASK_NOT_FOUND", None),
    ("query ($id: ID!) { project(id: $id) { id } }", {"id": UNKNOWN}, "PROJECT_NOT_FOUND", None),
    ("query ($id: ID!) { run(id: $id) { id } }", {"id": UNKNOWN}, "RESOURCE_NOT_FOUND", None),
    ("query ($id: ID!) { session(id: $id) { id } }", {"id": "?"}, "RESOURCE_NOT_FOUND", None),
    ('mutation { createProject(input: {name: " "}) { id } }', {}, MISSING, "name"),
    ("mutation { createProject(input: {}) { id } }", {}, INVALID, None),
    ("mutation ($id: ID!) { updateTask(id: $id, input: {title: null}) { id } }",
     {"id": "{task}"}, MISSING, "title"),
    ("mutation ($id: ID!) { updateTask(id: $id, input: {metadata: 5}) { id } }",
     {"id": "{task}"}, FORMAT, "metadata"),
    ("mutation ($id: ID!) { updateProject(id: $id, input: {resourceLimits: null}) { id } }",
     {"id": "{project}"}, MISSING, "resource_limits"),
    ("mutation ($id: ID!) { executeTask(id: $id, options: {runner: SHELL}) { executionId } }",
     {"id": "{task}"}, INVALID, "metadata.command"),
    ("mutation ($id: ID!) { cancelRun(id: $id) { id } }", {"id": UNKNOWN},
     "RESOURCE_NOT_FOUND", None),
    ('mutation { createUser(input: {username: "x", password: "short"}) { id } }', {},
     "VALIDATION_VALUE_TOO_SHORT", "password"),
    ('mutation { createUser(input: {username: "admin", password: "longenough"}) { id } }', {},
     "RESOURCE_ALREADY_EXISTS", None),
    ('mutation { login(username: "admin", password: "wrong") { accessToken } }', {},
     "AUTH_TOKEN_INVALID", None),
]  # fmt: skip

# A body that is no GraphQL request, and the status of the answer.
BODIES = {
    b"": 400,
    b"{": 400,
    b"1": 400,
    b"null": 400,
    b"[]": 400,
    b"\xff": 400,
    b"[" * 100_000: 400,
    b"{}": 400,
    b'{"query": 1}': 400,
    b'{"query": "{ viewer { id } }", "variables": []}': 400,
    b'{"query": "{ viewer { id } }", "operationName": 5}': 400,
    b" " * 1_100_000: 413,
}

SUBSCRIPTIONS: list[tuple[str, str]] = [
    ("subscription {", "GRAPHQL_PARSE_FAILED"),
    ("subscription { nothing }", INVALID),
    ("subscription ($id: ID!) { projectUpdates(projectId: $id) { __typename } }", INVALID),
    ('subscription { projectUpdates(projectId: "?") { __typename } }', "PROJECT_NOT_FOUND"),
    ('subscription { taskUpdates(taskId: "?") { __typename } }', "TASK_NOT_FOUND"),
    ('subscription { taskUpdates(after: "?") { __typename } }', FORMAT),
    ('subscription { taskUpdates(after: "99999999999999999999-1") { __typename } }', FORMAT),
    ('subscription { commandOutput(runId: "?") { __typename } }', "RESOURCE_NOT_FOUND"),
]

MESSAGES: list[tuple[Any, str, str | None]] = [
    ("{", INVALID, None),
    ("[]", INVALID, None),
    (b"{}", INVALID, None),
    ({}, MISSING, "type"),
    ({"type": "dance"}, FORMAT, "type"),
    ({"type": "execute_task"}, MISSING, "task_id"),
    ({"type": "execute_task", "task_id": 1.5}, FORMAT, "task_id"),
    ({"type": "execute_task", "task_id": UNKNOWN}, "TASK_NOT_FOUND", None),
    ({"type": "execute_task", "task_id": "x", "priority": "urgent"}, FORMAT, "priority"),
    ({"type": "subscribe"}, MISSING, "channel"),
    ({"type": "subscribe", "channel": "gossip"}, FORMAT, "channel"),
    ({"type": "subscribe", "channel": "project_updates"}, MISSING, "project_id"),
    ({"type": "subscribe", "channel": "project_updates", "project_id": UNKNOWN},
     "PROJECT_NOT_FOUND", None),
    ({"type": "subscribe", "channel": "task_updates", "task_id": UNKNOWN}, "TASK_NOT_FOUND", None),
    ({"type": "authenticate"}, MISSING, "token"),
    ({"type": "authenticate", "token": "bad"}, "AUTH_TOKEN_INVALID", None),
]  # fmt: skip


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
