"""A tour in the terminal: three tasks are queued at different priorities, run and watched live."""

import asyncio
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest, gql
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

SERVER = Path(sys.executable).with_name("claude-cli-api")
READY = re.compile(r"Ready\. GraphiQL: http://localhost:(\d+)/graphql")
START_SECONDS = 60
LINES_SHOWN = 4

TASKS = {
    "Collect the figures": ("LOW", "for i in 1 2 3 4 5 6; do echo row $i; sleep 0.25; done"),
    "Draw the picture": ("NORMAL", "for i in 1 2 3; do printf '* '; sleep 0.4; done; echo"),
    "Mend the roof": ("HIGH", "for i in 1 2 3 4; do echo nail $i; sleep 0.2; done; echo dry >&2"),
}

LOGIN = gql("mutation ($password: String!) {"
            ' login(username: "admin", password: $password) { accessToken } }')  # fmt: skip
CREATE_PROJECT = gql("""
    mutation {
      createProject(input: {name: "Demo", resourceLimits: {maxConcurrentTasks: 1}}) { id }
    }
""")
CREATE_TASK = gql("""
    mutation ($project: ID!, $title: String!, $metadata: JSON!) {
      createTask(input: {projectId: $project, title: $title, metadata: $metadata}) { id }
    }
""")
EXECUTE = gql("""
    mutation ($task: ID!, $lane: Lane!) {
      executeTask(id: $task, priority: $lane) { executionId queuePosition }
    }
""")
FOLLOW = gql("""
    subscription ($project: ID!) {
      projectUpdates(projectId: $project) {
        __typename
        ... on TaskUpdate { taskId status progressPercentage }
        ... on TaskCompleted { taskId exitCode duration }
        ... on TaskFailed { taskId message }
        ... on CommandOutput { commandId stream content }
      }
    }
""")


@dataclass
class Seen:
    """What the demo knows of one task."""

    title: str
    lane: str
    place: int = 0
    run_id: str = ""
    status: str = "PENDING"
    progress: int = 0
    ending: str = ""


@dataclass
class Printed:
    """The latest whole lines of a run, and what has begun behind them."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_SHOWN))
    begun: str = ""

    def add(self, content: str) -> None:
        *whole, self.begun = (self.begun + content).split("\n")
        self.lines.extend(whole)


class Board:
    """What is shown: the queue, and what each task prints.

    News may come before the answer to what we asked: of tasks and runs that we do not know yet.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Seen] = {}
        self._printed: dict[str, Printed] = defaultdict(Printed)

    def hear(self, news: dict[str, Any]) -> None:
        match news["__typename"]:
            case "TaskUpdate":
                if seen := self.tasks.get(news["taskId"]):
                    seen.status, seen.progress = news["status"], news["progressPercentage"]
            case "TaskCompleted":
                self.tasks[news["taskId"]].ending = f"exit code {news['exitCode']}"
            case "TaskFailed":
                self.tasks[news["taskId"]].ending = news["message"]
            case "CommandOutput":
                self._printed[news["commandId"]].add(news["content"])

    def is_done(self) -> bool:
        return all(seen.ending for seen in self.tasks.values())

    def succeeded(self) -> bool:
        return all(seen.status == "COMPLETED" for seen in self.tasks.values())

    def __rich__(self) -> RenderableType:
        table = Table("Task", "Lane", "Placed", "Status", "Progress", expand=True)
        for seen in self.tasks.values():
            progress = f"{seen.progress} %" if seen.progress else ""
            table.add_row(seen.title, seen.lane, f"{seen.place}.", seen.status, progress)
        return Group(table, *map(self._panel, self.tasks.values()))

    def _panel(self, seen: Seen) -> Panel:
        lines = Text("\n".join(self._printed[seen.run_id].lines))
        return Panel(lines, title=seen.title, subtitle=seen.ending, height=LINES_SHOWN + 2)


async def main() -> int:
    """Run the demo; 0 when every task was completed."""
    console = Console()
    password = secrets.token_urlsafe(16)
    async with _server(password) as port:
        console.print(f"A server of its own listens on port {port}.")
        board = await _run(port, password, console)
    console.print("Done; the server and its data are gone.")
    return 0 if board.succeeded() else 1


async def _run(port: int, password: str, console: Console) -> Board:
    headers = await _signed_in(port, password)
    transport = HTTPXAsyncTransport(f"http://127.0.0.1:{port}/graphql", headers=headers)
    following = WebsocketsTransport(
        f"ws://127.0.0.1:{port}/graphql",
        init_payload=headers,
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    board = Board()
    async with Client(transport=transport) as session, Client(transport=following) as socket:
        project = (await session.execute(CREATE_PROJECT))["createProject"]["id"]
        news = socket.subscribe(GraphQLRequest(FOLLOW, variable_values={"project": project}))
        watching = asyncio.create_task(_watch(board, news, console))
        for title, (lane, command) in TASKS.items():
            words = {"project": project, "title": title, "metadata": {"command": command}}
            created = await session.execute(GraphQLRequest(CREATE_TASK, variable_values=words))
            board.tasks[created["createTask"]["id"]] = Seen(title, lane)
        for task_id, seen in board.tasks.items():
            words = {"task": task_id, "lane": seen.lane}
            answer = await session.execute(GraphQLRequest(EXECUTE, variable_values=words))
            placed = answer["executeTask"]
            seen.run_id, seen.place = placed["executionId"], placed["queuePosition"]
        await watching
    return board


async def _watch(board: Board, news: AsyncGenerator[dict[str, Any]], console: Console) -> None:
    async with aclosing(news):
        await _show(board, news, console)


async def _show(board: Board, news: AsyncIterator[dict[str, Any]], console: Console) -> None:
    with Live(board, console=console, refresh_per_second=10) as live:
        async for told in news:
            board.hear(told["projectUpdates"])
            live.update(board)
            if board.tasks and board.is_done():
                return


async def _signed_in(port: int, password: str) -> dict[str, str]:
    async with Client(transport=HTTPXAsyncTransport(f"http://127.0.0.1:{port}/graphql")) as session:
        request = GraphQLRequest(LOGIN, variable_values={"password": password})
        token = (await session.execute(request))["login"]["accessToken"]
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def _server(password: str) -> AsyncIterator[int]:
    """A server on a free port and a database of its own; both are gone afterwards."""
    directory = tempfile.mkdtemp(prefix="claude-cli-api-demo-")
    environment = {
        **os.environ,
        "DATA_DIR": directory,
        "DATABASE_URL": "",
        "ADMIN_PASSWORD": password,
        "DRAIN_SECONDS": "0",
    }
    process = await asyncio.create_subprocess_exec(
        SERVER, "serve", "--port", "0", stdout=PIPE, stderr=STDOUT, env=environment
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            yield await _port(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
        shutil.rmtree(directory)


async def _port(process: Process) -> int:
    assert process.stdout
    said = []
    async for line in process.stdout:
        said.append(line.decode().rstrip())
        if ready := READY.match(said[-1]):
            return int(ready[1])
    raise SystemExit("the server did not start:\n" + "\n".join(said))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
