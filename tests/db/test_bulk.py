"""One change to many tasks: an answer for each, nothing half done."""

from typing import Any

import pytest
from sqlalchemy import select

from db import bulk, projects, search, tasks
from db.bulk import BulkOperation
from db.engine import Database
from db.errors import InsufficientPermissions, Invalid, RequiredField
from db.tables import events, task_tags
from db.types import Role
from tests.db import record

DONE = {"status": "completed", "progress_percentage": 100}


@pytest.mark.parametrize(
    ("operation", "data", "field", "expected"),
    [
        ("update_status", DONE, "status", "completed"),
        ("update_status", DONE, "progress_percentage", 100),
        ("update_status", {"status": "failed"}, "progress_percentage", 0),
        ("set_priority", {"priority": 7}, "priority", 7),
        ("add_tags", {"tags": ["b", "c"]}, "tags", ["a", "b", "c"]),
        ("remove_tags", {"tags": ["a", "x"]}, "tags", ["b"]),
    ],
)
async def test_an_operation_changes_each_task(
    database: Database, operation: str, data: dict[str, Any], field: str, expected: Any
) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    ids = [await record.task(database, ann, project_id, tags=["a", "b"]) for _ in range(2)]
    outcome = await database.write(bulk.apply, ann, BulkOperation(operation), ids, data)

    assert (ids, {}) == (outcome.successful, outcome.failed)
    assert [expected] * 2 == [
        (await record.stored(database, task_id))._mapping[field] for task_id in ids
    ]


async def test_tasks_are_assigned_and_freed(database: Database) -> None:
    ann = await record.person(database)
    task_id = await record.task(database, ann, await record.project(database, ann))
    found = []
    for user_id in (ann.id, None):
        data = {"assigned_to": user_id}
        await database.write(bulk.apply, ann, BulkOperation.ASSIGN, [task_id], data)
        found.append((await record.stored(database, task_id)).assigned_to)

    assert [ann.id, None] == found


async def test_deleted_tasks_are_gone(database: Database) -> None:
    ann = await record.person(database)
    task_id = await record.task(database, ann, await record.project(database, ann))
    await database.write(bulk.apply, ann, BulkOperation.DELETE, [task_id], {})

    assert (await record.stored(database, task_id)).deleted_at


async def test_what_fails_for_one_is_done_for_the_others(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    project_id = await record.project(database, ann)
    hers = await record.task(database, ann, project_id)
    archived = await record.task(database, ann, await record.project(database, ann))
    theirs = await record.task(database, bob, await record.project(database, bob))
    full = await record.task(database, ann, project_id, tags=[str(n) for n in range(50)])
    await database.write(_archive, ann, archived)
    ids = [theirs, hers, "unknown", full, archived, hers]
    outcome = await database.write(bulk.apply, ann, BulkOperation.ADD_TAGS, ids, {"tags": ["new"]})

    assert [hers] == outcome.successful
    assert {
        theirs: "TASK_NOT_FOUND",
        "unknown": "TASK_NOT_FOUND",
        full: "VALIDATION_ERROR",
        archived: "PROJECT_ARCHIVED",
    } == {task_id: problem.code for task_id, problem in outcome.failed.items()}
    assert ["new"] == (await record.stored(database, hers)).tags


async def test_a_failed_item_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    first, second = [await record.task(database, ann, project_id) for _ in range(2)]

    def reindexed(tx: Any, task_id: str, document: Any) -> None:
        if task_id == first:
            raise Invalid("tags", "Too late: the tags are written already")

    monkeypatch.setattr(search, "reindex", reindexed)
    outcome = await database.write(
        bulk.apply, ann, BulkOperation.ADD_TAGS, [first, second], {"tags": ["new"]}
    )

    assert [second] == outcome.successful
    assert [] == (await record.stored(database, first)).tags
    assert [second] == [row.task_id for row in await database.rows(select(task_tags))]
    told = select(events.c.task_id).where(events.c.kind == "task.updated")
    assert [second] == [row.task_id for row in await database.rows(told)]


@pytest.mark.parametrize(
    ("operation", "data", "error", "field"),
    [
        ("update_status", {}, RequiredField, "data.status"),
        ("assign", {}, RequiredField, "data.assigned_to"),
        ("add_tags", {"status": "failed"}, RequiredField, "data.tags"),
        ("remove_tags", {}, RequiredField, "data.tags"),
        ("set_priority", {}, RequiredField, "data.priority"),
    ],
)
async def test_a_missing_word_refuses_the_whole_operation(
    database: Database, operation: str, data: dict[str, Any], error: type[Invalid], field: str
) -> None:
    ann = await record.person(database)

    with pytest.raises(error) as raised:
        await database.write(bulk.apply, ann, BulkOperation(operation), ["x"], data)

    assert field == raised.value.details["field"]


async def test_an_operation_is_bounded(database: Database) -> None:
    ann = await record.person(database)
    ids = [str(number) for number in range(bulk.MOST_TASKS + 1)]

    with pytest.raises(Invalid) as raised:
        await database.write(bulk.apply, ann, BulkOperation.DELETE, ids, {})

    assert "task_ids" == raised.value.details["field"]


async def test_a_viewer_changes_nothing(database: Database) -> None:
    viewer = await record.person(database, role=Role.VIEWER)

    with pytest.raises(InsufficientPermissions):
        await database.write(bulk.apply, viewer, BulkOperation.DELETE, ["x"], {})


def _archive(tx: Any, actor: Any, task_id: str) -> None:
    task = tasks.get(tx, actor, task_id)
    projects.change(tx, actor, task.project_id, {"status": "archived"})
