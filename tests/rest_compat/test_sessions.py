"""/api/sessions as documented."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, update

from db import projects
from db.tables import events as log
from db.tables import sessions
from db.types import MemberRole
from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, data_of, new_project, new_task, refusal_of

SETTINGS = {"theme": "dark", "auto_save": True, "notifications": True}
KEYS = [
    "session_id", "project_id", "user_id", "status", "created_at", "last_accessed", "expires_at",
    "settings",
]  # fmt: skip


async def test_create_answers_as_documented(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        body = {"project_id": project["id"], "settings": SETTINGS}
        session = data_of(await client.post("/api/sessions/", json=body), 201)
        found = data_of(await client.get(f"/api/sessions/{session['session_id']}"))

    assert KEYS == list(session)
    assert (project["id"], server.user_ids["admin"], "active", SETTINGS) == (
        session["project_id"],
        session["user_id"],
        session["status"],
        session["settings"],
    )
    assert all(
        TIME.fullmatch(session[name]) for name in ("created_at", "last_accessed", "expires_at")
    )
    assert session == found


async def test_a_session_of_others_is_not_found(server: Served) -> None:
    async with server.http("developer") as owner, server.http("viewer") as other:
        session = data_of(await owner.post("/api/sessions/", json={}), 201)
        response = await other.get(f"/api/sessions/{session['session_id']}")

    assert (404, "RESOURCE_NOT_FOUND") == refusal_of(response)


async def test_a_session_on_an_unknown_project_is_refused(server: Served) -> None:
    async with server.http("developer") as client:
        response = await client.post("/api/sessions/", json={"project_id": "unknown"})

    assert (404, "PROJECT_NOT_FOUND") == refusal_of(response)


async def new_session(client: httpx2.AsyncClient, **words: Any) -> Any:
    return data_of(await client.post("/api/sessions/", json=words), 201)


async def expire(server: Served, session_id: str) -> None:
    """Let a session's time be over."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    over = update(sessions).where(sessions.c.id == session_id).values(expires_at=past)
    await server.app.services.database.write(lambda tx: tx.execute(over))


def now() -> str:
    """This very moment: behind everything that was answered, before everything that will be."""
    return datetime.now(UTC).isoformat()


async def let_in(server: Served, project_id: str, username: str) -> None:
    """Make somebody an editor of a project."""
    member = (project_id, server.user_ids[username], MemberRole.EDITOR)
    await server.app.services.database.write(projects.add_member, *member)


async def test_list_answers_as_documented(server: Served) -> None:
    async with server.http("viewer") as client, server.http() as owner:
        project = await new_project(owner, name="E-commerce Platform")
        await new_session(client)
        session = await new_session(owner, project_id=project["id"])
        listed = data_of(await owner.get(f"/api/sessions/?project_id={project['id']}"))
        others = data_of(await client.get("/api/sessions/"))

    assert ["sessions", "total"] == list(listed)
    assert 1 == listed["total"]
    assert {
        "session_id": session["session_id"],
        "project_id": project["id"],
        "project_name": "E-commerce Platform",
        **{name: session[name] for name in ("status", "created_at", "last_accessed")},
        "expires_at": session["expires_at"],
    } == listed["sessions"][0]
    assert session["session_id"] not in [each["session_id"] for each in others["sessions"]]


async def test_list_filters_by_status(server: Served) -> None:
    async with server.http("developer") as client:
        active, expired = await new_session(client), await new_session(client)
        await expire(server, expired["session_id"])
        found = {
            status: {
                session["session_id"]: session["status"]
                for session in data_of(await client.get(f"/api/sessions/?status={status}"))[
                    "sessions"
                ]
            }
            for status in ("active", "expired", "closed")
        }

    assert "active" == found["active"][active["session_id"]]
    assert expired["session_id"] not in found["active"]
    assert "expired" == found["expired"][expired["session_id"]]
    assert {} == found["closed"]


async def test_update_merges_the_settings(server: Served) -> None:
    async with server.http() as client:
        session = await new_session(client, settings=SETTINGS)
        path = f"/api/sessions/{session['session_id']}"
        words = {"settings": {"theme": "light", "auto_save": False}}
        changed = data_of(await client.put(path, json=words))

    assert KEYS == list(changed)
    assert {"theme": "light", "auto_save": False, "notifications": True} == changed["settings"]


