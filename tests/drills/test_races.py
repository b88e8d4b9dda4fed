"""Cancelling what completes at the same moment: one of the two has happened, never both."""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from app import create_worker
from db import tasks
from db.actors import Actor
from db.engine import Database, Tx
from db.errors import Invalid
from db.tables import events, runs
from db.tables import tasks as task_rows
from db.types import Lane
from tests.db import queues
from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.server import settings_for

RACES = 200
AT_ONCE = 8
FINAL = {"task.completed", "task.failed", "task.cancelled"}


async def test_of_200_races_of_cancel_against_completion_each_has_one_outcome(
    database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(5)
    settings = settings_for(database_url, tmp_path, worker_concurrency=AT_ONCE)
    async with queues.opened(database_url, 1) as (database,):
        user, task_ids = await database.write(laid_out)
        starters = asyncio.Semaphore(AT_ONCE)
        async with create_worker(settings, database).working(), asyncio.timeout(120):
            await asyncio.gather(
                *(race(database, user, id_, chance.uniform(0, 0.25), starters) for id_ in task_ids)
            )
        ended = await database.rows(
            select(runs.c.id, runs.c.status, task_rows.c.status.label("of_task")).join(task_rows)
        )
        told = await database.rows(select(events.c.run_id, events.c.kind))

    ends = Counter(event.run_id for event in told if event.kind in FINAL)
    outcomes = Counter(run.status for run in ended)
    assert {run.id: 1 for run in ended} == ends
    assert [] == [run.id for run in ended if run.status != run.of_task]
    assert {"completed", "cancelled"} == set(outcomes)
    assert RACES == outcomes.total()
    assert NOTHING == await left_behind(database_url)


async def race(
    database: Database, user: Actor, task_id: str, delay: float, starters: asyncio.Semaphore
) -> None:
    """Execute a task, and cancel it about when it completes."""
    async with starters:
        run_id = await database.write(tasks.execute, user, task_id, Lane.NORMAL, {})
        with database.bus.listen(f"run:{run_id}") as listener:
            while not (run := await of(database, run_id)).started_at:
                await listener.wait(1)
            await asyncio.sleep(delay)
            with contextlib.suppress(Invalid):  # It had completed before.
                await database.write(tasks.cancel, user, task_id)
            while not run.finished_at:
                await listener.wait(1)
                run = await of(database, run_id)


async def of(database: Database, run_id: str) -> Any:
    return await database.first(select(runs).where(runs.c.id == run_id))


def laid_out(tx: Tx) -> tuple[Actor, list[str]]:
    user = queues.add_user(tx, "user")
    task_ids = queues.add_tasks(tx, user, queues.add_project(tx, user, AT_ONCE), RACES)
    tx.execute(update(task_rows).values({"metadata": {"command": "sleep 0.2"}}))
    return user, task_ids
