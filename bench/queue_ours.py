"""Our queue in the benchmark: the real worker, with runs that do nothing in place of processes."""

import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import orjson
import uvloop
from sqlalchemy import Row, insert, select, union_all

import app
from db import tasks, users
from db.actors import Actor
from db.engine import Database, Tx
from db.ids import new_id
from db.lifecycle import Begun, Outcome
from db.tables import leases, projects, waiting
from db.tables import tasks as tasks_table
from db.types import Lane, ProjectStatus, Role, RunStatus, TaskStatus
from runners import process, worker
from settings import Settings

PROJECTS = 20
PRODUCERS = 50


async def main(url: str, what: str, jobs: int, concurrency: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            database_url=url, data_dir=Path(directory), worker_concurrency=concurrency
        )
        worker.Execution = NoOp  # type: ignore[misc,assignment]
        NoOp.all_in_hand, NoOp.jobs = asyncio.Event(), jobs
        async with opened(settings) as database:
            actor, task_ids = await database.write(laid_out, jobs)
            gc.collect()
            gc.freeze()  # As `serve` does.
            match what:
                case "drain":
                    return await drained(settings, database, actor, task_ids)
                case "through":
                    return await passed_through(settings, database, actor, task_ids)
                case _:
                    return await latency(settings, database, actor, task_ids)


class NoOp:
    """A run that has nothing to do: begins, on record, and has completed."""

    jobs: ClassVar[int]
    began_at: ClassVar[dict[str, float]] = {}
    recorded_at: ClassVar[dict[str, float]] = {}

    all_in_hand: ClassVar[asyncio.Event]

    def __init__(self, *given: Any) -> None:
        self.stopped = None
        self._run: Row[Any] = given[3]
        self._report: Callable[[Begun], Awaitable[bool]] = given[-1]

    def stop(self, _reason: Any) -> None:
        """It has ended by then."""

    async def carry_out(self) -> Outcome:
        self.began_at[self._run.task_id] = time.perf_counter()
        if len(self.began_at) == self.jobs:
            self.all_in_hand.set()
        await self._report(Begun(self._run.id, self._run.fence, "boot", 1, 1))
        self.recorded_at[self._run.task_id] = time.perf_counter()
        return Outcome(RunStatus.COMPLETED, 0)


async def drained(
    settings: Settings, database: Database, actor: Actor, task_ids: list[str]
) -> dict[str, float]:
    """Runs a second, of a worker that finds them all queued."""
    await enqueued(database, actor, task_ids)
    began = time.perf_counter()
    async with working(settings, database):
        await all_finished(database)
    return {"per_second": len(task_ids) / (time.perf_counter() - began)}


async def passed_through(
    settings: Settings, database: Database, actor: Actor, task_ids: list[str]
) -> dict[str, float]:
    """Runs a second, executed one by one by many users while the worker works."""
    began = time.perf_counter()
    async with working(settings, database):
        shares = [task_ids[start::PRODUCERS] for start in range(PRODUCERS)]
        await asyncio.gather(*(enqueued(database, actor, share, at_once=1) for share in shares))
        await all_finished(database)
    return {"per_second": len(task_ids) / (time.perf_counter() - began)}


async def latency(
    settings: Settings, database: Database, actor: Actor, task_ids: list[str]
) -> dict[str, float]:
    """From the call that enqueues a run, in one process, to its start in another's worker."""
    called_at: dict[str, float] = {}
    async with opened(settings) as theirs, working(settings, theirs):
        for task_id in task_ids:
            await asyncio.sleep(random.uniform(0.02, 0.08))
            called_at[task_id] = time.perf_counter()
            await database.enact(tasks.executing, actor, task_id, Lane.NORMAL, {})
        await all_finished(database)
    waits = sorted(NoOp.began_at[id_] - at for id_, at in called_at.items())
    recorded = sorted(NoOp.recorded_at[id_] - at for id_, at in called_at.items())
    return {
        "p50_ms": 1000 * waits[len(waits) // 2],
        "p99_ms": 1000 * waits[len(waits) * 99 // 100],
        "recorded_p50_ms": 1000 * recorded[len(recorded) // 2],
    }


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    database = app.connect(settings)
    async with app.opened(database):
        yield database


@asynccontextmanager
async def working(settings: Settings, database: Database) -> AsyncIterator[None]:
    async with worker.Worker(database, settings, process.choose("process")).working():
        yield


async def enqueued(
    database: Database, actor: Actor, task_ids: list[str], at_once: int = 100
) -> None:
    for start in range(0, len(task_ids), at_once):
        await database.write(_execute, actor, task_ids[start : start + at_once])


def _execute(tx: Tx, actor: Actor, task_ids: list[str]) -> None:
    for task_id in task_ids:
        tasks.execute(tx, actor, task_id, random.choice(list(Lane)), {})


async def all_finished(database: Database) -> None:
    await NoOp.all_in_hand.wait()
    while await database.rows(_ANY_ACTIVE):
        await asyncio.sleep(0.005)


_ANY_ACTIVE = union_all(*(select(table.c.run_id) for table in (waiting, leases))).limit(1)


def laid_out(tx: Tx, jobs: int) -> tuple[Actor, list[str]]:
    """Projects with limits, and tasks in them."""
    name = f"user {new_id()}"
    user_id = users.create(tx, None, username=name[:40], password_hash="", role=Role.ADMIN)
    actor = Actor(user_id, name, Role.ADMIN)
    common = {"created_by": user_id, "created_at": tx.now, "updated_at": tx.now}
    limits = {"max_tasks": jobs, "max_concurrent_tasks": 10, "storage_limit": "1GB"}
    of_projects = [
        {"id": new_id(), "name": "Bench", "status": ProjectStatus.ACTIVE, "settings": {}, **limits,
         **common}
        for _ in range(PROJECTS)
    ]  # fmt: skip
    of_tasks = [
        {"id": new_id(), "project_id": of_projects[number % PROJECTS]["id"], "title": "Nothing",
         "status": TaskStatus.PENDING, "priority": number % 10, "progress_percentage": 0,
         "tags": [], "metadata": {"command": "true"}, **common}
        for number in range(jobs)
    ]  # fmt: skip
    tx.execute(insert(projects), of_projects)
    tx.execute(insert(tasks_table), of_tasks)
    return actor, [str(row["id"]) for row in of_tasks]


if __name__ == "__main__":
    url, what, jobs, concurrency = sys.argv[1:]
    print(orjson.dumps(uvloop.run(main(url, what, int(jobs), int(concurrency)))).decode())