async def test_a_session_that_is_used_lasts_anew(server: Served) -> None:
    nearly_over = datetime.now(UTC) + timedelta(minutes=1)
    async with server.http() as client:
        session_id = (await new_session(client))["session_id"]
        await server.app.services.database.write(
            lambda tx: tx.execute(
                update(sessions).where(sessions.c.id == session_id).values(expires_at=nearly_over)
            )
        )
        used = data_of(await client.put(f"/api/sessions/{session_id}", json={"settings": {}}))

    assert datetime.fromisoformat(used["expires_at"]) > nearly_over + timedelta(hours=1)


async def test_a_session_that_has_expired_is_used_no_more(server: Served) -> None:
    async with server.http() as client:
        session_id = (await new_session(client))["session_id"]
        await expire(server, session_id)
        seen = data_of(await client.get(f"/api/sessions/{session_id}"))
        response = await client.put(f"/api/sessions/{session_id}", json={"settings": {}})

    assert "expired" == seen["status"]
    assert (404, "RESOURCE_NOT_FOUND") == refusal_of(response)


async def test_a_deleted_session_is_gone(server: Served) -> None:
    async with server.http() as client:
        path = f"/api/sessions/{(await new_session(client))['session_id']}"
        deleted = data_of(await client.delete(path))
        responses = [await client.get(path), await client.delete(path)]

    assert ["message", "deleted_at"] == list(deleted)
    assert [(404, "RESOURCE_NOT_FOUND")] * 2 == [refusal_of(response) for response in responses]


async def test_history_tells_what_its_user_did(server: Served) -> None:
    async with server.http() as client, server.http("developer") as other:
        project = await new_project(client)
        await new_task(client, project_id=project["id"], title="Before")
        session = await new_session(client, project_id=project["id"], settings=SETTINGS)
        task = await new_task(client, project_id=project["id"], title="Meanwhile")
        await new_task(client, title="Elsewhere")
        await let_in(server, project["id"], "developer")
        await new_task(other, project_id=project["id"], title="Somebody else's")
        path = f"/api/sessions/{session['session_id']}"
        await client.put(path, json={"settings": {"theme": "light"}})
        await new_task(client, project_id=project["id"], title="After")
        answer = data_of(await client.get(f"{path}/history"))

    assert ["session_id", "history"] == list(answer)
    assert session["session_id"] == answer["session_id"]
    assert [
        ("session_created", None),
        ("task_created", "Meanwhile"),
        ("session_updated", None),
        ("task_created", "After"),
    ] == [(entry["action"], entry["task_title"]) for entry in answer["history"]]
    entry = answer["history"][1]
    assert ["id", "timestamp", "action", "user_id", "user_name", "task_id"] == list(entry)[:6]
    assert (server.user_ids["admin"], "The admin", task["id"]) == (
        entry["user_id"],
        entry["user_name"],
        entry["task_id"],
    )


async def test_settings_are_restored_to_a_point_in_time(server: Served) -> None:
    async with server.http() as client:
        session = await new_session(client, settings=SETTINGS)
        path = f"/api/sessions/{session['session_id']}"
        await client.put(path, json={"settings": {"theme": "light"}})
        point = now()
        await client.put(path, json={"settings": {"theme": None, "font": "large"}})
        words = {"restore_point": point, "include_tasks": True, "include_settings": True}
        restored = data_of(await client.post(f"{path}/restore", json=words))

    assert restored["settings_restored"]
    assert SETTINGS | {"theme": "light"} == restored["session"]["settings"]
    assert [] == restored["restored_tasks"]


