"""The graphql-transport-ws protocol: what is said, and how a socket ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from db.types import Role
from graph import socket as subject
from tests.fixtures.server import PASSWORD, Served

INIT = {"type": "connection_init"}
FOLLOW = "subscription { taskUpdates { __typename } }"
CREATE = """mutation ($name: String!) { createProject(input: {name: $name}) { id } }"""
CREATE_TASK = """mutation ($id: ID!) {
  createTask(input: {projectId: $id, title: "x"}) { id }
}"""
CHANGE_PASSWORD = """mutation ($old: String!, $new: String!) {
  changePassword(currentPassword: $old, newPassword: $new) { accessToken }
}"""
WATCH = """subscription ($id: ID!) {
  taskUpdates(projectId: $id, after: "0-0") { ... on TaskUpdate { kind } }
}"""


@pytest.fixture
def server(shared_server: Served) -> Served:
    return shared_server


@asynccontextmanager
async def talk(server: Served, *first: Any, **options: Any) -> AsyncIterator[ClientConnection]:
    """A socket on which something has been said."""
    options = {"subprotocols": ["graphql-transport-ws"], "proxy": None} | options
    async with connect(f"{server.ws_url}/graphql", **options) as socket:
        for message in first:
            await say(socket, message)
        yield socket


def init(server: Served, username: str = "admin") -> dict[str, Any]:
    return {"type": "connection_init", "payload": server.headers(username)}


def subscribe(query: str, id_: str = "1", **variables: Any) -> dict[str, Any]:
    return {"type": "subscribe", "id": id_, "payload": {"query": query, "variables": variables}}


async def say(socket: ClientConnection, message: Any) -> None:
    await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def answer_to(socket: ClientConnection, query: str, **variables: Any) -> dict[str, Any]:
    """What is said to an operation, which is then at its end."""
    await say(socket, subscribe(query, "asked", **variables))
    answer = await hear(socket)
    if answer["type"] == "next":
        await hear(socket)
    return answer


def code_of(errors: list[dict[str, Any]]) -> str:
    return str(errors[0]["extensions"]["code"])


async def end_of(socket: ClientConnection) -> int:
    """Hear it out; the code with which it was closed."""
    try:
        while True:
            await hear(socket)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["{"], 4400),
        (["[]"], 4400),
        (["null"], 4400),
        ([b"{}"], 4400),
        ([{}], 4400),
        ([{"type": "start"}], 4400),
        ([{"type": "connection_init", "payload": []}], 4400),
        (["x" * (subject.LARGEST_MESSAGE + 1)], 4400),
        ([INIT, {"type": "subscribe", "id": "1"}], 4400),
        ([INIT, {"type": "subscribe", "id": 1, "payload": {"query": FOLLOW}}], 4400),
        ([INIT, {"type": "subscribe", "id": "1", "payload": {"query": 1}}], 4400),
        (
            [INIT, {"type": "subscribe", "id": "1", "payload": {"query": "{", "variables": []}}],
            4400,
        ),
        ([subscribe(FOLLOW)], 4401),
        ([{"type": "connection_init", "payload": {"authorization": "Bearer bad"}}], 4403),
        ([{"type": "connection_init", "payload": {"authorization": "rubbish"}}], 4403),
        ([INIT, INIT], 4429),
    ],
)
async def test_what_is_not_in_the_protocol_closes_the_socket(
    server: Served, messages: list[Any], code: int
) -> None:
    async with talk(server, *messages) as socket:
        assert code == await end_of(socket)


async def test_a_second_subscriber_of_the_same_id_closes_the_socket(server: Served) -> None:
    async with talk(server, init(server), subscribe(FOLLOW), subscribe(FOLLOW)) as socket:
        assert 4409 == await end_of(socket)


async def test_another_protocol_closes_the_socket(server: Served) -> None:
    async with talk(server, subprotocols=["graphql-ws"]) as old:
        assert 4406 == await end_of(old)
    async with talk(server, subprotocols=None) as none:
        assert 4406 == await end_of(none)


async def test_silence_closes_the_socket(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "INIT_SECONDS", 0.05)
    async with talk(server) as socket:
        assert 4408 == await end_of(socket)


async def test_the_end_of_the_token_closes_the_socket(server: Served) -> None:
    token = server.token_for(seconds=1)
    greeting = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
    async with talk(server, greeting, subscribe(FOLLOW)) as socket:
        assert 4403 == await end_of(socket)


async def test_each_operation_is_done_in_the_name_of_who_the_token_is_now(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.app.services.gate, "stay", lambda _: asyncio.Event().wait())
    name = await server.newcomer(Role.ADMIN)
    async with talk(server, init(server, name)) as socket:
        await hear(socket)
        before = await answer_to(socket, CREATE, name="x")
        await server.change_user(name, role="VIEWER")
        demoted = await answer_to(socket, CREATE, name="x")
        await server.change_user(name, isDisabled=True)
        disabled = await answer_to(socket, "{ viewer { id } }")

    assert before["payload"]["data"]
    assert "AUTH_INSUFFICIENT_PERMISSIONS" == code_of(demoted["payload"]["errors"])
    assert "error" == disabled["type"]
    assert "AUTH_ACCOUNT_DISABLED" == code_of(disabled["payload"])


@pytest.mark.parametrize("following", [(), (subscribe(FOLLOW),)])
@pytest.mark.parametrize("change", [{"isDisabled": True}, {"password": "battery staple"}])
async def test_who_is_refused_by_now_is_closed_out(
    server: Served, change: dict[str, Any], following: tuple[Any, ...]
) -> None:
    name = await server.newcomer()
    async with talk(server, init(server, name), *following) as socket:
        await hear(socket)
        await server.change_user(name, **change)
        assert 4403 == await end_of(socket)


async def test_who_changes_their_password_on_a_socket_is_told_the_new_token(
    server: Served,
) -> None:
    name = await server.newcomer()
    words = {"old": PASSWORD, "new": "battery staple"}
    async with talk(server, init(server, name), subscribe(FOLLOW, "other")) as socket:
        await hear(socket)
        answer = await answer_to(socket, CHANGE_PASSWORD, **words)
        code = await end_of(socket)

    server.tokens[name] = answer["payload"]["data"]["changePassword"]["accessToken"]
    assert {"viewer": {"username": name}} == await server.data("{ viewer { username } }", name)
    assert 4403 == code


async def test_who_does_not_stay_an_administrator_stays_on_the_socket(server: Served) -> None:
    name = await server.newcomer(Role.ADMIN)
    async with talk(server, init(server, name)) as socket:
        await hear(socket)
        await server.change_user(name, role="DEVELOPER")
        answer = await answer_to(socket, "{ viewer { username } }")

    assert {"viewer": {"username": name}} == answer["payload"]["data"]


async def test_the_end_of_the_server_closes_the_socket(sqlite_server: Served) -> None:
    async with talk(sqlite_server, init(sqlite_server)) as socket:
        await hear(socket)
        sqlite_server.app.streams.end()
        assert 1012 == await end_of(socket)


async def test_a_page_of_another_origin_is_refused(server: Served) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talk(server, origin="https://elsewhere.example"):
            pass

    assert 403 == refused.value.response.status_code


async def test_a_ping_is_answered_before_and_after_the_greeting(server: Served) -> None:
    ping = {"type": "ping", "payload": {"a": 1}}
    async with talk(server, ping, init(server), {"type": "pong"}, ping) as socket:
        heard = [(await hear(socket))["type"] for _ in range(3)]

    assert ["pong", "connection_ack", "pong"] == heard


async def test_queries_and_mutations_are_answered_once(server: Served) -> None:
    async with talk(
        server,
        init(server),
        subscribe("{ viewer { username } }", "q"),
        subscribe(CREATE, "m", name="x"),
    ) as socket:
        heard = [await hear(socket) for _ in range(5)]

    by_id = {id_: [message for message in heard if message.get("id") == id_] for id_ in "qm"}
    assert ["next", "complete"] == [message["type"] for message in by_id["q"]]
    assert ["next", "complete"] == [message["type"] for message in by_id["m"]]
    assert {"data": {"viewer": {"username": "admin"}}} == by_id["q"][0]["payload"]


async def test_a_document_that_is_not_valid_is_an_error_of_its_operation_alone(
    server: Served,
) -> None:
    async with talk(server, init(server), subscribe("{ nothing }")) as socket:
        await hear(socket)
        error = await hear(socket)
        await say(socket, subscribe("{ viewer { username } }"))
        again = await hear(socket)

    assert ("error", "1") == (error["type"], error["id"])
    assert "VALIDATION_ERROR" == error["payload"][0]["extensions"]["code"]
    assert "next" == again["type"]


async def test_several_subscriptions_share_a_socket(server: Served) -> None:
    ids = [(await server.data(CREATE, name=name))["createProject"]["id"] for name in "ab"]
    async with talk(server, init(server)) as socket:
        await hear(socket)
        for id_ in ids:
            await say(socket, subscribe(WATCH, id_, id=id_))
            await server.data(CREATE_TASK, id=id_)
        heard = [await hear(socket) for _ in ids]

    assert set(ids) == {message["id"] for message in heard}
    assert ["task.created"] * 2 == [
        message["payload"]["data"]["taskUpdates"]["kind"] for message in heard
    ]


async def test_what_is_completed_by_the_client_says_no_more(server: Served) -> None:
    id_ = (await server.data(CREATE, name="x"))["createProject"]["id"]
    async with talk(server, init(server), subscribe(WATCH, id=id_)) as socket:
        await hear(socket)
        await server.data(CREATE_TASK, id=id_)
        await hear(socket)
        await say(socket, {"type": "complete", "id": "1"})
        await say(socket, {"type": "complete", "id": "unknown"})
        await server.data(CREATE_TASK, id=id_)
        # The id is free again, and nothing of the first one comes any more.
        await say(socket, subscribe("{ viewer { username } }"))
        answer = await hear(socket)

    assert {"viewer": {"username": "admin"}} == answer["payload"]["data"]


async def test_operations_on_one_socket_are_bounded(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MOST_OPERATIONS", 2)
    asked = [subscribe(FOLLOW, id_) for id_ in "abc"]
    async with talk(server, init(server), *asked) as socket:
        assert 4400 == await end_of(socket)


async def test_a_socket_that_is_left_holds_nothing(sqlite_server: Served) -> None:
    streams = sqlite_server.app.streams
    async with talk(sqlite_server, init(sqlite_server), subscribe(FOLLOW)) as socket:
        await hear(socket)
        assert 1 == streams.open
    async with asyncio.timeout(10):
        while streams.open:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
