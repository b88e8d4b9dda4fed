"""The conversation on /ws: who may speak, what is answered, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from graph.streams import Streams
from rest_compat import ws
from rest_compat.ws import Sockets
from tests.rest_compat.small import SESSION, TOKEN, SmallServices, serving

OPERATIONS = """
mutation UseSession($session_id: ID!) { data: use_session(session_id: $session_id) { id } }
mutation QueueTask($task_id: ID!) { data: remove(thing_id: $task_id) { task_id: id } }
subscription ProjectUpdates($project_id: ID!) {
  data: news(project_id: $project_id) { __typename id text }
}
subscription TaskUpdates($project_id: ID, $task_id: ID) {
  data: news(project_id: $project_id, task_id: $task_id) { __typename id text }
}
subscription CommandOutput($command_id: ID!) {
  data: news(task_id: $command_id) { __typename id timestamp: text }
}
subscription Notifications { data: silence { __typename id } }
"""
NAMES = (
    *("UseSession", "QueueTask", "ProjectUpdates", "TaskUpdates", "CommandOutput"),
    "Notifications",
)
AUTHENTICATE = {"type": "authenticate", "token": TOKEN}


class Desk:
    """/ws on the small schema, and what a test does to it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.left = asyncio.Event()
        self.services = SmallServices()
        self.newsroom = self.services.newsroom
        prepared = {name: self.services.rest.prepare(OPERATIONS, name) for name in NAMES}
        self.streams = Streams()
        self.sockets = Sockets(self.services, prepared, self.streams)

    @asynccontextmanager
    async def talk(self, session: str = SESSION) -> AsyncIterator[ClientConnection]:
        """A socket that has not said anything yet."""
        async with connect(f"ws://{self._address}/ws/{session}") as socket:
            yield socket

    @asynccontextmanager
    async def signed_in(self) -> AsyncIterator[ClientConnection]:
        """A socket that is authenticated."""
        async with self.talk() as socket:
            await ask(socket, AUTHENTICATE)
            yield socket


class Door:
    """Where the desk of each test is found in its turn."""

    address: str
    desk: Desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.desk.sockets(scope, receive, send)
        self.desk.left.set()


@pytest_asyncio.fixture(scope="module")
async def door() -> AsyncIterator[Door]:
    """A server for the tests of this file."""
    door = Door()
    async with serving(door) as door.address:
        yield door


