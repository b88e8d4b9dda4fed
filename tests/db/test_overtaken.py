"""What one transaction changes while another is about to: the second goes by what the first did."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, select
from sqlalchemy.util import await_only

from db import bulk, commands, projects, tasks
from db.actors import Actor
from db.bulk import BulkOperation
from db.engine import Database, Tx
from db.errors import ProjectNotFound, ResourceInUse, TaskAlreadyRunning
from db.postgres import dsn
from db.tables import runs, waiting
from db.types import RunStatus
from tests.db import record
from tests.db.queues import opened

SOMEBODY_WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def execute(tx: Tx, ann: Actor, task: Any) -> None:
    tasks.execute(tx, ann, task.id)


def run_command(tx: Tx, ann: Actor, task: Any) -> None:
    commands.execute(tx, ann, command="true", project_id=task.project_id)


def remove_project(tx: Tx, ann: Actor, task: Any) -> None:
    projects.remove(tx, ann, task.project_id)


Unit = Callable[[Tx, Actor, Any], object]
beginning = pytest.mark.parametrize("begin", [execute, run_command])


async def test_a_cancel_reaches_the_run_that_was_begun_meanwhile(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as (database,):
        ann, task = await somebodys_task(database)
        await one_after_the_other(
            postgres_url,
            lambda tx: execute(tx, ann, task),
            lambda tx: tasks.cancel(tx, ann, task.id),
        )
        found = await database.rows(select(runs.c.status))
        left = await database.scalar(select(func.count()).select_from(waiting))

    assert [RunStatus.CANCELLED] == [run.status for run in found]
    assert 0 == left


async def test_a_status_is_not_set_of_a_task_that_was_executed_meanwhile(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as (database,):
        ann, task = await somebodys_task(database)
        with pytest.raises(TaskAlreadyRunning):
            await one_after_the_other(
                postgres_url,
                lambda tx: execute(tx, ann, task),
                lambda tx: tasks.change(tx, ann, task.id, {"status": "completed"}),
            )
        stored = await record.stored(database, task.id)

    assert "pending" == stored.status


async def test_tags_that_are_added_at_once_are_all_kept(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as (database,):
        ann, task = await somebodys_task(database)

        def adding(tag: str) -> Callable[[Tx], object]:
            data = {"tags": [tag]}
            return lambda tx: bulk.apply(tx, ann, BulkOperation.ADD_TAGS, [task.id], data)

        await one_after_the_other(postgres_url, adding("first"), adding("second"))
        stored = await record.stored(database, task.id)

    assert ["first", "second"] == stored.tags


@beginning
async def test_a_project_is_not_deleted_where_something_was_begun_meanwhile(
    postgres_url: str, begin: Unit
) -> None:
    async with opened(postgres_url, 1) as (database,):
        ann, task = await somebodys_task(database)
        with pytest.raises(ResourceInUse):
            await one_after_the_other(
                postgres_url,
                lambda tx: begin(tx, ann, task),
                lambda tx: remove_project(tx, ann, task),
            )


@beginning
async def test_nothing_is_begun_in_a_project_that_was_deleted_meanwhile(
    postgres_url: str, begin: Unit
) -> None:
    async with opened(postgres_url, 1) as (database,):
        ann, task = await somebodys_task(database)
        with pytest.raises(ProjectNotFound):
            await one_after_the_other(
                postgres_url,
                lambda tx: remove_project(tx, ann, task),
                lambda tx: begin(tx, ann, task),
            )
        begun = await database.scalar(select(func.count()).select_from(runs))

    assert 0 == begun


async def somebodys_task(database: Database) -> tuple[Actor, Any]:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    task_id = await record.task(database, ann, project_id, metadata={"command": "true"})
    return ann, await record.stored(database, task_id)


async def one_after_the_other(
    url: str, first: Callable[[Tx], object], second: Callable[[Tx], object]
) -> None:
    """Commit the first once the second, which had begun before that, waits for it."""
    done = asyncio.Event()

    async def until_somebody_waits() -> None:
        watcher = await asyncpg.connect(dsn(url))
        while not await watcher.fetchval(SOMEBODY_WAITS):  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
        await watcher.close()

    def held(tx: Tx) -> None:
        first(tx)
        done.set()
        await_only(until_somebody_waits())

    async with opened(url, 2) as (one, another), asyncio.timeout(30):
        holding = asyncio.create_task(one.write(held))
        await done.wait()
        await asyncio.gather(holding, another.write(second))
