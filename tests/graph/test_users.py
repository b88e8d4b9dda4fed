"""Accounts over GraphQL."""

import asyncio
from typing import Any

from tests.fixtures.server import PASSWORD, Served

UPDATE = """
    mutation ($id: ID!, $input: UpdateUserInput!) {
      updateUser(id: $id, input: $input) { role isPremium disabledAt email }
    }
"""
LOGIN = """
    mutation ($name: String!, $password: String!) {
      login(username: $name, password: $password) { accessToken }
    }
"""
CHANGE_PASSWORD = """
    mutation ($current: String!, $new: String!) {
      changePassword(currentPassword: $current, newPassword: $new) {
        accessToken tokenType expiresIn user { username }
      }
    }
"""


async def _update(server: Served, username: str, **changes: Any) -> Any:
    return await server.graphql(UPDATE, id=server.user_ids[username], input=changes)


async def test_an_administrator_changes_an_account(server: Served) -> None:
    answer = await _update(
        server, "developer", role="VIEWER", isPremium=True, email="dev@example.org"
    )

    assert {
        "role": "VIEWER",
        "isPremium": True,
        "disabledAt": None,
        "email": "dev@example.org",
    } == answer["data"]["updateUser"]


async def test_a_role_is_another_at_once(server: Served) -> None:
    create = 'mutation { createProject(input: {name: "P"}) { id } }'
    before = await server.graphql(create, "developer")
    await _update(server, "developer", role="VIEWER")
    after = await server.graphql(create, "developer")

    assert before["data"]
    assert "AUTH_INSUFFICIENT_PERMISSIONS" == after["errors"][0]["extensions"]["code"]


async def test_a_disabled_account_is_out_at_once_and_back_when_it_is_enabled(
    server: Served,
) -> None:
    async def seen() -> tuple[int, str | None]:
        async with server.http("developer") as client:
            response = await client.get("/api/users/profile")
        return response.status_code, (response.json()["error"] or {}).get("code")

    found = [await seen()]
    for is_disabled in (True, False):
        await _update(server, "developer", isDisabled=is_disabled)
        found.append(await seen())

    assert [(200, None), (403, "AUTH_ACCOUNT_DISABLED"), (200, None)] == found


async def test_who_is_disabled_does_not_sign_in(sqlite_server: Served) -> None:
    await _update(sqlite_server, "developer", isDisabled=True)
    words = {"name": "developer", "password": PASSWORD}
    answer = await sqlite_server.graphql(LOGIN, None, **words)

    assert "AUTH_ACCOUNT_DISABLED" == answer["errors"][0]["extensions"]["code"]


async def test_another_password_ends_every_token_but_the_new_one(server: Served) -> None:
    words = {"current": PASSWORD, "new": "battery staple"}
    changed = await server.data(CHANGE_PASSWORD, "developer", **words)
    grant = changed["changePassword"]
    old = await server.graphql("{ viewer { id } }", "developer")
    server.tokens["developer"] = grant["accessToken"]
    new = await server.data("{ viewer { id } }", "developer")
    login = await server.graphql(LOGIN, None, name="developer", password=PASSWORD)

    assert {"tokenType": "bearer", "user": {"username": "developer"}}.items() <= grant.items()
    assert "AUTH_TOKEN_INVALID" == old["errors"][0]["extensions"]["code"]
    assert server.user_ids["developer"] == new["viewer"]["id"]
    assert "AUTH_TOKEN_INVALID" == login["errors"][0]["extensions"]["code"]


async def test_a_password_is_changed_by_who_knows_it(sqlite_server: Served) -> None:
    wrong = await sqlite_server.graphql(
        CHANGE_PASSWORD, "developer", current="wrong", new="battery staple"
    )
    short = await sqlite_server.graphql(CHANGE_PASSWORD, "developer", current=PASSWORD, new="short")

    assert [
        ("VALIDATION_ERROR", "current_password"),
        ("VALIDATION_VALUE_TOO_SHORT", "new_password"),
    ] == [
        (error["extensions"]["code"], error["extensions"]["details"]["field"])
        for answer in (wrong, short)
        for error in answer["errors"]
    ]


async def test_an_administrator_gives_another_password(sqlite_server: Served) -> None:
    await _update(sqlite_server, "developer", password="battery staple")
    words = {"name": "developer", "password": "battery staple"}
    old = await sqlite_server.graphql("{ viewer { id } }", "developer")

    assert "AUTH_TOKEN_INVALID" == old["errors"][0]["extensions"]["code"]
    assert await sqlite_server.data(LOGIN, "admin", **words)


async def test_only_administrators_manage_accounts(sqlite_server: Served) -> None:
    update = await sqlite_server.graphql(
        UPDATE, "developer", id=sqlite_server.user_ids["developer"], input={"isPremium": True}
    )
    listed = await sqlite_server.graphql("{ accounts { nodes { id } } }", "developer")

    assert ["AUTH_INSUFFICIENT_PERMISSIONS"] * 2 == [
        answer["errors"][0]["extensions"]["code"] for answer in (update, listed)
    ]


async def test_everyone_sees_who_works_here(server: Served) -> None:
    await _update(server, "viewer", isDisabled=True)
    query = "query ($filter: UserFilter) { users(filter: $filter) { nodes { username } } }"
    found = await asyncio.gather(
        server.data(query, "developer"),
        server.data(query, "developer", filter={"search": "THE DEV"}),
        server.data(query, "developer", filter={"role": ["ADMIN", "VIEWER"]}),
        server.data(query.replace("users", "accounts").replace("UserF", "AccountF"),
                    filter={"isDisabled": True}),
    )  # fmt: skip

    assert [["admin", "developer"], ["developer"], ["admin"], ["viewer"]] == [
        [node["username"] for node in next(iter(answer.values()))["nodes"]] for answer in found
    ]