@pytest.fixture
def desk(door: Door, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A fresh desk, whose news are of a documented kind."""
    monkeypatch.setattr(ws, "MESSAGES", {"News": "task_update"})
    door.desk = Desk(door.address)
    return door.desk


async def ask(socket: ClientConnection, message: Any) -> dict[str, Any]:
    """Say something and hear the answer."""
    await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
    return await hear(socket)


async def hear(socket: ClientConnection) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 10))
    return answer


async def end_of(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosedError) as closed:
        await hear(socket)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


def subscription(**words: Any) -> dict[str, Any]:
    return {"type": "subscribe", "channel": "project_updates", "project_id": "1", **words}


async def test_authenticate_is_confirmed(desk: Desk) -> None:
    async with desk.talk() as socket:
        answer = await ask(socket, AUTHENTICATE)

    assert "authenticated" == answer["type"]
    assert answer["timestamp"].endswith("Z")


async def test_a_bad_token_may_be_followed_by_a_good_one(desk: Desk) -> None:
    async with desk.talk() as socket:
        refused = await ask(socket, {"type": "authenticate", "token": "bad"})
        answer = await ask(socket, AUTHENTICATE)

    assert "AUTH_TOKEN_INVALID" == refused["data"]["code"]
    assert "authenticated" == answer["type"]


async def test_a_session_of_nobody_closes_the_socket(desk: Desk) -> None:
    async with desk.talk("another") as socket:
        refused = await ask(socket, AUTHENTICATE)
        code, _ = await end_of(socket)

    assert "WEBSOCKET_CONNECTION_FAILED" == refused["data"]["code"]
    assert {"session_id": "another"} == refused["data"]["details"]
    assert 4404 == code


async def test_silence_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "AUTHENTICATE_SECONDS", 0.05)
    async with desk.talk() as socket:
        refused = await hear(socket)
        code, reason = await end_of(socket)

    assert "AUTH_TOKEN_MISSING" == refused["data"]["code"]
    assert (4401, "Not authenticated in time") == (code, reason)


async def test_the_end_of_the_token_ends_the_conversation(desk: Desk) -> None:
    desk.services.lasts = timedelta(seconds=0.2)
    async with desk.signed_in() as socket:
        assert "subscribed" == (await ask(socket, subscription()))["type"]
        code, reason = await end_of(socket)

    assert (4403, "The token has expired") == (code, reason)
    assert 0 == desk.newsroom.readers


async def test_a_new_token_prolongs_the_conversation(desk: Desk) -> None:
    desk.services.lasts = timedelta(seconds=0.2)
    async with desk.signed_in() as socket:
        desk.services.lasts = timedelta(hours=1)
        await ask(socket, AUTHENTICATE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


@pytest.mark.parametrize(
    "message", [subscription(), {**subscription(), "type": "unsubscribe"}, {"type": "execute_task"}]
)
async def test_nothing_is_done_for_somebody_unknown(desk: Desk, message: Any) -> None:
    async with desk.talk() as socket:
        refused = await ask(socket, message)

    assert "error" == refused["type"]
    assert "AUTH_TOKEN_MISSING" == refused["data"]["code"]


async def test_a_ping_is_answered_with_its_own_timestamp(desk: Desk) -> None:
    async with desk.talk() as socket:
        answer = await ask(socket, {"type": "ping", "timestamp": 1690725600000})

    assert {"type": "pong", "timestamp": 1690725600000} == answer


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "VALIDATION_ERROR"),
        ("[]", "VALIDATION_ERROR"),
        ("null", "VALIDATION_ERROR"),
        ('"ping"', "VALIDATION_ERROR"),
        ("[" * 5000, "VALIDATION_ERROR"),
        (b'{"type": "ping"}', "VALIDATION_ERROR"),
        ('{"type": "ping", "x": "' + "x" * 65536 + '"}', "VALIDATION_ERROR"),
        ({}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": None}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": []}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "dance"}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "authenticate"}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": "authenticate", "token": 1}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "subscribe"}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": "subscribe", "channel": {}}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "subscribe", "channel": "gossip"}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "subscribe", "channel": "project_updates"}, "VALIDATION_REQUIRED_FIELD"),
        (subscription(project_id=[]), "VALIDATION_INVALID_FORMAT"),
        ({**subscription(project_id={}), "type": "unsubscribe"}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "execute_task"}, "VALIDATION_REQUIRED_FIELD"),
    ],
)
async def test_a_wrong_message_is_refused_and_the_socket_stays(
    desk: Desk, message: Any, code: str
) -> None:
    async with desk.signed_in() as socket:
        refused = await ask(socket, message)
        pong = await ask(socket, {"type": "ping"})

    assert "error" == refused["type"]
    assert code == refused["data"]["code"]
    assert refused["timestamp"].endswith("Z")
    assert "pong" == pong["type"]


async def test_a_request_is_answered(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        answer = await ask(socket, {"type": "execute_task", "task_id": "7"})

    assert ("task_update", {"task_id": "7"}) == (answer["type"], answer["data"])


async def test_an_error_names_the_task_that_it_is_about(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        answer = await ask(socket, {"type": "execute_task", "task_id": "unknown"})

    assert {
        "code": "RESOURCE_NOT_FOUND",
        "message": "The thing does not exist.",
        "details": {"id": "unknown"},
        "task_id": "unknown",
    } == answer["data"]


async def test_an_accident_is_masked_and_the_socket_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rest_compat.ws._channel", lambda _: 1 / 0)
    async with desk.signed_in() as socket:
        with capture_logs() as logs:
            refused = await ask(socket, subscription())
        pong = await ask(socket, {"type": "ping"})

    assert ["a message failed"] == [entry["event"] for entry in logs]
    assert "INTERNAL_ERROR" == refused["data"]["code"]
    assert "pong" == pong["type"]


async def test_what_a_subscription_yields_is_told(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        confirmed = await ask(socket, subscription())
        desk.newsroom.pieces.put_nowait("a")
        news = await hear(socket)

    assert {"type": "subscribed", "channel": "project_updates", "project_id": "1"} == confirmed
    assert ("task_update", {"id": "1", "text": "a"}) == (news["type"], news["data"])
    assert news["timestamp"].endswith("Z")


async def test_data_with_a_time_of_its_own_has_none_beside_it(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, {"type": "subscribe", "channel": "command_output", "command_id": "1"})
        desk.newsroom.pieces.put_nowait("then")
        news = await hear(socket)

    assert {"type": "task_update", "data": {"id": "1", "timestamp": "then"}} == news


async def test_a_subscription_that_cannot_begin_is_not_confirmed(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        refused = await ask(socket, subscription(project_id="unknown"))
        confirmed = await ask(socket, subscription())

    assert "RESOURCE_NOT_FOUND" == refused["data"]["code"]
    assert "subscribed" == confirmed["type"]


async def test_subscribing_twice_follows_once(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, subscription())
        confirmed = await ask(socket, subscription())
        await ask(socket, subscription(project_id="2"))

        assert "subscribed" == confirmed["type"]
        assert 2 == desk.newsroom.readers


async def test_unsubscribing_ends_the_stream(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, subscription())
        confirmed = await ask(socket, {**subscription(), "type": "unsubscribe"})

        assert {
            "type": "unsubscribed",
            "channel": "project_updates",
            "project_id": "1",
        } == confirmed
        assert 0 == desk.newsroom.readers


async def test_who_unsubscribed_may_subscribe_again(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, subscription())
        await ask(socket, {**subscription(), "type": "unsubscribe"})
        await ask(socket, subscription())
        desk.newsroom.pieces.put_nowait("a")
        news = await hear(socket)

        assert "task_update" == news["type"]
        assert 1 == desk.newsroom.readers


async def test_unsubscribing_from_nothing_is_no_error(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        confirmed = await ask(socket, {**subscription(), "type": "unsubscribe"})

    assert "unsubscribed" == confirmed["type"]


async def test_a_stream_that_breaks_is_told_and_the_socket_stays(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, subscription())
        with capture_logs() as logs:
            desk.newsroom.pieces.put_nowait(ZeroDivisionError("secret words"))
            refused = await hear(socket)
        confirmed = await ask(socket, subscription())

    assert ["a subscription failed"] == [entry["event"] for entry in logs]
    assert "INTERNAL_ERROR" == refused["data"]["code"]
    assert "secret" not in json.dumps(refused)
    assert "subscribed" == confirmed["type"]


async def test_subscriptions_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "MOST_SUBSCRIPTIONS", 2)
    async with desk.signed_in() as socket:
        answers = [await ask(socket, subscription(project_id=str(id_))) for id_ in range(3)]

    assert ["subscribed", "subscribed", "error"] == [answer["type"] for answer in answers]
    assert "RESOURCE_LIMIT_EXCEEDED" == answers[2]["data"]["code"]


async def test_a_client_that_leaves_is_followed_no_more(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, subscription())
        assert 1 == desk.streams.open
    await asyncio.wait_for(desk.left.wait(), 10)

    assert 0 == desk.newsroom.readers
    assert 0 == desk.streams.open


async def test_a_server_that_stops_closes_the_socket(desk: Desk) -> None:
    async with serving(desk.sockets) as address:
        socket = await connect(f"ws://{address}/ws/{SESSION}")
        await ask(socket, AUTHENTICATE)
        await ask(socket, subscription())
    code, _ = await end_of(socket)

    assert 1012 == code
    assert 0 == desk.newsroom.readers


async def test_a_client_that_does_not_read_holds_its_stream_back(desk: Desk) -> None:
    """Only what was sent is taken from the subscription; the rest waits where it comes from."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    heard.put_nowait({"type": "websocket.connect"})
    for message in (AUTHENTICATE, subscription()):
        heard.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})
    said: list[Message] = []
    full, reads = asyncio.Event(), asyncio.Event()

    async def send(message: Message) -> None:
        said.append(message)
        if "task_update" in message.get("text", ""):
            full.set()
            await reads.wait()

    for piece in "abc":
        desk.newsroom.pieces.put_nowait(piece)
    scope = {"type": "websocket", "path": f"/ws/{SESSION}", "headers": []}
    talking = asyncio.create_task(desk.sockets(scope, heard.get, send))
    await full.wait()
    held_back = desk.newsroom.pieces.qsize()
    reads.set()
    heard.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await talking

    assert 2 == held_back
