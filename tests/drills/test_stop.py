"""How a server stops: what runs may end, or is ended and handed back; a second signal is final."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.program import Program, program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import EXECUTE, GraphqlSocket

RUN = "query ($id: ID!) { run(id: $id) { status attempt pid errorCode startedAt } }"
CANCEL = "mutation ($id: ID!) { cancelRun(id: $id) { status } }"
PATIENCE_SECONDS = 20


async def test_what_runs_may_end_when_the_server_is_told_to_stop(
    database_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"until [ -e {gate} ]; do sleep 0.05; done"
    async with program(tmp_path, database_url, DRAIN_SECONDS="20", WORKER_CONCURRENCY="1") as first:
        user, run_id = await running(first, waits)
        waiting = await executed(user, "true")
        first.process.send_signal(signal.SIGTERM)
        gate.touch()
        stopped = await first.process.wait()
    async with program(tmp_path, database_url, WORKER_CONCURRENCY="0") as second:
        user = await signed_in(second)
        ended, waited = await look(user, run_id), await look(user, waiting)
        await user.ask(CANCEL, id=waiting)

    assert 0 == stopped
    assert ("COMPLETED", 1) == (ended["status"], ended["attempt"])
    assert ("QUEUED", 0) == (waited["status"], waited["attempt"])
    assert NOTHING == await left_behind(database_url)


async def test_a_second_signal_stops_the_server_at_once_and_leaves_nothing_behind(
    database_url: str, tmp_path: Path
) -> None:
    async with program(tmp_path, database_url, DRAIN_SECONDS="600") as first:
        _, run_id = await running(first, "sleep 600")
        processes = psutil.Process(first.process.pid).children(recursive=True)
        first.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)  # Between the two signals of somebody who has lost patience.
        began = time.monotonic()
        first.process.send_signal(signal.SIGTERM)
        stopped = await first.process.wait()
        took = time.monotonic() - began
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, PATIENCE_SECONDS)
    async with program(tmp_path, database_url) as second:
        run = await look(await signed_in(second), run_id)

    assert 128 + signal.SIGTERM == stopped
    assert took < 5
    assert processes
    assert [] == alive
    assert ("FAILED", "WORKER_LOST") == (run["status"], run["errorCode"])
    assert NOTHING == await left_behind(database_url)


async def running(server: Program, command: str) -> tuple[GraphqlSocket, str]:
    """A run that has started, and whose it is."""
    user = await signed_in(server)
    run_id = await executed(user, command)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await user.ask(RUN, id=run_id))["run"]["startedAt"]:  # noqa: ASYNC110 - asked
            await asyncio.sleep(0.02)
    return user, run_id


async def executed(user: GraphqlSocket, command: str) -> str:
    task_id = await user.create_task(await user.create_project("Stopping"), "Task", command)
    return str((await user.ask(EXECUTE, id=task_id))["executeTask"]["executionId"])


async def signed_in(server: Program) -> GraphqlSocket:
    user = GraphqlSocket(server.url)
    await user.sign_in("admin", PASSWORD)
    return user


async def look(user: GraphqlSocket, run_id: str) -> Any:
    return (await user.ask(RUN, id=run_id))["run"]
