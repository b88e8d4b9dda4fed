"""/api/users as documented."""

from tests.fixtures.server import Served
from tests.rest_compat.real import DURATION, TIME, data_of, new_task

PREFERENCES = {
    "theme": "light",
    "timezone": "America/New_York",
    "notifications": {"email": False, "push": True},
    "dashboard_layout": {"widgets": ["tasks", "projects"], "columns": 3},
}


async def test_a_profile_is_as_documented(server: Served) -> None:
    async with server.http() as client:
        before = data_of(await client.get("/api/users/profile"))["statistics"]
        task = await new_task(client)
        await client.put(f"/api/tasks/{task['id']}", json={"status": "completed"})
        await client.post("/api/sessions/", json={})
        profile = data_of(await client.get("/api/users/profile"))

    assert [
        "id", "username", "email", "full_name", "avatar_url", "role", "permissions", "created_at",
        "last_login", "preferences", "statistics",
    ] == list(profile)  # fmt: skip
    assert ["read", "write", "execute", "administer"] == profile["permissions"]
    assert TIME.fullmatch(profile["created_at"])
    time = profile["statistics"].pop("total_login_time")
    assert DURATION.fullmatch(time)
    assert {
        "tasks_created": before["tasks_created"] + 1,
        "tasks_completed": before["tasks_completed"] + 1,
        "projects_created": before["projects_created"] + 1,
    } == profile["statistics"]


async def test_preferences_are_merged(server: Served) -> None:
    async with server.http("viewer") as client:
        first = data_of(await client.put("/api/users/preferences", json=PREFERENCES))
        patch = {"theme": "dark", "notifications": {"push": False}, "timezone": None}
        second = data_of(await client.put("/api/users/preferences", json=patch))
        profile = data_of(await client.get("/api/users/profile"))

    assert PREFERENCES == first["preferences"]
    assert TIME.fullmatch(first["updated_at"])
    assert {
        "theme": "dark",
        "notifications": {"email": False, "push": False},
        "dashboard_layout": PREFERENCES["dashboard_layout"],
    } == second["preferences"]
    assert second["preferences"] == profile["preferences"]


async def test_preferences_are_described(server: Served) -> None:
    async with server.http(None) as client:
        document = (await client.get("/openapi.json")).json()
    described = document["paths"]["/api/users/preferences"]["put"]["requestBody"]

    assert "object" == described["content"]["application/json"]["schema"]["type"]
