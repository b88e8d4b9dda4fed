"""What a project's limits and status let happen to its tasks."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from db import commands, projects, tasks
from db.engine import Database, Tx
from db.errors import Problem, ProjectLimitExceeded
from db.tables import tasks as rows
from tests.db import record
from tests.db.queues import opened


async def test_a_project_holds_as_many_tasks_as_it_may(database: Database) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann, resource_limits={"max_tasks": 2})
    first, _ = [await record.task(database, ann, project_id) for _ in range(2)]

    with pytest.raises(ProjectLimitExceeded):
        await record.task(database, ann, project_id)
    await database.write(tasks.remove, ann, first)
    assert await record.task(database, ann, project_id)


async def test_tasks_that_are_added_at_once_do_not_exceed_the_limit(database_url: str) -> None:
    async with opened(database_url, 3) as databases:
        ann = await record.person(databases[0])
        project_id = await record.project(databases[0], ann, resource_limits={"max_tasks": 5})
        done = await asyncio.gather(
            *(record.task(database, ann, project_id) for database in databases * 4),
            return_exceptions=True,
        )
        held = await databases[0].scalar(select(func.count()).select_from(rows))

    assert 5 == held
    assert 7 == sum(isinstance(result, ProjectLimitExceeded) for result in done)


WORDS = {"title": "T", "metadata": {"command": "true"}}
CHANGES: dict[str, Callable[..., Any]] = {
    "create": lambda tx, ann, task: tasks.create(tx, ann, project_id=task.project_id, title="N"),
    "change": lambda tx, ann, task: tasks.change(tx, ann, task.id, {"title": "N"}),
    "remove": lambda tx, ann, task: tasks.remove(tx, ann, task.id),
    "execute": lambda tx, ann, task: tasks.execute(tx, ann, task.id),
    "retry": lambda tx, ann, task: tx.enact(tasks.to_retry(tx, ann, task.id)),
    "cancel": lambda tx, ann, task: tasks.cancel(tx, ann, task.id),
    "run a command": lambda tx, ann, task: commands.execute(
        tx, ann, command="true", project_id=task.project_id
    ),
    "rename": lambda tx, ann, task: projects.change(tx, ann, task.project_id, {"name": "N"}),
    "archive again": lambda tx, ann, task: projects.change(
        tx, ann, task.project_id, {"name": "N", "status": "archived"}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_an_archived_project_is_read_only(
    database: Database, change: Callable[..., Any]
) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    task = await record.stored(database, await record.task(database, ann, project_id, **WORDS))
    await database.write(projects.change, ann, project_id, {"status": "archived"})

    with pytest.raises(Problem) as raised:
        await database.write(change, ann, task)

    assert "PROJECT_ARCHIVED" == raised.value.code


async def test_what_is_queued_in_an_archived_project_can_be_cancelled(database: Database) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    task_id = await record.task(database, ann, project_id, **WORDS)
    await database.write(tasks.execute, ann, task_id)
    await database.write(projects.change, ann, project_id, {"status": "archived"})
    await database.write(tasks.cancel, ann, task_id)

    assert "cancelled" == (await record.stored(database, task_id)).status


async def test_a_project_comes_back_with_another_status(database: Database) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    for status in ("archived", "archived", "active"):
        await database.write(projects.change, ann, project_id, {"status": status})

    assert await record.task(database, ann, project_id)


async def test_settings_are_merged(database: Database) -> None:
    ann = await record.person(database)
    settings = {"theme": "dark", "notifications": {"email": True}, "gone": 1}
    project_id = await record.project(database, ann, settings=settings)
    changes = {"settings": {"notifications": {"push": True}, "gone": None}}
    await database.write(projects.change, ann, project_id, changes)

    assert {"theme": "dark", "notifications": {"email": True, "push": True}} == (
        await database.write(_project, ann, project_id)
    ).settings


def _project(tx: Tx, actor: Any, project_id: str) -> Any:
    return projects.get(tx, actor, project_id)
