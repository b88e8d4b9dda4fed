"""What tests of the documented API do again and again, on a running server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from tests.fixtures.server import Served

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DURATION = re.compile(r"\d\d+:[0-5]\d:[0-5]\d")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def data_of(response: httpx2.Response, status: int = 200) -> Any:
    """The data of an answer that went well."""
    answer = response.json()
    assert (status, None) == (response.status_code, answer["error"])
    return answer["data"]


def refusal_of(response: httpx2.Response) -> tuple[int, str]:
    """The status and the code of an answer that did not."""
    answer = response.json()
    assert answer["data"] is None
    return response.status_code, answer["error"]["code"]


async def new_project(client: httpx2.AsyncClient, **words: Any) -> Any:
    """A project of one's own."""
    return data_of(await client.post("/api/projects/", json={"name": "P"} | words), 201)


async def new_task(client: httpx2.AsyncClient, **words: Any) -> Any:
    """A task, in a project of its own unless one is named."""
    if "project_id" not in words:
        words["project_id"] = (await new_project(client))["id"]
    return data_of(await client.post("/api/tasks/", json={"title": "T"} | words), 201)


async def carried_out(server: Served, task: Any, priority: str = "normal") -> None:
    """Execute a task of the administrator's and wait for its end."""
    async with talking(server) as talk:
        await talk.ask("subscribe", channel="task_updates", task_id=task["id"])
        await talk.say("execute_task", task_id=task["id"], priority=priority)
        await talk.until("task_completed")


class Talk:
    """A socket on /ws."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, type_: str, **words: Any) -> None:
        await self._socket.send(json.dumps({"type": type_, **words}))

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(self._socket.recv(), 20))
        return message

    async def ask(self, type_: str, **words: Any) -> dict[str, Any]:
        """Say something and hear the next message."""
        await self.say(type_, **words)
        return await self.hear()

    async def until(self, *types: str) -> list[dict[str, Any]]:
        """All messages up to the first of these types, that one included."""
        heard = [await self.hear()]
        while heard[-1]["type"] not in types:
            heard.append(await self.hear())
        return heard


@asynccontextmanager
async def talking(server: Served, username: str = "admin") -> AsyncIterator[Talk]:
    """A socket that is authenticated, in a session of the user's."""
    async with server.http(username) as client:
        session = data_of(await client.post("/api/sessions/", json={}), 201)
    async with connect(f"{server.ws_url}/ws/{session['session_id']}", max_size=None) as socket:
        talk = Talk(socket)
        answer = await talk.ask("authenticate", token=server.tokens[username])
        assert "authenticated" == answer["type"]
        yield talk
