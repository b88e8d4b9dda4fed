"""Projects: who sees them, who changes them, and what they hold to."""

from collections.abc import Callable
from typing import Any

import pytest

from db import projects, tasks
from db.actors import Actor
from db.engine import Database
from db.errors import Problem
from db.types import MemberRole, Role
from tests.db import record

OK = "done"
UNSEEN, DENIED, UNABLE = (
    "PROJECT_NOT_FOUND",
    "PROJECT_ACCESS_DENIED",
    "AUTH_INSUFFICIENT_PERMISSIONS",
)
WHO = ("admin", "owner", "editor", "onlooker", "stranger", "viewer")
DEEDS: dict[str, Callable[[Database, Actor, str], Any]] = {
    "see": lambda database, who, id_: database.write(projects.get, who, id_),
    "change": lambda database, who, id_: database.write(projects.change, who, id_, {"name": "N"}),
    "add a task": lambda database, who, id_: record.task(database, who, id_),
    "execute a task": lambda database, who, id_: _execute(database, who, id_),
    "remove": lambda database, who, id_: database.write(projects.remove, who, id_),
}
# In the order of WHO; a viewer is a member who may change things here, but nothing anywhere.
EXPECTED = {
    "see": (OK, OK, OK, OK, UNSEEN, OK),
    "change": (OK, OK, OK, DENIED, UNSEEN, UNABLE),
    "add a task": (OK, OK, OK, DENIED, UNSEEN, UNABLE),
    "execute a task": (OK, OK, OK, DENIED, "TASK_NOT_FOUND", UNABLE),
    "remove": (OK, OK, OK, DENIED, UNSEEN, UNABLE),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_member_may_do_what_the_role_allows(database: Database, deed: str) -> None:
    found = tuple([await outcome(database, deed, name) for name in WHO])

    assert EXPECTED[deed] == found


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        ({"name": ""}, "VALIDATION_REQUIRED_FIELD", "name"),
        ({"name": " "}, "VALIDATION_REQUIRED_FIELD", "name"),
        ({"name": "x" * 201}, "VALIDATION_VALUE_TOO_LONG", "name"),
        ({"description": "x" * 100_001}, "VALIDATION_VALUE_TOO_LONG", "description"),
        ({"settings": []}, "VALIDATION_INVALID_FORMAT", "settings"),
        ({"settings": {"a": "x" * 300_000}}, "VALIDATION_VALUE_TOO_LONG", "settings"),
        ({"resource_limits": {"max_tasks": 0}}, "VALIDATION_ERROR", "resource_limits.max_tasks"),
        ({"resource_limits": {"storage_limit": ""}}, "VALIDATION_REQUIRED_FIELD",
         "resource_limits.storage_limit"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
async def test_what_a_project_cannot_be_is_refused_by_its_field(
    database: Database, words: dict[str, Any], code: str, field: str
) -> None:
    ann = await record.person(database)
    with pytest.raises(Problem) as refused:
        await record.project(database, ann, **words)

    assert (code, field) == (refused.value.code, refused.value.details["field"])


async def test_a_project_in_which_something_waits_is_not_removed(database: Database) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    await _execute(database, ann, project)
    with pytest.raises(Problem) as refused:
        await database.write(projects.remove, ann, project)

    assert "RESOURCE_IN_USE" == refused.value.code


async def test_a_project_that_was_removed_is_seen_by_nobody(database: Database) -> None:
    ann = await record.person(database)
    root = await record.person(database, "root", Role.ADMIN)
    project = await record.project(database, ann)
    await database.write(projects.remove, ann, project)

    for who in (ann, root):
        with pytest.raises(Problem) as refused:
            await database.write(projects.get, who, project)
        assert "PROJECT_NOT_FOUND" == refused.value.code


async def outcome(database: Database, deed: str, name: str) -> str:
    """What comes of it when somebody does it in a project of somebody else's."""
    owner = await record.person(database, f"owner, for {name}")
    project = await record.project(database, owner)
    who = owner
    if name != "owner":
        roles = {"admin": Role.ADMIN, "viewer": Role.VIEWER}
        who = await record.person(database, name, roles.get(name, Role.DEVELOPER))
    members = {
        "editor": MemberRole.EDITOR,
        "viewer": MemberRole.EDITOR,
        "onlooker": MemberRole.VIEWER,
    }
    if name in members:
        await record.member(database, project, who, members[name])
    try:
        await DEEDS[deed](database, who, project)
    except Problem as problem:
        return problem.code
    return OK


async def _execute(database: Database, who: Actor, project: str) -> None:
    root = await record.person(database, f"root, for {who.username}", Role.ADMIN)
    task = await record.task(database, root, project, metadata={"command": "true"})
    await database.write(tasks.execute, who, task)
