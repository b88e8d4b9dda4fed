"""What tasks wait for."""

import asyncio
import itertools

import pytest
from sqlalchemy import select

from db import dependencies, projects, tasks
from db.actors import Actor
from db.engine import Database
from db.errors import Invalid, Problem
from db.tables import events, task_dependencies
from db.types import DependencyType, MemberRole
from tests.db import record
from tests.db.queues import opened


async def _chain(database: Database, length: int) -> tuple[Actor, str, list[str]]:
    """Somebody, a project and tasks, each of which waits for the one before it."""
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    ids = [await record.task(database, ann, project_id) for _ in range(length)]
    for earlier, later in itertools.pairwise(ids):
        await database.write(dependencies.add, ann, later, earlier)
    return ann, project_id, ids


async def _refusal(database: Database, actor: Actor, task_id: str, other_id: str) -> str:
    with pytest.raises(Problem) as raised:
        await database.write(dependencies.add, actor, task_id, other_id)
    return raised.value.code


async def test_a_task_waits_for_another(database: Database) -> None:
    ann, _, (first, second) = await _chain(database, 2)
    options = {"runner": "claude"}

    with pytest.raises(Problem) as raised:
        await database.write(tasks.execute, ann, second, options=options)

    assert "TASK_DEPENDENCY_NOT_MET" == raised.value.code
    assert [first] == raised.value.details["waiting_for"]


async def test_it_is_told(database: Database) -> None:
    ann, _, (first, second) = await _chain(database, 2)
    row = await database.first(select(task_dependencies))
    assert row
    await database.write(dependencies.remove, ann, second, row.id)
    told = await database.rows(
        select(events.c.kind, events.c.data).where(events.c.kind.like("%dependency%"))
    )

    details = {"depends_on_task_id": first, "dependency_type": "blocks"}
    assert [
        ("task.dependency_added", details),
        ("task.dependency_removed", details),
    ] == [(event.kind, event.data["details"]) for event in told]
    assert None is await database.first(select(task_dependencies))


async def test_no_task_waits_for_itself_in_the_end(database: Database) -> None:
    ann, _, ids = await _chain(database, 4)

    assert ["VALIDATION_ERROR"] * 4 == [
        await _refusal(database, ann, ids[0], task_id) for task_id in ids
    ]


async def test_relations_may_go_in_circles(database: Database) -> None:
    ann, _, (first, second) = await _chain(database, 2)

    assert await database.write(dependencies.add, ann, first, second, DependencyType.RELATES)


async def test_two_that_would_close_a_circle_together_are_not_both_added(
    database_url: str,
) -> None:
    async with opened(database_url, 2) as (here, there):
        ann = await record.person(here)
        project_id = await record.project(here, ann)
        for _ in range(5):
            one, other = [await record.task(here, ann, project_id) for _ in range(2)]
            done = await asyncio.gather(
                here.write(dependencies.add, ann, one, other),
                there.write(dependencies.add, ann, other, one),
                return_exceptions=True,
            )

            assert 1 == sum(isinstance(result, Invalid) for result in done), done


async def test_a_pair_is_there_once(database: Database) -> None:
    ann, _, (first, second) = await _chain(database, 2)

    assert "RESOURCE_ALREADY_EXISTS" == await _refusal(database, ann, second, first)


async def test_the_other_task_is_of_the_same_project(database: Database) -> None:
    ann, _, (first,) = await _chain(database, 1)
    elsewhere = await record.task(database, ann, await record.project(database, ann))

    assert "VALIDATION_ERROR" == await _refusal(database, ann, first, elsewhere)
    assert "TASK_NOT_FOUND" == await _refusal(database, ann, first, "unknown")


async def test_who_may_not_change_the_task_adds_nothing(database: Database) -> None:
    ann, project_id, (first, second) = await _chain(database, 2)
    bob = await record.person(database, "bob")
    stranger = await _refusal(database, bob, first, second)
    await record.member(database, project_id, bob, MemberRole.VIEWER)
    viewer = await _refusal(database, bob, first, second)
    await database.write(projects.change, ann, project_id, {"status": "archived"})
    archived = await _refusal(database, ann, first, second)

    assert ["TASK_NOT_FOUND", "PROJECT_ACCESS_DENIED", "PROJECT_ARCHIVED"] == [
        stranger, viewer, archived,
    ]  # fmt: skip


async def test_dependencies_of_a_task_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "MOST_DEPENDENCIES", 2)
    ann, project_id, (first,) = await _chain(database, 1)
    for _ in range(2):
        other = await record.task(database, ann, project_id)
        await database.write(dependencies.add, ann, first, other)
    one_more = await record.task(database, ann, project_id)

    assert "RESOURCE_LIMIT_EXCEEDED" == await _refusal(database, ann, first, one_more)


async def test_a_dependency_of_another_task_is_not_found(database: Database) -> None:
    ann, _, (first, _) = await _chain(database, 2)
    row = await database.first(select(task_dependencies))
    assert row

    with pytest.raises(Problem) as raised:
        await database.write(dependencies.remove, ann, first, row.id)

    assert "RESOURCE_NOT_FOUND" == raised.value.code
