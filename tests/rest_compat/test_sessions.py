"""/api/sessions as documented."""

from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, data_of, new_project, refusal_of

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
