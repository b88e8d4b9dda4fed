"""Who works in a project, and what each may do there."""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy import select

from db import members, projects, tasks, users
from db.actors import Actor
from db.engine import Database
from db.errors import Invalid, Problem
from db.tables import members as rows
from db.types import MemberRole, Role
from tests.db import record
from tests.db.queues import opened

OWNER, EDITOR, VIEWER = MemberRole.OWNER, MemberRole.EDITOR, MemberRole.VIEWER


async def _roles(database: Database, project_id: str) -> Mapping[str, str]:
    found = await database.rows(select(rows).where(rows.c.project_id == project_id))
    return {row.user_id: row.role for row in found}


async def test_an_owner_manages_members(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    project_id = await record.project(database, ann)
    await database.write(members.add, ann, project_id, bob.id, VIEWER)
    added = await _roles(database, project_id)
    await database.write(members.change, ann, project_id, bob.id, EDITOR)
    changed = await _roles(database, project_id)
    await database.write(members.remove, ann, project_id, bob.id)

    assert {ann.id: OWNER, bob.id: VIEWER} == added
    assert {ann.id: OWNER, bob.id: EDITOR} == changed
    assert {ann.id: OWNER} == await _roles(database, project_id)


async def test_an_editor_changes_tasks_and_no_members(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    cyd = await record.person(database, "cyd")
    project_id = await record.project(database, ann)
    task_id = await record.task(database, ann, project_id)
    await record.member(database, project_id, bob, EDITOR)
    await database.write(tasks.change, bob, task_id, {"title": "New"})
    denied = [
        await _refusal(database, members.add, bob, project_id, cyd.id, VIEWER),
        await _refusal(database, members.change, bob, project_id, bob.id, OWNER),
        await _refusal(database, members.remove, bob, project_id, ann.id),
    ]

    assert ["PROJECT_ACCESS_DENIED"] * 3 == denied


async def test_a_viewer_of_a_project_only_looks_and_may_leave(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    project_id = await record.project(database, ann)
    task_id = await record.task(database, ann, project_id, metadata={"command": "true"})
    await record.member(database, project_id, bob, VIEWER)
    denied = [
        await _refusal(database, tasks.change, bob, task_id, {"title": "New"}),
        await _refusal(database, tasks.execute, bob, task_id),
        await _refusal(database, tasks.cancel, bob, task_id),
        await _refusal(database, projects.change, bob, project_id, {"name": "New"}),
    ]
    await database.write(members.remove, bob, project_id, bob.id)

    assert ["PROJECT_ACCESS_DENIED"] * 4 == denied
    assert {ann.id: OWNER} == await _roles(database, project_id)


async def test_the_last_owner_stays(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    project_id = await record.project(database, ann)
    refused = [
        await _refusal(database, members.remove, ann, project_id, ann.id),
        await _refusal(database, members.change, ann, project_id, ann.id, EDITOR),
    ]
    await database.write(members.add, ann, project_id, bob.id, OWNER)
    await database.write(members.remove, ann, project_id, ann.id)

    assert ["VALIDATION_ERROR"] * 2 == refused
    assert {bob.id: OWNER} == await _roles(database, project_id)


async def test_two_owners_who_leave_at_once_do_not_both_leave(database_url: str) -> None:
    async with opened(database_url, 2) as (here, there):
        ann, bob = await record.person(here), await record.person(here, "bob")
        for _ in range(5):
            project_id = await record.project(here, ann)
            await record.member(here, project_id, bob, OWNER)
            done = await asyncio.gather(
                here.write(members.remove, ann, project_id, ann.id),
                there.write(members.remove, bob, project_id, bob.id),
                return_exceptions=True,
            )

            assert 1 == sum(isinstance(result, Invalid) for result in done), done
            assert 1 == len(await _roles(here, project_id))


async def test_what_can_not_be_is_refused(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    cyd, root = (
        await record.person(database, "cyd"),
        await record.person(database, "root", Role.ADMIN),
    )
    project_id = await record.project(database, ann)
    await database.write(users.change, root, cyd.id, {"is_disabled": True})
    refused = [
        await _refusal(database, members.add, ann, project_id, ann.id, VIEWER),
        await _refusal(database, members.add, ann, project_id, "unknown", VIEWER),
        await _refusal(database, members.add, ann, project_id, cyd.id, VIEWER),
        await _refusal(database, members.change, ann, project_id, bob.id, VIEWER),
        await _refusal(database, members.remove, ann, project_id, bob.id),
        await _refusal(database, members.add, bob, project_id, bob.id, OWNER),
    ]
    await database.write(projects.change, ann, project_id, {"status": "archived"})
    refused.append(await _refusal(database, members.add, ann, project_id, bob.id, VIEWER))

    assert [
        "RESOURCE_ALREADY_EXISTS",
        *["RESOURCE_NOT_FOUND"] * 4,
        "PROJECT_NOT_FOUND",
        "PROJECT_ARCHIVED",
    ] == refused


async def test_an_administrator_manages_every_project(database: Database) -> None:
    ann, root = await record.person(database), await record.person(database, "root", Role.ADMIN)
    project_id = await record.project(database, ann)
    await database.write(members.add, root, project_id, root.id, OWNER)
    await database.write(members.remove, root, project_id, ann.id)

    assert {root.id: OWNER} == await _roles(database, project_id)


async def _refusal(database: Database, unit: object, actor: Actor, *words: object) -> str:
    with pytest.raises(Problem) as raised:
        await database.write(unit, actor, *words)  # type: ignore[arg-type]
    return raised.value.code
