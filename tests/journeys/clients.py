"""One client for each surface, all of one shape: what a user does, and what they then see."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import gql
import httpx2
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import ClientConnection, connect

from tests.fixtures.server import NO_TLS

POLL_SECONDS = 0.02
HTTP: dict[str, Any] = {"timeout": 30, "trust_env": False, "verify": NO_TLS}

LOGIN = """mutation ($username: String!, $password: String!) {
  login(username: $username, password: $password) { accessToken }
}"""
CREATE_PROJECT = "mutation ($input: CreateProjectInput!) { createProject(input: $input) { id } }"
CREATE_TASK = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
EXECUTE = "mutation ($id: ID!) { executeTask(id: $id) { executionId status } }"
HISTORY = "query ($id: ID!) { task(id: $id) { history { kind } } }"
OUTPUT = """subscription ($id: ID!, $after: String) {
  commandOutput(runId: $id, after: $after) {
    __typename
    ... on CommandOutput { cursor content }
    ... on CommandFinished { status exitCode lastSeq totalBytes sha256 }
  }
}"""


@dataclass(frozen=True)
class Printed:
    """A piece of output, as soon as it is known."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The end of a task that was executed."""

    status: str
    exit_code: int


Seen = Printed | Ended


class Client(ABC):
    """A user of one surface."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://")

    @abstractmethod
    async def sign_in(self, username: str, password: str) -> None:
        """Sign in, and act as this user from then on."""

    @abstractmethod
    async def create_project(self, name: str) -> str:
        """Create a project; its id."""

    @abstractmethod
    async def create_task(self, project_id: str, title: str, command: str) -> str:
        """Create a task that runs a command; its id."""

    @abstractmethod
    def execute(self, project_id: str, task_id: str) -> AsyncGenerator[Seen, None]:
        """Execute a task, and watch it until it has ended."""

    @abstractmethod
    async def history(self, task_id: str) -> list[str]:
        """What has happened to a task, in a word each."""


class Graphql(Client):
    """GraphQL over HTTP; how it subscribes is told by the kinds below."""

    async def sign_in(self, username: str, password: str) -> None:
        data = await self.ask(LOGIN, username=username, password=password)
        self.token = data["login"]["accessToken"]

    async def create_project(self, name: str) -> str:
        data = await self.ask(CREATE_PROJECT, input={"name": name})
        return str(data["createProject"]["id"])

    async def create_task(self, project_id: str, title: str, command: str) -> str:
        task = {"projectId": project_id, "title": title, "metadata": {"command": command}}
        data = await self.ask(CREATE_TASK, input=task)
        return str(data["createTask"]["id"])

    async def execute(self, project_id: str, task_id: str) -> AsyncGenerator[Seen, None]:
        data = await self.ask(EXECUTE, id=task_id)
        run_id = data["executeTask"]["executionId"]
        async with aclosing(self.subscribe(OUTPUT, id=run_id)) as answers:
            async for answer in answers:
                news = answer["commandOutput"]
                if news["__typename"] == "CommandFinished":
                    yield Ended(news["status"].lower(), news["exitCode"])
                else:
                    yield Printed(news["content"])

    async def history(self, task_id: str) -> list[str]:
        data = await self.ask(HISTORY, id=task_id)
        return [event["kind"].removeprefix("task.") for event in data["task"]["history"]]

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a query or mutation. Raises gql's `TransportQueryError`."""
        transport = HTTPXAsyncTransport(f"{self.url}/graphql", headers=self.headers, **HTTP)
        request = gql.GraphQLRequest(query, variable_values=variables)
        async with gql.Client(transport=transport, execute_timeout=30) as session:
            data: dict[str, Any] = await session.execute(request)
        return data

    @abstractmethod
    def subscribe(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        """The data of each answer to a subscription."""


class GraphqlSocket(Graphql):
    """GraphQL with subscriptions over graphql-transport-ws."""

    async def subscribe(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        transport = WebsocketsTransport(
            f"{self.ws_url}/graphql",
            init_payload=self.headers,
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
            connect_args={"proxy": None},
        )
        request = gql.GraphQLRequest(query, variable_values=variables)
        async with (
            gql.Client(transport=transport) as session,
            aclosing(session.subscribe(request)) as answers,
        ):
            async for answer in answers:
                yield answer


class GraphqlEvents(Graphql):
    """GraphQL with subscriptions over server-sent events."""

    async def subscribe(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        request = {"query": query, "variables": variables}
        headers = self.headers | {"Accept": "text/event-stream"}
        async with (
            httpx2.AsyncClient(**HTTP) as http,
            http.stream("POST", f"{self.url}/graphql", json=request, headers=headers) as response,
        ):
            async for line in response.aiter_lines():
                if line == "event: complete":
                    return
                if line.startswith("data: "):
                    answer = json.loads(line.removeprefix("data: "))
                    assert "errors" not in answer, answer["errors"]
                    yield answer["data"]


class Rest(Client):
    """REST alone: whoever waits, asks again."""

    async def sign_in(self, username: str, password: str) -> None:
        account = {"username": username, "password": password}
        self.token = (await self.ask("POST", "/api/auth/login", account))["access_token"]

    async def create_project(self, name: str) -> str:
        return str((await self.ask("POST", "/api/projects/", {"name": name}))["id"])

    async def create_task(self, project_id: str, title: str, command: str) -> str:
        task = {"project_id": project_id, "title": title, "metadata": {"command": command}}
        return str((await self.ask("POST", "/api/tasks/", task))["id"])

    async def execute(self, project_id: str, task_id: str) -> AsyncGenerator[Seen, None]:
        execution = await self.ask("POST", f"/api/tasks/{task_id}/execute", {"priority": "high"})
        known = 0
        while True:
            run = await self.ask("GET", f"/api/commands/{execution['execution_id']}/status")
            text = "".join(piece["content"] for piece in run["output"])
            if text[known:]:
                yield Printed(text[known:])
                known = len(text)
            if run["exit_code"] is not None:
                break
            await asyncio.sleep(POLL_SECONDS)
        yield Ended((await self.ask("GET", f"/api/tasks/{task_id}"))["status"], run["exit_code"])

    async def history(self, task_id: str) -> list[str]:
        events = (await self.ask("GET", f"/api/tasks/{task_id}/history"))["history"]
        return [event["details"].get("new_value") or event["action"] for event in events]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The data of an answer that has no error."""
        async with httpx2.AsyncClient(base_url=self.url, **HTTP) as http:
            response = await http.request(method, path, json=body, headers=self.headers)
        answer = response.json()
        assert answer["error"] is None, answer["error"]
        return answer["data"]


class Socket(Rest):
    """/ws for what it knows: it executes and watches; the rest is REST."""

    async def execute(self, project_id: str, task_id: str) -> AsyncGenerator[Seen, None]:
        async with self.connected() as socket:
            subscription = {"channel": "project_updates", "project_id": project_id}
            await send(socket, type="subscribe", **subscription)
            await heard(socket, "subscribed")
            await send(socket, type="execute_task", task_id=task_id, priority="high")
            async for message in messages(socket):
                match message:
                    case {"type": "command_output", "data": {"content": text}}:
                        yield Printed(text)
                    case {"type": "task_completed", "data": end}:
                        yield Ended(end["status"], end["exit_code"])
                        return
                    case {"type": kind}:
                        assert kind == "task_update", message

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        """A socket of a session of its own, signed in."""
        session = await self.ask("POST", "/api/sessions/", {})
        async with connect(f"{self.ws_url}/ws/{session['session_id']}", proxy=None) as socket:
            await send(socket, type="authenticate", token=self.token)
            await heard(socket, "authenticated")
            yield socket


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message, which is of this kind."""
    message: dict[str, Any] = json.loads(await socket.recv())
    assert message["type"] == kind, message
    return message


async def messages(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    async for message in socket:
        yield json.loads(message)
