"""Whatever is killed, and whenever: no process is left, and no task says that it is running."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runners.survivors import sweep
from tests.claude.conftest import RealOpening
from tests.claude.stub import Reply, Stub, calls, hangs, says
from tests.fixtures.agents import PATIENCE_SECONDS, Director
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD

PID = "query ($id: ID!) { run(id: $id) { pid } }"
RUNNING = """{
  runs(filter: {status: [RUNNING]}) { totalCount }
  tasks(filter: {status: [RUNNING]}) { totalCount }
}"""

# Where the run is when something dies: what the API answers, and the event that tells it.
MOMENTS: dict[str, tuple[Callable[[], Reply], str]] = {
    "waiting for the API": (hangs, "AgentStarted"),
    "streaming": (lambda: says("Once ", "upon", gate=asyncio.Event()), "AgentStarted"),
    "in a tool": (
        lambda: calls("Bash", command="setsid sleep 1000", description="Wait"),
        "AgentToolCall",
    ),
    "asking": (
        lambda: calls("Bash", command="touch x", description="Make"),
        "AgentPermissionRequest",
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_killed_cli_leaves_nothing(
    real_office: RealOpening, stub: Stub, moment: str
) -> None:
    async with real_office() as place:
        user = place.user
        run_id = await brought_to(user, stub, moment)
        os.kill((await user.ask(PID, id=run_id))["run"]["pid"], signal.SIGKILL)
        run = await user.ended(run_id)
        running = await user.ask(RUNNING)
        survivors = sweep(run_id)

    assert ("FAILED", "FAILED", -9) == (run["status"], run["task"]["status"], run["exitCode"])
    assert "claude ended with code -9" == run["errorMessage"]
    assert [0, 0] == [count["totalCount"] for count in running.values()]
    assert 0 == survivors


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_killed_server_leaves_nothing_once_another_has_started(
    sqlite_url: str, tmp_path: Path, api: dict[str, str], stub: Stub, moment: str
) -> None:
    settings = {name.upper(): value for name, value in api.items()}
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with program(tmp_path, sqlite_url, **settings) as server:
            run_id = await brought_to(await administrator(server.url), stub, moment)
            await server.kill()
        async with program(tmp_path, sqlite_url, **settings) as server:
            user = await administrator(server.url)
            run = await user.ended(run_id)
            running = await user.ask(RUNNING)
            survivors = sweep(run_id)

    assert ("FAILED", "WORKER_LOST") == (run["status"], run["errorCode"])
    assert [0, 0] == [count["totalCount"] for count in running.values()]
    assert 0 == survivors


async def test_a_run_goes_on_where_the_killed_server_left_it(
    sqlite_url: str, tmp_path: Path, api: dict[str, str], stub: Stub
) -> None:
    settings = {name.upper(): value for name, value in api.items()}
    stub.reply(calls("Write", file_path="first.txt", content="1"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with program(tmp_path, sqlite_url, **settings) as server:
            run_id = await brought_to(
                await administrator(server.url), stub, "waiting for the API", retryAttempts=1
            )
            await stub.asked(2)
            await server.kill()
        stub.reply(says("Done before, and now."))
        async with program(tmp_path, sqlite_url, **settings) as server:
            run = await (await administrator(server.url)).ended(run_id)

    assert ("COMPLETED", 2) == (run["status"], run["attempt"])
    assert "first.txt" in stub.heard(-1)
    assert "go on with what was interrupted" in stub.heard(-1)


async def brought_to(user: Director, stub: Stub, moment: str, **options: Any) -> str:
    """A run that is at this moment; its id."""
    reply, event = MOMENTS[moment]
    stub.reply(reply())
    project = await user.create_project("Drill")
    await user.policy(project, mode="ASK", allowedTools=["Bash(setsid sleep *)", "Write"])
    run_id = await user.start(await user.task(project, "Drill"), **options)
    await asyncio.gather(user.told(run_id, event), stub.asked())
    return run_id


async def administrator(url: str) -> Director:
    found = Director(url)
    await found.sign_in("admin", PASSWORD)
    return found