async def test_tasks_are_restored_as_far_as_its_user_changed_them(idle_server: Served) -> None:
    server = idle_server
    async with server.http() as client, server.http("developer") as other:
        project = await new_project(client)
        mine = await new_task(client, project_id=project["id"], title="Old", priority=1)
        shared = await new_task(client, project_id=project["id"], title="Shared")
        gone = await new_task(client, project_id=project["id"], title="Gone")
        busy = await new_task(
            client, project_id=project["id"], title="Busy", metadata={"command": "true"}
        )
        session = await new_session(client, project_id=project["id"])
        await client.put(f"/api/tasks/{mine['id']}", json={"tags": ["kept"]})
        point = now()
        for title in ("New", "Newer"):
            words = {"title": title, "priority": 7}
            await client.put(f"/api/tasks/{mine['id']}", json=words)
        for task in (shared, gone, busy):
            await client.put(f"/api/tasks/{task['id']}", json={"title": "Mine"})
        await let_in(server, project["id"], "developer")
        await other.put(f"/api/tasks/{shared['id']}", json={"title": "Theirs"})
        await client.delete(f"/api/tasks/{gone['id']}")
        await client.post(f"/api/tasks/{busy['id']}/execute", json={})
        words = {"restore_point": point, "include_tasks": True, "include_settings": False}
        path = f"/api/sessions/{session['session_id']}/restore"
        restored = data_of(await client.post(path, json=words))
        again = data_of(await client.post(path, json=words))
        found = data_of(await client.get(f"/api/tasks/{mine['id']}"))
        theirs = data_of(await client.get(f"/api/tasks/{shared['id']}"))

    assert not restored["settings_restored"]
    (task,) = restored["restored_tasks"]
    assert (mine["id"], {"title", "priority"}) == (task["task_id"], set(task["fields"]))
    assert ("Old", 1, ["kept"]) == (found["title"], found["priority"], found["tags"])
    assert {
        shared["id"]: "Somebody else has changed it since.",
        gone["id"]: "The task does not exist.",
        busy["id"]: "The task is already being executed.",
    } == {task["task_id"]: task["reason"] for task in restored["skipped_tasks"]}
    assert "Theirs" == theirs["title"]
    assert [] == again["restored_tasks"]


async def test_restore_revives_what_has_expired(server: Served) -> None:
    async with server.http() as client:
        session = await new_session(client, settings=SETTINGS)
        point = now()
        await expire(server, session["session_id"])
        path = f"/api/sessions/{session['session_id']}/restore"
        restored = data_of(await client.post(path, json={"restore_point": point}))

    assert "active" == restored["session"]["status"]


@pytest.mark.parametrize("offset", [timedelta(hours=-1), timedelta(hours=1)])
async def test_a_point_outside_its_life_is_refused(server: Served, offset: timedelta) -> None:
    async with server.http() as client:
        session = await new_session(client)
        words = {"restore_point": (datetime.now(UTC) + offset).isoformat()}
        path = f"/api/sessions/{session['session_id']}/restore"
        response = await client.post(path, json=words)

    assert (422, "VALIDATION_ERROR") == refusal_of(response)
    assert "restore_point" == response.json()["error"]["details"]["field"]


async def test_a_point_of_which_nothing_is_kept_is_refused(server: Served) -> None:
    async with server.http() as client:
        session = await new_session(client, settings=SETTINGS)
        point = now()
        forgotten = delete(log).where(log.c.session_id == session["session_id"])
        await server.app.services.database.write(lambda tx: tx.execute(forgotten))
        words = {"restore_point": point, "include_settings": True}
        path = f"/api/sessions/{session['session_id']}/restore"
        response = await client.post(path, json=words)

    assert (422, "VALIDATION_ERROR") == refusal_of(response)
    assert "restore_point" == response.json()["error"]["details"]["field"]


async def test_who_may_only_read_restores_no_tasks(server: Served) -> None:
    async with server.http() as owner, server.http("viewer") as client:
        project = await new_project(owner)
        await let_in(server, project["id"], "viewer")
        session = await new_session(client, project_id=project["id"])
        words = {"restore_point": now(), "include_tasks": True}
        path = f"/api/sessions/{session['session_id']}/restore"
        response = await client.post(path, json=words)

    assert (403, "AUTH_INSUFFICIENT_PERMISSIONS") == refusal_of(response)


async def test_sessions_of_a_user_are_bounded(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.http("viewer") as client:
        open_now = data_of(await client.get("/api/sessions/?status=active"))["total"]
        monkeypatch.setattr("db.sessions.MOST_ACTIVE", open_now + 1)
        session = await new_session(client)
        refused = await client.post("/api/sessions/", json={})
        await client.delete(f"/api/sessions/{session['session_id']}")
        await new_session(client)

    assert (409, "RESOURCE_LIMIT_EXCEEDED") == refusal_of(refused)
    assert {"resource": "session", "limit": open_now + 1} == refused.json()["error"]["details"]
