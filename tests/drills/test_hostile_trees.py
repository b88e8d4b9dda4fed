"""Eight trees that do not want to die, and every end that a server puts to them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.tables import runs
from runners.process import Backend
from tests.db import queues
from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.program import Program, program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import GraphqlSocket
from tests.runners.trees import TREES
from tests.runners.witness import Witness, witness, witnessed

PLANT = """mutation ($command: String!, $timeout: Int) {
  executeCommand(input: {command: $command, timeout: $timeout}) { id }
}"""
CANCEL = "mutation ($id: ID!) { cancelRun(id: $id) { status } }"
LONG, SHORT = 900, 4
End = Callable[[Program, GraphqlSocket, Sequence[str]], Awaitable[Any]]


async def cancelled(_server: Program, user: GraphqlSocket, run_ids: Sequence[str]) -> None:
    await asyncio.gather(*(user.ask(CANCEL, id=run_id) for run_id in run_ids))


async def timed_out(_server: Program, _user: GraphqlSocket, _run_ids: Sequence[str]) -> None:
    """It comes by itself."""


async def told_to_stop(server: Program, _user: GraphqlSocket, _run_ids: Sequence[str]) -> None:
    await server.stop()


async def killed(server: Program, _user: GraphqlSocket, _run_ids: Sequence[str]) -> None:
    await server.kill()


async def test_nothing_of_eight_hostile_trees_outlives_a_cancel_a_timeout_or_the_worker(
    sqlite_url: str, tmp_path: Path, backend: Backend
) -> None:
    async with program(tmp_path, sqlite_url, **settings(backend)) as server:
        gone = [
            await grown_and_ended(server, tmp_path / "cancelled", cancelled),
            await grown_and_ended(server, tmp_path / "timed out", timed_out, SHORT),
            await grown_and_ended(server, tmp_path / "told to stop", told_to_stop),
        ]

    assert [[True] * len(TREES)] * 3 == gone
    assert {
        ("cancelled", "TASK_CANCELLED"): len(TREES),
        ("failed", "TASK_TIMEOUT"): len(TREES),
        ("failed", "WORKER_LOST"): len(TREES),
    } == await outcomes(sqlite_url)
    assert NOTHING == await left_behind(sqlite_url)


async def test_nothing_of_eight_hostile_trees_outlives_a_worker_that_was_killed(
    sqlite_url: str, tmp_path: Path, backend: Backend
) -> None:
    async with program(tmp_path, sqlite_url, **settings(backend)) as server:
        gone = await grown_and_ended(server, tmp_path / "killed", killed)
    async with program(tmp_path, sqlite_url, **settings(backend)):
        pass  # Its start puts the record right.

    assert [True] * len(TREES) == gone
    assert {("failed", "WORKER_LOST"): len(TREES)} == await outcomes(sqlite_url)
    assert NOTHING == await left_behind(sqlite_url)


def settings(backend: Backend) -> dict[str, str]:
    return {"PROCESS_BACKEND": backend.name, "WORKER_CONCURRENCY": str(len(TREES))}


async def grown_and_ended(
    server: Program, directory: Path, end: End, seconds: int = LONG
) -> list[bool]:
    """Of each tree, whether nothing of it was alive after the end that all of them met."""
    user = GraphqlSocket(server.url)
    await user.sign_in("admin", PASSWORD)
    async with AsyncExitStack() as forest:
        planted = [
            await plant(forest, user, place, tree, seconds)
            for place, tree in zip(places(directory), TREES.values(), strict=True)
        ]
        await asyncio.gather(*(observer.up() for observer, _ in planted))
        await end(server, user, [run_id for _, run_id in planted])
        return await asyncio.gather(*(observer.all_gone() for observer, _ in planted))


async def outcomes(database_url: str) -> Counter[tuple[str, str]]:
    """How the runs ended, and how many so."""
    async with queues.opened(database_url, 1) as (database,):
        ended = await database.rows(select(runs.c.status, runs.c.error_code))
    return Counter(tuple(run) for run in ended)


def places(directory: Path) -> Iterator[Path]:
    """A directory for each tree."""
    for number in range(len(TREES)):
        place = directory / str(number)
        place.mkdir(parents=True)
        yield place


async def plant(
    forest: AsyncExitStack, user: GraphqlSocket, directory: Path, tree: str, seconds: int
) -> tuple[Witness, str]:
    observer = await forest.enter_async_context(witness(directory))
    command = f"cd '{directory}'; {witnessed(tree)[-1]}"
    run = (await user.ask(PLANT, command=command, timeout=seconds))["executeCommand"]
    return observer, run["id"]
