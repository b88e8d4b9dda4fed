"""How a server ends: whatever it was doing, no process and no untrue row is left behind."""

import asyncio
from pathlib import Path
from typing import Any

from tests.fixtures.program import Program, program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import EXECUTE, OUTPUT, GraphqlSocket
from tests.runners.witness import UP, witness

# A child, one in a session of its own, one that knows nothing of its run, and one that won't stop.
TREE = f"""exec 9>{{fifo}}
sleep 1000 & setsid sleep 1000 & env -i setsid sleep 1000 &
trap '' TERM; {UP}; sleep 1000; sleep 1000"""
COMMAND = "mutation ($command: String!) { executeCommand(input: {command: $command}) { id } }"
RUNS = "{ runs(first: 100, order: ASC) { nodes { taskId status exitCode errorCode } } }"
TASK = "query ($id: ID!) { task(id: $id) { status } }"


async def test_a_server_that_is_stopped_hands_its_tasks_back_and_leaves_no_process(
    database_url: str, tmp_path: Path
) -> None:
    async with witness(tmp_path) as tree:
        async with program(tmp_path, database_url) as server:
            user, task = await busy(server, tmp_path)
            await tree.up()
            await tree.up()
            exit_code = await server.stop()
        gone = await tree.all_gone()
    runs, status = await found_after_the_next_start(
        tmp_path, database_url, user, task, WORKER_CONCURRENCY="0"
    )

    assert 0 == exit_code
    assert gone
    assert {"taskId": task, "status": "QUEUED", "exitCode": None, "errorCode": None} == runs[0]
    # What ran for no task is never run twice.
    assert ("FAILED", "WORKER_LOST") == (runs[1]["status"], runs[1]["errorCode"])
    assert "PENDING" == status


async def test_a_server_that_is_killed_leaves_no_process_and_no_row_that_says_running(
    database_url: str, tmp_path: Path
) -> None:
    async with witness(tmp_path) as tree:
        async with program(tmp_path, database_url) as server:
            user, task = await busy(server, tmp_path)
            await tree.up()
            await tree.up()
            await server.kill()
        gone = await tree.all_gone()
    runs, status = await found_after_the_next_start(tmp_path, database_url, user, task)

    assert gone
    assert [("FAILED", "WORKER_LOST")] * 2 == [(run["status"], run["errorCode"]) for run in runs]
    assert "FAILED" == status


async def test_a_subscriber_sees_what_runs_through_another_server(
    postgres_url: str, tmp_path: Path
) -> None:
    async with (
        program(tmp_path, postgres_url) as first,
        program(tmp_path, postgres_url, WORKER_CONCURRENCY="0") as second,
        asyncio.timeout(30),
    ):
        here, there = GraphqlSocket(first.url), GraphqlSocket(second.url)
        await here.sign_in("admin", PASSWORD)
        there.token = here.token
        project = await there.create_project("Shared")
        task = await here.create_task(project, "Speak", "echo heard over there")
        run_id = (await there.ask(EXECUTE, id=task))["executeTask"]["executionId"]
        answers = [answer async for answer in there.subscribe(OUTPUT, id=run_id)]
    *chunks, end = [answer["commandOutput"] for answer in answers]

    assert "heard over there\n" == "".join(chunk["content"] for chunk in chunks)
    assert ("COMPLETED", 0) == (end["status"], end["exitCode"])


async def busy(server: Program, directory: Path) -> tuple[GraphqlSocket, str]:
    """A user of a server that carries out a task and a command, and the task."""
    user = GraphqlSocket(server.url)
    await user.sign_in("admin", PASSWORD)
    command = TREE.format(fifo=directory / "witness")
    project = await user.create_project("Busy")
    task = await user.create_task(project, "Grow", command)
    await user.ask(EXECUTE, id=task)
    await user.ask(COMMAND, command=command)
    return user, task


async def found_after_the_next_start(
    directory: Path, database_url: str, user: GraphqlSocket, task: str, **settings: Any
) -> tuple[list[dict[str, Any]], str]:
    """All runs, and the task's status."""
    async with program(directory, database_url, **settings) as server:
        user.url = server.url
        runs = (await user.ask(RUNS))["runs"]["nodes"]
        return runs, (await user.ask(TASK, id=task))["task"]["status"]
