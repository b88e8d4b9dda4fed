"""Accounts, and what their owners have done."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from db import tasks, users
from db.engine import Database, Tx
from db.errors import Problem
from db.ids import new_id
from db.sessions import create as open_session
from db.tables import events, projects, sessions
from db.tables import users as rows
from db.types import MemberRole, Role
from tests.db import record

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


async def _stored(database: Database, user_id: str) -> Mapping[str, Any]:
    row = await database.first(select(rows).where(rows.c.id == user_id))
    assert row
    return row._asdict()


async def test_an_administrator_changes_an_account(database: Database) -> None:
    root = await record.person(database, "root", Role.ADMIN)
    ann = await record.person(database)
    changes = {
        "role": Role.VIEWER,
        "is_premium": True,
        "email": "ann@example.org",
        "full_name": "Ann",
        "avatar_url": "https://example.org/ann.png",
    }
    await database.write(users.change, root, ann.id, changes)
    stored = await _stored(database, ann.id)

    assert changes == {name: stored[name] for name in changes}
    assert 1 == stored["token_version"]


async def test_an_account_is_disabled_and_enabled(database: Database) -> None:
    root = await record.person(database, "root", Role.ADMIN)
    ann = await record.person(database)
    since = []
    for is_disabled in (True, True, False):
        await database.write(users.change, root, ann.id, {"is_disabled": is_disabled})
        since.append((await _stored(database, ann.id))["disabled_at"])

    assert since[0] == since[1] is not None
    assert None is since[2]


async def test_another_password_ends_every_token(database: Database) -> None:
    root = await record.person(database, "root", Role.ADMIN)
    ann = await record.person(database)
    await database.write(users.change, root, ann.id, {"password_hash": "new"})
    await database.write(users.change_password, ann, "newer")
    stored = await _stored(database, ann.id)
    told = select(events.c.kind, events.c.data).where(events.c.kind.like("user.%ed"))

    assert ("newer", 3) == (stored["password_hash"], stored["token_version"])
    assert [
        ("user.updated", {"user_id": ann.id, "fields": ["password_hash"]}),
        ("user.password_changed", {"user_id": ann.id}),
    ] == [(event.kind, event.data) for event in await database.rows(told)][-2:]


@pytest.mark.parametrize("changes", [{"role": Role.DEVELOPER}, {"is_disabled": True}])
async def test_the_last_administrator_stays_one(
    database: Database, changes: dict[str, Any]
) -> None:
    root = await record.person(database, "root", Role.ADMIN)
    other = await record.person(database, "other", Role.ADMIN)
    await database.write(users.change, root, other.id, {"is_disabled": True})
    refused = await _refusal(database, root, root.id, changes)
    await database.write(users.change, root, other.id, {"is_disabled": False})
    await database.write(users.change, root, root.id, changes)

    assert "VALIDATION_ERROR" == refused


async def test_what_can_not_be_is_refused(database: Database) -> None:
    root = await record.person(database, "root", Role.ADMIN)
    ann = await record.person(database, email="ann@example.org")

    assert {
        "email": "RESOURCE_ALREADY_EXISTS",
        "role": "VALIDATION_REQUIRED_FIELD",
        "full_name": "VALIDATION_VALUE_TOO_LONG",
        "avatar_url": "VALIDATION_INVALID_FORMAT",
    } == {
        field: await _refusal(database, root, root.id, {field: value})
        for field, value in {
            "email": "ann@example.org",
            "role": None,
            "full_name": "x" * 201,
            "avatar_url": "javascript:alert(1)",
        }.items()
    }
    assert "RESOURCE_NOT_FOUND" == await _refusal(database, root, "unknown", {})
    assert "AUTH_INSUFFICIENT_PERMISSIONS" == await _refusal(database, ann, ann.id, {})


async def test_who_is_an_administrator_no_more_has_only_own_projects_in_view(
    database: Database,
) -> None:
    root = await record.person(database, "root", Role.ADMIN)
    bob = await record.person(database, "bob", Role.ADMIN)
    for owner in (root, bob):
        project_id = await record.project(database, owner, name=owner.username)
        await database.write(open_session, bob, lasts_seconds=60, project_id=project_id)
    await database.write(users.change, root, bob.id, {"role": Role.DEVELOPER})
    in_view = await database.rows(
        select(projects.c.name).join(sessions, sessions.c.project_id == projects.c.id)
    )

    assert ["bob"] == [project.name for project in in_view]


async def test_preferences_are_merged(database: Database) -> None:
    ann = await record.person(database)
    for preferences in (
        {"theme": "dark", "notifications": {"email": True, "push": False}, "gone": 1},
        {"notifications": {"push": True, "sound": {"volume": 1}}, "layout": [1], "gone": None},
        {"theme": {"name": "dark"}, "layout": [2]},
    ):
        await database.write(users.prefer, ann, preferences)

    assert {
        "theme": {"name": "dark"},
        "notifications": {"email": True, "push": True, "sound": {"volume": 1}},
        "layout": [2],
    } == (await _stored(database, ann.id))["preferences"]


@pytest.mark.parametrize("preferences", [[], "x", {"x": "a\0"}, {"x": "a" * 300_000}])
async def test_preferences_are_an_object_of_bounded_size(
    database: Database, preferences: Any
) -> None:
    ann = await record.person(database)

    with pytest.raises(Problem) as raised:
        await database.write(users.prefer, ann, preferences)

    assert "preferences" == raised.value.details["field"]


async def test_preferences_do_not_grow_without_bound(database: Database) -> None:
    ann = await record.person(database)
    await database.write(users.prefer, ann, {"a": "a" * 200_000})

    with pytest.raises(Problem) as raised:
        await database.write(users.prefer, ann, {"b": "b" * 200_000})

    assert "VALIDATION_VALUE_TOO_LONG" == raised.value.code


async def test_statistics_count_what_somebody_did(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    project_id = await record.project(database, ann)
    await record.member(database, project_id, bob, MemberRole.EDITOR)
    done = {"status": "completed"}
    for assignee, is_done in [(bob.id, True), (ann.id, True), (None, True), (ann.id, False)]:
        task_id = await record.task(database, ann, project_id, assigned_to=assignee)
        if is_done:
            await database.write(tasks.change, ann, task_id, done)
    deleted = await record.task(database, ann, project_id)
    await database.write(tasks.change, ann, deleted, done)
    await database.write(tasks.remove, ann, deleted)

    assert {
        ann.id: (4, 2, 1, 0.0),
        bob.id: (0, 1, 0, 0.0),
    } == {row[0]: tuple(row)[1:] for row in await _statistics(database, [ann.id, bob.id])}


async def test_time_in_two_sessions_at_once_counts_once(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    for user, start, end in [
        (ann, 0, 60),
        (ann, 10, 30),  # within the first
        (ann, 50, 90),  # goes on where the first ends
        (ann, 120, 130),
        (bob, 0, 5),
    ]:
        await database.write(_session, user.id, start, end)
    found = {row.user_id: row for row in await _statistics(database, [ann.id, bob.id])}

    assert 100 * 60 == pytest.approx(found[ann.id].total_login_time, abs=0.01)
    assert 5 * 60 == pytest.approx(found[bob.id].total_login_time, abs=0.01)


def _session(tx: Tx, user_id: str, start_minute: int, end_minute: int) -> None:
    values = {
        "id": new_id(),
        "user_id": user_id,
        "status": "active",
        "settings": {},
        "created_at": NOON + timedelta(minutes=start_minute),
        "last_accessed_at": NOON + timedelta(minutes=end_minute),
        "expires_at": NOON + timedelta(days=1),
    }
    tx.execute(insert(sessions), values)


async def _statistics(database: Database, user_ids: list[str]) -> Any:
    return await database.rows(users.statistics(user_ids))


async def _refusal(database: Database, actor: Any, user_id: str, changes: Any) -> str:
    with pytest.raises(Problem) as raised:
        await database.write(users.change, actor, user_id, changes)
    return raised.value.code
