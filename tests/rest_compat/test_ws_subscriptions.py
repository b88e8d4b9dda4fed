"""Subscriptions on /ws: what is told, to whom, and how it ends."""

import asyncio
import json

import pytest
from starlette.types import Message
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from rest_compat import ws
from tests.rest_compat.desk import AUTHENTICATE, Desk, ask, end_of, hear, subscription
from tests.rest_compat.small import SESSION, serving


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
