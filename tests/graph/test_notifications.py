"""Notifications: told at once to who is there, later to who was away, until acknowledged."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport
from sqlalchemy import delete, select, update
from websockets.typing import Subprotocol

from db import users
from db.engine import Tx
from db.tables import events, notification_receipts, notifications
from tests.fixtures.server import QUICK_HASHER, Served
from tests.rest_compat.real import talking

NOTIFY = """mutation ($input: NotifyInput!) {
  notify(input: $input) { id level title message actions expiresAt }
}"""
WAITING = "{ notifications { id title } }"
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeNotification(id: $id) { notificationId } }"
MAINTENANCE = {
    "level": "INFO",
    "title": "System Maintenance",
    "message": "Scheduled maintenance will begin in 30 minutes",
    "actions": [
        {"label": "Dismiss", "action": "dismiss"},
        {"label": "View Details", "action": "view_details", "url": "/maintenance"},
    ],
}


@pytest.fixture
async def server(shared_server: Served) -> AsyncIterator[Served]:
    """A server on which nobody has been told anything."""
    yield shared_server
    await shared_server.app.services.database.write(forget)


def forget(tx: Tx) -> None:
    tx.execute(delete(notification_receipts))
    tx.execute(delete(notifications))


async def notify(server: Served, **changes: Any) -> Any:
    return (await server.data(NOTIFY, input=MAINTENANCE | changes))["notify"]


async def waiting(server: Served, username: str) -> list[str]:
    return [each["id"] for each in (await server.data(WAITING, username))["notifications"]]


def code_of(answer: Any) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


async def test_a_notification_is_told_to_everyone(server: Served) -> None:
    told = await notify(server)

    assert MAINTENANCE == {name: told[name] for name in MAINTENANCE}
    assert [told["id"]] == await waiting(server, "developer") == await waiting(server, "viewer")


async def test_who_acknowledges_is_not_told_again(server: Served) -> None:
    told = await notify(server)
    for _ in range(2):
        await server.data(ACKNOWLEDGE, "developer", id=told["id"])

    assert [] == await waiting(server, "developer")
    assert [told["id"]] == await waiting(server, "viewer")


async def test_one_user_is_told_alone(server: Served) -> None:
    told = await notify(server, userId=server.user_ids["viewer"])
    refused = await server.graphql(ACKNOWLEDGE, "developer", id=told["id"])

    assert [told["id"]] == await waiting(server, "viewer")
    assert [] == await waiting(server, "developer")
    assert "RESOURCE_NOT_FOUND" == code_of(refused)


async def test_what_has_expired_is_not_told(server: Served) -> None:
    told = await notify(server)
    past = notifications.c.created_at
    await server.app.services.database.write(
        lambda tx: tx.execute(update(notifications).values(expires_at=past))
    )

    assert told["id"] not in await waiting(server, "viewer")


async def test_who_comes_later_is_not_told_of_old_days(server: Served) -> None:
    await notify(server)
    database = server.app.services.database
    await database.write(
        users.create, None, username="new", password_hash=QUICK_HASHER.hash("a password")
    )
    server.tokens["new"] = (await server.app.services.gate.login("new", "a password")).access_token

    assert [] == await waiting(server, "new")


async def test_only_an_administrator_notifies(server: Served) -> None:
    answer = await server.graphql(NOTIFY, "developer", input=MAINTENANCE)

    assert "AUTH_INSUFFICIENT_PERMISSIONS" == code_of(answer)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"title": " "}, "VALIDATION_REQUIRED_FIELD", "title"),
        ({"title": "x" * 201}, "VALIDATION_VALUE_TOO_LONG", "title"),
        ({"message": ""}, "VALIDATION_REQUIRED_FIELD", "message"),
        ({"actions": [{"label": "", "action": "a"}]}, "VALIDATION_REQUIRED_FIELD",
         "actions.0.label"),
        ({"actions": [{"label": "l", "action": "a"}] * 6}, "VALIDATION_ERROR", "actions"),
        ({"expiresAt": "2001-01-01T00:00:00Z"}, "VALIDATION_ERROR", "expires_at"),
    ],
)  # fmt: skip
async def test_a_wrong_notification_is_refused(
    server: Served, changes: Any, code: str, field: str
) -> None:
    answer = await server.graphql(NOTIFY, input=MAINTENANCE | changes)

    assert code == code_of(answer)
    assert field == answer["errors"][0]["extensions"]["details"]["field"]


async def test_nobody_is_told_for_an_unknown_user(server: Served) -> None:
    answer = await server.graphql(NOTIFY, input=MAINTENANCE | {"userId": "unknown"})

    assert "RESOURCE_NOT_FOUND" == code_of(answer)


@pytest.mark.parametrize(
    ("level", "kind"), [("INFO", "system.notification"), ("ERROR", "system.alert")]
)
async def test_it_is_a_fact_in_the_log(server: Served, level: str, kind: str) -> None:
    told = await notify(server, level=level)
    found = await server.app.services.database.first(
        select(events.c.data).where(events.c.kind == kind).order_by(events.c.seq.desc())
    )

    assert found
    assert (told["id"], "System Maintenance") == (
        found.data["notification_id"],
        found.data["title"],
    )


async def test_a_subscription_begins_with_what_waits_and_goes_on(server: Served) -> None:
    first = await notify(server, title="First")
    transport = WebsocketsTransport(
        f"{server.ws_url}/graphql",
        init_payload={"Authorization": f"Bearer {server.tokens['viewer']}"},
        subprotocols=[Subprotocol("graphql-transport-ws")],
    )
    told = [first]
    heard = []
    async with Client(transport=transport) as client:
        async for answer in client.subscribe(gql("subscription { notifications { id title } }")):
            heard.append(answer["notifications"])
            if len(heard) == 2:
                break
            told.append(await notify(server, title="Second"))

    assert [each["id"] for each in told] == [each["id"] for each in heard]


async def test_ws_tells_at_once(server: Served) -> None:
    async with talking(server, "viewer") as talk:
        await notify(server)
        message = await talk.hear()

    assert ["type", "data", "timestamp"] == list(message)
    assert "notification" == message["type"]
    data = message["data"]
    assert ["notification_id", "level", "title", "message", "actions"] == list(data)
    assert MAINTENANCE | {"level": "info"} == {name: data[name] for name in MAINTENANCE}


async def test_ws_tells_who_was_away_until_they_acknowledge(server: Served) -> None:
    told = await notify(server)
    async with talking(server, "viewer") as talk:
        message = await talk.hear()
    async with talking(server, "viewer") as talk:
        again = await talk.hear()
        acknowledged = await talk.ask("acknowledge", notification_id=told["id"])
    async with talking(server, "viewer") as talk:
        pong = await talk.ask("ping")

    assert told["id"] == message["data"]["notification_id"] == again["data"]["notification_id"]
    assert ("acknowledged", {"notification_id": told["id"]}) == (
        acknowledged["type"],
        acknowledged["data"],
    )
    assert "pong" == pong["type"]


async def test_ws_refuses_to_acknowledge_what_is_not_there(server: Served) -> None:
    async with talking(server, "viewer") as talk:
        refused = await talk.ask("acknowledge", notification_id="unknown")

    assert "RESOURCE_NOT_FOUND" == refused["data"]["code"]
