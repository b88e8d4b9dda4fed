"""What must exist before something can be asked for, made when it is first named."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpx2

from db import dependencies, members
from db.types import MemberRole
from tests.contract.facts import projects, sessions, tasks, users
from tests.contract.facts.endpoints import Endpoint
from tests.fixtures.server import PASSWORD, Served
from tests.rest_compat.real import Talk, data_of, talking

SLEEPS = "echo begun; sleep 60"


class World:
    """Makes things by their names in the facts; what it started is cancelled in the end."""

    def __init__(self, server: Served) -> None:
        self.server = server
        self._made: dict[str, str] = {}
        self._started: list[str] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "World":
        self.client = await self._open.enter_async_context(self.server.http())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for path in self._started:
            await self.client.post(f"{path}/cancel")
        await self._open.aclose()

    async def ask(self, endpoint: Endpoint, body: Any = None, **query: str) -> httpx2.Response:
        """Ask for what an endpoint answers, in a world where it is there."""
        for name, special in endpoint.given.items():
            self._made[name] = await self.the(special)
        return await self.client.request(
            endpoint.method,
            await self.filled(endpoint.path),
            params=await self.filled(query),
            json=await self.filled(body),
        )

    async def filled(self, value: Any) -> Any:
        """The same with every name in braces replaced by what it stands for."""
        match value:
            case str() if "{" in value:
                before, _, rest = value.partition("{")
                name, _, after = rest.partition("}")
                return f"{before}{await self.the(name)}{after}"
            case dict():
                return {name: await self.filled(inner) for name, inner in value.items()}
            case list() | tuple():
                return [await self.filled(inner) for inner in value]
            case _:
                return value

    async def the(self, name: str) -> str:
        """What a name stands for."""
        if name not in self._made:
            self._made[name] = await getattr(self, name)()
        return self._made[name]

    async def write(self, unit: Any, *args: Any) -> Any:
        """Have the administrator change something in the database."""
        services = self.server.app.services
        identity = await services.gate.identify(self.server.tokens["admin"])
        return await services.database.write(unit, identity.actor, *args)

    async def username(self) -> str:
        return "admin"

    async def password(self) -> str:
        return PASSWORD

    async def token(self) -> str:
        return self.server.tokens["admin"]

    async def user_id(self) -> str:
        return self.server.user_ids["admin"]

    async def other_user_id(self) -> str:
        """A developer who works in the project."""
        user_id = self.server.user_ids["developer"]
        await self.write(members.add, await self.the("project_id"), user_id, MemberRole.EDITOR)
        return user_id

    async def directory(self) -> str:
        """A directory in which the administrator's commands may run."""
        root = self.server.app.services.settings.workspaces
        directory = root / self.server.user_ids["admin"] / "contract"
        directory.mkdir(parents=True, exist_ok=True)
        return str(directory)

    async def a_used_account(self) -> str:
        """Somebody who has signed in and has preferences."""
        await self._post("/api/auth/login", {"username": "admin", "password": PASSWORD})
        await self.client.put("/api/users/preferences", json=users.PREFERENCES)
        return ""

    async def project_id(self) -> str:
        return str((await self._post("/api/projects/", projects.NEW))["id"])

    async def busy_project_id(self) -> str:
        """A project in which something was done."""
        await self.the("completed_task_id")
        return await self.the("project_id")

    async def task_id(self) -> str:
        return await self._task(NEW_STATUS)

    async def other_task_id(self) -> str:
        return await self._task(NEW_STATUS)

    async def task_project_id(self) -> str:
        """The project of a task."""
        await self.the("task_id")
        return await self.the("project_id")

    async def task_of(self, command: str) -> str:
        """A task for the shell."""
        return await self._task(NEW_STATUS, command)

    async def queued_task_id(self) -> str:
        """A task that waits in a lane which is paused."""
        await self._post("/api/queues/pause", {"queue_name": "low_priority"})
        return await self._executed("true", priority="low")

    async def running_task_id(self) -> str:
        """A task that depends on another, which is done, and runs."""
        before = await self._task("completed")
        task_id = await self._task(NEW_STATUS, command=SLEEPS)
        await self.write(dependencies.add, task_id, before)
        async with talking(self.server) as talk:
            await talk.ask("subscribe", channel="task_updates", task_id=task_id)
            await self._execute(task_id)
            while (await talk.hear())["data"].get("status") != "running":
                pass
        return task_id

    async def executing_task_id(self) -> str:
        return await self._executed(SLEEPS)

    async def completed_task_id(self) -> str:
        return await self._ended("true")

    async def failed_task_id(self) -> str:
        return await self._ended("false")

    async def command_id(self) -> str:
        """A command that has printed something, and runs."""
        async with talking(self.server) as talk:
            return await self._command(talk, SLEEPS, until="command_output")

    async def ended_command_id(self) -> str:
        async with talking(self.server) as talk:
            return await self._command(talk, "true", until="command_completed")

    async def session_id(self) -> str:
        words = {"project_id": await self.the("project_id"), "settings": sessions.SETTINGS}
        return str((await self._post("/api/sessions/", words))["session_id"])

    async def session_project_id(self) -> str:
        await self.the("session_id")
        return await self.the("project_id")

    async def after_session_began(self) -> str:
        await self.the("session_id")
        return datetime.now(UTC).isoformat()

    async def _task(self, status: str, command: str | None = None) -> str:
        words = await self.filled(tasks.NEW)
        if command:
            words["metadata"]["command"] = command
        task_id = str((await self._post("/api/tasks/", words))["id"])
        if status != NEW_STATUS:
            data_of(await self.client.put(f"/api/tasks/{task_id}", json={"status": status}))
        return task_id

    async def _executed(self, command: str, priority: str = "normal") -> str:
        task_id = await self._task(NEW_STATUS, command)
        await self._execute(task_id, priority)
        return task_id

    async def _execute(self, task_id: str, priority: str = "normal") -> None:
        await self._post(f"/api/tasks/{task_id}/execute", {"priority": priority})
        self._started.append(f"/api/tasks/{task_id}")

    async def _ended(self, command: str) -> str:
        task_id = await self._task(NEW_STATUS, command)
        async with talking(self.server) as talk:
            await talk.ask("subscribe", channel="task_updates", task_id=task_id)
            await self._execute(task_id)
            await talk.until("task_completed", "error")
        return task_id

    async def _command(self, talk: Talk, command: str, until: str) -> str:
        started = await self._post("/api/commands/execute", {"command": command})
        command_id = str(started["command_id"])
        self._started.append(f"/api/commands/{command_id}")
        await talk.ask("subscribe", channel="command_output", command_id=command_id)
        await talk.until(until)
        return command_id

    async def _post(self, path: str, words: Any) -> Any:
        response = await self.client.post(path, json=words)
        return data_of(response, response.status_code)


NEW_STATUS = "pending"
