"""Many tasks at once: each is carried out exactly once, the highest lane first."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from db.types import Lane
from tests.fixtures.server import PASSWORD, Served, serving, settings_for
from tests.journeys.clients import GraphqlSocket

TASKS = 50
LANES = [lane.name for lane in Lane]
EXECUTE = """mutation ($id: ID!, $lane: Lane!) {
  executeTask(id: $id, priority: $lane) { executionId }
}"""
UPDATES = """subscription ($project: ID!) {
  taskUpdates(projectId: $project, after: "0-0") {
    ... on TaskUpdate { kind }
    ... on TaskCompleted { completed: taskId }
  }
}"""
RUNS = """query ($project: ID!) {
  runs(filter: {projectId: $project}, first: 100) {
    totalCount
    nodes { task { title } lane status attempt exitCode enqueuedAt startedAt }
  }
}"""


@pytest.fixture
async def one_slot(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server that carries out one run at a time."""
    async with serving(settings_for(database_url, tmp_path, worker_concurrency=1)) as served:
        yield served


async def test_fifty_tasks_at_once_finish_once_each_highest_lane_first(
    one_slot: Served, tmp_path: Path
) -> None:
    gate, book = tmp_path / "gate", tmp_path / "book"
    os.mkfifo(gate)
    user = GraphqlSocket(one_slot.url)
    await user.sign_in("developer", PASSWORD)
    project = await user.create_project("Busy")
    first = await user.create_task(project, "first", f"cat {gate}")
    lanes = {f"{number}": LANES[number % len(LANES)] for number in range(TASKS)}
    tasks = {title: await user.create_task(project, title, f"echo {title} >> {book}")
             for title in lanes}  # fmt: skip

    async with asyncio.timeout(60), aclosing(user.subscribe(UPDATES, project=project)) as updates:
        await user.ask(EXECUTE, id=first, lane="HIGH")
        # Then the slot is taken, and all others have to wait.
        await started(updates)
        await asyncio.gather(
            *(user.ask(EXECUTE, id=task, lane=lanes[title]) for title, task in tasks.items())
        )
        gate.write_text("")
        await completed(updates, {first, *tasks.values()})
    found = (await user.ask(RUNS, project=project))["runs"]

    in_order = sorted(found["nodes"], key=lambda run: run["startedAt"])
    written = book.read_text().split()
    assert TASKS + 1 == found["totalCount"]
    assert {("COMPLETED", 1, 0)} == {
        (run["status"], run["attempt"], run["exitCode"]) for run in in_order
    }
    assert sorted(lanes) == sorted(written)
    assert [run["task"]["title"] for run in in_order] == ["first", *written]
    assert sorted(in_order[1:], key=turn) == in_order[1:]


def turn(run: dict[str, Any]) -> tuple[int, str]:
    return LANES.index(run["lane"]), run["enqueuedAt"]


async def started(updates: AsyncIterator[dict[str, Any]]) -> None:
    async for update in updates:
        if update["taskUpdates"].get("kind") == "task.started":
            return


async def completed(updates: AsyncIterator[dict[str, Any]], tasks: set[str]) -> None:
    """Wait until each of these tasks is told to be completed; each is told once."""
    async for update in updates:
        if task := update["taskUpdates"].get("completed"):
            tasks.remove(task)
            if not tasks:
                return
