"""/api/auth and /api/health: what anybody may ask."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from tests.fixtures.server import PASSWORD, Served
from tests.rest_compat.real import TIME, data_of, refusal_of

CREDENTIALS = {"username": "developer", "password": PASSWORD}


def expired(server: Served, username: str, ago: timedelta) -> str:
    """A token of the server's, as it looks some time after its end."""
    key = server.app.services.settings.signing_key()
    claims = jwt.decode(server.tokens[username], key, ["HS256"])
    return jwt.encode({**claims, "exp": datetime.now(UTC) - ago}, key, "HS256")


async def test_login_answers_as_documented(server: Served) -> None:
    async with server.http(None) as client:
        login = data_of(await client.post("/api/auth/login", json=CREDENTIALS))
        headers = {"Authorization": f"Bearer {login['access_token']}"}
        tasks = await client.get("/api/tasks/", headers=headers)

    assert ["access_token", "token_type", "expires_in", "user"] == list(login)
    assert ("bearer", 3600) == (login["token_type"], login["expires_in"])
    assert {
        "id": server.user_ids["developer"],
        "username": "developer",
        "email": None,
    } == login["user"]
    assert 200 == tasks.status_code


@pytest.mark.parametrize("wrong", [{"username": "nobody"}, {"password": "wrong"}])
async def test_login_refuses_what_is_wrong(server: Served, wrong: dict[str, str]) -> None:
    async with server.http(None) as client:
        response = await client.post("/api/auth/login", json=CREDENTIALS | wrong)

    assert (401, "AUTH_TOKEN_INVALID") == refusal_of(response)


async def test_login_does_not_mind_an_old_token(server: Served) -> None:
    headers = {"Authorization": "Bearer old"}
    async with server.http(None) as client:
        response = await client.post("/api/auth/login", json=CREDENTIALS, headers=headers)

    assert 200 == response.status_code


async def test_login_names_a_missing_word(server: Served) -> None:
    async with server.http(None) as client:
        response = await client.post("/api/auth/login", json={"username": "developer"})

    assert (422, "VALIDATION_REQUIRED_FIELD") == refusal_of(response)
    assert {"field": "password", "issue": "Field is required"} == response.json()["error"][
        "details"
    ]


async def test_refresh_gives_a_new_token(server: Served) -> None:
    async with server.http("developer") as client:
        fresh = data_of(await client.post("/api/auth/refresh"))
        headers = {"Authorization": f"Bearer {fresh['access_token']}"}
        tasks = await client.get("/api/tasks/", headers=headers)

    assert ["access_token", "expires_in"] == list(fresh)
    assert server.tokens["developer"] != fresh["access_token"]
    assert 200 == tasks.status_code


async def test_a_token_that_has_just_expired_opens_nothing_but_refresh(
    server: Served,
) -> None:
    token = expired(server, "developer", timedelta(minutes=1))
    headers = {"Authorization": f"Bearer {token}"}
    async with server.http(None) as client:
        tasks = await client.get("/api/tasks/", headers=headers)
        refreshed = await client.post("/api/auth/refresh", headers=headers)

    assert (401, "AUTH_TOKEN_INVALID") == refusal_of(tasks)
    assert 200 == refreshed.status_code


async def test_refresh_needs_a_token(server: Served) -> None:
    async with server.http(None) as client:
        without = await client.post("/api/auth/refresh")
        headers = {"Authorization": "Bearer bad"}
        with_a_bad_one = await client.post("/api/auth/refresh", headers=headers)

    assert (401, "AUTH_TOKEN_MISSING") == refusal_of(without)
    assert (401, "AUTH_TOKEN_INVALID") == refusal_of(with_a_bad_one)


async def test_health_is_for_everybody(server: Served) -> None:
    async with server.http(None) as client:
        health = data_of(await client.get("/api/health/"))

    assert ["status", "timestamp", "uptime", "version"] == list(health)
    assert ("healthy", "1.0.0") == (health["status"], health["version"])
    assert TIME.fullmatch(health["timestamp"])
    assert isinstance(health["uptime"], int)
