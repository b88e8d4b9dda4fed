"""/ws on the small schema: a desk to talk to, and how a test talks to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from graph.streams import Streams
from rest_compat.ws import Sockets
from tests.rest_compat.small import SESSION, TOKEN, SmallServices

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
