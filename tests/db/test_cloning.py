"""Copies of projects."""

import pytest
from sqlalchemy import select

from db import cloning, dependencies, projects, tasks
from db.actors import Actor
from db.engine import Database
from db.errors import Problem
from db.tables import events, task_dependencies
from db.tables import projects as project_rows
from db.tables import tasks as task_rows
from db.types import MemberRole
from tests.db import record

SETTINGS = {"theme": "dark"}
LIMITS = {"max_tasks": 5, "max_concurrent_tasks": 2, "storage_limit": "2GB"}


async def _original(database: Database) -> tuple[Actor, Actor, str]:
    """Ann, who owns a project with two tasks, and Bob, who may look at it."""
    ann, bob = await record.person(database), await record.person(database, "bob")
    words = {"description": "D", "settings": SETTINGS, "resource_limits": LIMITS}
    project_id = await record.project(database, ann, **words)
    await record.member(database, project_id, bob, MemberRole.VIEWER)
    first = await record.task(database, ann, project_id, title="First", assigned_to=bob.id)
    second = await record.task(
        database, ann, project_id, title="Second", tags=["a", "b"], priority=3,
        description="Words", estimated_duration=60, metadata={"command": "true"},
        assigned_to=ann.id,
    )  # fmt: skip
    gone = await record.task(database, ann, project_id)
    await database.write(dependencies.add, ann, second, first)
    await database.write(dependencies.add, ann, second, gone)
    await database.write(tasks.change, ann, first, {"status": "completed"})
    await database.write(tasks.remove, ann, gone)
    return ann, bob, project_id


async def _tasks(database: Database, project_id: str) -> list[dict[str, object]]:
    statement = select(task_rows).where(task_rows.c.project_id == project_id)
    found = await database.rows(statement.order_by(task_rows.c.title))
    return [row._asdict() for row in found]


async def test_settings_and_limits_are_copied(database: Database) -> None:
    _, bob, project_id = await _original(database)
    copy_id = await database.write(cloning.clone, bob, project_id, name="Copy")
    copy = await database.first(select(project_rows).where(project_rows.c.id == copy_id))
    assert copy

    assert {
        "name": "Copy", "description": "D", "status": "active", "settings": SETTINGS, **LIMITS,
        "created_by": bob.id,
    }.items() <= copy._asdict().items()  # fmt: skip
    assert [] == await _tasks(database, copy_id)


async def test_settings_may_be_left_out(database: Database) -> None:
    ann, _, project_id = await _original(database)
    copy_id = await database.write(
        cloning.clone, ann, project_id, name="Copy", include_settings=False
    )
    copy = await database.first(select(project_rows).where(project_rows.c.id == copy_id))
    assert copy

    assert ({}, projects.DEFAULT_MAX_TASKS) == (copy.settings, copy.max_tasks)


async def test_tasks_are_copied_as_if_they_were_new(database: Database) -> None:
    ann, _, project_id = await _original(database)
    copy_id = await database.write(cloning.clone, ann, project_id, name="Copy", include_tasks=True)
    first, second = await _tasks(database, copy_id)

    assert ("First", "pending", 0, None, None) == (
        first["title"], first["status"], first["progress_percentage"], first["completed_at"],
        first["assigned_to"],
    )  # fmt: skip
    assert {
        "title": "Second", "description": "Words", "priority": 3, "tags": ["a", "b"],
        "estimated_seconds": 60, "metadata": {"command": "true"}, "assigned_to": ann.id,
    }.items() <= second.items()  # fmt: skip


async def test_copied_tasks_wait_for_each_other(database: Database) -> None:
    ann, _, project_id = await _original(database)
    copy_id = await database.write(cloning.clone, ann, project_id, name="Copy", include_tasks=True)
    first, second = await _tasks(database, copy_id)
    waiting = task_dependencies.c.task_id == second["id"]
    found = await database.rows(select(task_dependencies).where(waiting))

    assert [first["id"]] == [row.depends_on_task_id for row in found]


async def test_copied_tasks_are_told_and_found(database: Database) -> None:
    ann, _, project_id = await _original(database)
    copy_id = await database.write(cloning.clone, ann, project_id, name="Copy", include_tasks=True)
    told = select(events.c.kind).where(events.c.project_id == copy_id).order_by(events.c.seq)
    filters = tasks.LISTING.prepared({"project_id": copy_id, "search": "words", "tags": ["b"]})

    assert ["project.created", "task.created", "task.created"] == [
        event.kind for event in await database.rows(told)
    ]
    assert 1 == await database.scalar(tasks.LISTING.count(ann, filters))


async def test_more_tasks_than_the_copy_may_hold_are_refused(database: Database) -> None:
    ann, _, project_id = await _original(database)
    await database.write(projects.change, ann, project_id, {"resource_limits": {"max_tasks": 1}})

    with pytest.raises(Problem) as raised:
        await database.write(cloning.clone, ann, project_id, name="Copy", include_tasks=True)

    assert "PROJECT_LIMIT_EXCEEDED" == raised.value.code
    assert [project_id] == [row.id for row in await database.rows(select(project_rows))]


async def test_more_tasks_than_are_ever_copied_are_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _, project_id = await _original(database)
    monkeypatch.setattr(cloning, "MOST_TASKS", 1)

    with pytest.raises(Problem) as raised:
        await database.write(cloning.clone, ann, project_id, name="Copy", include_tasks=True)

    assert "RESOURCE_LIMIT_EXCEEDED" == raised.value.code


async def test_a_project_of_others_is_not_copied(database: Database) -> None:
    _, _, project_id = await _original(database)
    stranger = await record.person(database, "cyd")

    with pytest.raises(Problem) as raised:
        await database.write(cloning.clone, stranger, project_id, name="Copy")

    assert "PROJECT_NOT_FOUND" == raised.value.code
