"""Every documented code: a class has it, it has a documented status, and a caller meets it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from db import dependencies, members, sessions
from db.errors import Problem
from db.types import MemberRole
from rest_compat.envelope import STATUS
from tests.contract.conftest import MakeWorld
from tests.contract.facts.envelope import FAILURE
from tests.contract.facts.refusals import CODES, STATUSES
from tests.contract.shapes import misfits
from tests.contract.world import World
from tests.fixtures.server import PASSWORD
from tests.rest_compat.real import Talk, talking

CREATE_USER = "mutation ($input: CreateUserInput!) { createUser(input: $input) { id } }"
DISABLE = "mutation ($id: ID!) { updateUser(id: $id, input: {isDisabled: true}) { id } }"
LAST_RUN = "query ($id: ID!) { task(id: $id) { lastRun { errorCode } } }"


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_class_a_status_and_a_test(code: str) -> None:
    assert code in {problem.code for problem in problems(Problem)}
    assert STATUS[code] in STATUSES
    assert f"test_{code.lower()}" in globals()


async def test_auth_token_invalid(world: World) -> None:
    world.client.headers["Authorization"] = "Bearer x"

    assert "AUTH_TOKEN_INVALID" == await refused(world, "GET", "/api/tasks/")


async def test_auth_token_missing(world: World) -> None:
    del world.client.headers["Authorization"]

    assert "AUTH_TOKEN_MISSING" == await refused(world, "GET", "/api/tasks/")


async def test_auth_insufficient_permissions(world: World) -> None:
    world.client.headers.update(world.server.headers("viewer"))

    assert "AUTH_INSUFFICIENT_PERMISSIONS" == (
        await refused(world, "POST", "/api/projects/", name="P")
    )


async def test_auth_account_disabled(world: World) -> None:
    words = {"username": "leaver", "password": PASSWORD}
    user = (await world.server.data(CREATE_USER, input=words))["createUser"]
    await world.server.data(DISABLE, id=user["id"])

    assert "AUTH_ACCOUNT_DISABLED" == await refused(world, "POST", "/api/auth/login", **words)


async def test_validation_error(world: World) -> None:
    assert "VALIDATION_ERROR" == await refused(world, "GET", "/api/tasks/?page=0")


async def test_validation_required_field(world: World) -> None:
    assert "VALIDATION_REQUIRED_FIELD" == await refused(world, "POST", "/api/tasks/")


async def test_validation_invalid_format(world: World) -> None:
    assert "VALIDATION_INVALID_FORMAT" == await refused(world, "GET", "/api/tasks/?page=one")


async def test_validation_value_too_long(world: World) -> None:
    assert "VALIDATION_VALUE_TOO_LONG" == (
        await refused(world, "POST", "/api/projects/", name="x" * 201)
    )


async def test_validation_value_too_short(world: World) -> None:
    words = {"username": "hasty", "password": "x"}
    answer = await world.server.graphql(CREATE_USER, input=words)

    assert "VALIDATION_VALUE_TOO_SHORT" == answer["errors"][0]["extensions"]["code"]


async def test_resource_not_found(world: World) -> None:
    assert "RESOURCE_NOT_FOUND" == await refused(world, "GET", "/api/nothing")


async def test_resource_already_exists(world: World) -> None:
    words = {"username": "admin", "password": PASSWORD}
    answer = await world.server.graphql(CREATE_USER, input=words)

    assert "RESOURCE_ALREADY_EXISTS" == answer["errors"][0]["extensions"]["code"]


async def test_resource_in_use(world: World) -> None:
    path = await world.filled("/api/tasks/{running_task_id}")

    assert "RESOURCE_IN_USE" == await refused(world, "DELETE", path)


async def test_resource_limit_exceeded(world: World) -> None:
    world.client.headers.update(world.server.headers("viewer"))
    for _ in range(sessions.MOST_ACTIVE):
        await world.client.post("/api/sessions/", json={})

    assert "RESOURCE_LIMIT_EXCEEDED" == await refused(world, "POST", "/api/sessions/")


async def test_task_not_found(world: World) -> None:
    assert "TASK_NOT_FOUND" == await refused(world, "GET", "/api/tasks/unknown")


async def test_task_already_running(world: World) -> None:
    path = await world.filled("/api/tasks/{running_task_id}/execute")

    assert "TASK_ALREADY_RUNNING" == await refused(world, "POST", path)


async def test_task_execution_failed(world: World) -> None:
    assert "TASK_EXECUTION_FAILED" == await end_of(world, await world.the("failed_task_id"))


async def test_task_timeout(world: World) -> None:
    task_id = await world.task_of("sleep 60")
    async with talking(world.server) as talk:
        await talk.ask("subscribe", channel="task_updates", task_id=task_id)
        await world.client.post(f"/api/tasks/{task_id}/execute", json={"options": {"timeout": 1}})
        *_, error = await talk.until("error")

    assert "TASK_TIMEOUT" == error["data"]["code"]
    assert "TASK_TIMEOUT" == await end_of(world, task_id)


async def test_task_cancelled(world: World) -> None:
    task_id = await world.the("running_task_id")
    await world.client.post(f"/api/tasks/{task_id}/cancel")

    assert "TASK_CANCELLED" == await end_of(world, task_id)


async def test_task_dependency_not_met(world: World) -> None:
    task_id, other = await world.the("task_id"), await world.the("other_task_id")
    await world.write(dependencies.add, task_id, other)

    assert "TASK_DEPENDENCY_NOT_MET" == (
        await refused(world, "POST", f"/api/tasks/{task_id}/execute")
    )


async def test_project_not_found(world: World) -> None:
    assert "PROJECT_NOT_FOUND" == await refused(world, "GET", "/api/projects/unknown")


async def test_project_access_denied(world: World) -> None:
    project_id = await world.the("project_id")
    reader = world.server.user_ids["developer"]
    await world.write(members.add, project_id, reader, MemberRole.VIEWER)
    world.client.headers.update(world.server.headers("developer"))

    assert "PROJECT_ACCESS_DENIED" == (
        await refused(world, "POST", "/api/tasks/", project_id=project_id, title="T")
    )


async def test_project_archived(world: World) -> None:
    project_id = await world.the("project_id")
    await world.client.put(f"/api/projects/{project_id}", json={"status": "archived"})

    assert "PROJECT_ARCHIVED" == (
        await refused(world, "POST", "/api/tasks/", project_id=project_id, title="T")
    )


async def test_project_limit_exceeded(world: World) -> None:
    words = {"name": "Small", "resource_limits": {"max_tasks": 1}}
    project = (await world.client.post("/api/projects/", json=words)).json()["data"]
    task = {"project_id": project["id"], "title": "T"}
    await world.client.post("/api/tasks/", json=task)

    assert "PROJECT_LIMIT_EXCEEDED" == await refused(world, "POST", "/api/tasks/", **task)


async def test_websocket_connection_failed(world: World) -> None:
    async with connect(f"{world.server.ws_url}/ws/unknown") as socket:
        told = await Talk(socket).ask("authenticate", token=await world.the("token"))

    assert "WEBSOCKET_CONNECTION_FAILED" == told["data"]["code"]


async def test_system_maintenance(make_world: MakeWorld) -> None:
    async with make_world() as world:
        await world.server.data("mutation { startMaintenance { active } }")
        world.client.headers.update(world.server.headers("developer"))
        code = await refused(world, "POST", "/api/projects/", name="P")
        reading = await world.client.get("/api/projects/")

    assert "SYSTEM_MAINTENANCE" == code
    assert 200 == reading.status_code


async def test_system_overloaded(make_world: MakeWorld) -> None:
    words = {"command": "true"}
    async with make_world(max_requests_in_flight=1, worker_concurrency=0) as world:
        # Each waits for its command to begin, so that one finds the other waiting.
        both = await asyncio.gather(
            *(world.client.post("/api/commands/execute", json=words) for _ in range(2))
        )

    (error,) = [error for each in both if (error := each.json()["error"])]
    assert "SYSTEM_OVERLOADED" == error["code"]


async def test_queue_full(make_world: MakeWorld) -> None:
    async with make_world(queue_max_size=1, worker_concurrency=0) as world:
        first, second = [
            await world.filled(path)
            for path in ("/api/tasks/{task_id}/execute", "/api/tasks/{other_task_id}/execute")
        ]
        await world.client.post(first)
        code = await refused(world, "POST", second)

    assert "QUEUE_FULL" == code


@pytest.mark.usefixtures("clock")
async def test_rate_limit_exceeded(make_world: MakeWorld) -> None:
    async with make_world(rate_limit_enabled=True, rate_limit_user=1) as world:
        await world.client.get("/api/tasks/")
        code = await refused(world, "GET", "/api/tasks/")

    assert "RATE_LIMIT_EXCEEDED" == code


async def test_database_error(make_world: MakeWorld, sqlite_url: str) -> None:
    async with make_world() as world:
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
            connection.execute("ALTER TABLE projects RENAME TO elsewhere")
        connection.close()
        code = await refused(world, "GET", "/api/projects/")

    assert "DATABASE_ERROR" == code


def problems(kind: type[Problem]) -> Iterator[type[Problem]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from problems(inner)


async def refused(world: World, method: str, path: str, **words: Any) -> str:
    """The code of a refusal in the documented envelope."""
    response = await world.client.request(method, path, json=words or None)
    answer = response.json()

    assert [] == misfits(FAILURE, answer)
    assert STATUS[answer["error"]["code"]] == response.status_code
    return str(answer["error"]["code"])


async def end_of(world: World, task_id: str) -> str:
    """Why the newest run of a task ended as it did."""
    task = (await world.server.data(LAST_RUN, id=task_id))["task"]
    return str(task["lastRun"]["errorCode"])
