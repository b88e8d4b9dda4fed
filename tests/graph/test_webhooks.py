"""Webhooks through the graph: who manages them, and that their secret is shown once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graph.schema import graphql_schema
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Served, serving, settings_for

URL = "https://example.org/hook"
PROJECT = 'mutation { createProject(input: {name: "P"}) { id } }'
SHOWN = "id projectId url events description enabled disabledReason creator { username }"
CREATE = f"""mutation ($input: CreateWebhookInput!) {{
  createWebhook(input: $input) {{ secret webhook {{ {SHOWN} }} }}
}}"""
UPDATE = f"""mutation ($id: ID!, $input: UpdateWebhookInput!) {{
  updateWebhook(id: $id, input: $input) {{ {SHOWN} }}
}}"""
LIST = "query ($filter: WebhookFilter) { webhooks(filter: $filter) { totalCount nodes { id } } }"
ONE = "query ($id: ID!) { webhook(id: $id) { id recentDeliveries { id event status } } }"
ROTATE = "mutation ($id: ID!) { rotateWebhookSecret(id: $id) { secret webhook { id } } }"
DELETE = "mutation ($id: ID!) { deleteWebhook(id: $id) { id message } }"
PING = "mutation ($id: ID!) { pingWebhook(id: $id) { id event status payload } }"
REDELIVER = "mutation ($id: ID!) { redeliverWebhook(deliveryId: $id) { id status attempts } }"
DELIVERIES = """query ($filter: DeliveryFilter) {
  webhookDeliveries(filter: $filter) {
    totalCount
    nodes { id event status attempts responseStatus payload webhook { url } }
  }
}"""


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server whose webhooks may reach this machine."""
    settings = settings_for(database_url, tmp_path, webhook_allowed_hosts=["127.0.0.1"])
    async with serving(settings) as served:
        yield served


async def test_a_webhook_is_made_changed_listed_and_deleted(server: Served) -> None:
    project_id = await a_project(server)
    made = await created(server, projectId=project_id, url=URL, events=["task.failed"])
    webhook = made["webhook"]
    changed = await server.data(
        UPDATE, "developer", id=webhook["id"], input={"enabled": False, "description": "Later"}
    )
    listed = await server.data(LIST, "developer", filter={"projectId": project_id})
    rotated = (await server.data(ROTATE, "developer", id=webhook["id"]))["rotateWebhookSecret"]
    await server.data(DELETE, "developer", id=webhook["id"])
    left = await server.data(LIST, "developer")

    assert {
        "id": webhook["id"],
        "projectId": project_id,
        "url": URL,
        "events": ["task.failed"],
        "description": None,
        "enabled": True,
        "disabledReason": None,
        "creator": {"username": "developer"},
    } == webhook
    assert webhook | {"enabled": False, "description": "Later"} == changed["updateWebhook"]
    assert [{"id": webhook["id"]}] == listed["webhooks"]["nodes"]
    assert min(len(made["secret"]), len(rotated["secret"])) >= 32
    assert made["secret"] != rotated["secret"]
    assert 0 == left["webhooks"]["totalCount"]


async def test_a_secret_of_ones_own_is_taken(server: Served) -> None:
    project_id = await a_project(server)
    made = await created(server, projectId=project_id, url=URL, secret="0123456789abcdef")

    assert "0123456789abcdef" == made["secret"]


def test_no_field_of_a_webhook_is_its_secret() -> None:
    types = graphql_schema()._schema.type_map
    fields: Any = types["Webhook"]

    assert {"WebhookSecret"} == {
        name for name, type_ in types.items() if "secret" in getattr(type_, "fields", {})
    } - {"CreateWebhookInput"}
    assert "secret" not in fields.fields


async def test_a_ping_is_delivered_and_seen(server: Served, receiver: Receiver) -> None:
    project_id = await a_project(server)
    made = await created(server, projectId=project_id, url=receiver.url)
    webhook_id = made["webhook"]["id"]
    ping = (await server.data(PING, "developer", id=webhook_id))["pingWebhook"]
    first = await receiver.next()
    again = (await server.data(REDELIVER, "developer", id=ping["id"]))["redeliverWebhook"]
    second = await receiver.next()
    words = {"webhookId": webhook_id, "event": "ping"}
    listed = (await server.data(DELIVERIES, "developer", filter=words))["webhookDeliveries"]
    seen = (await server.data(ONE, "developer", id=webhook_id))["webhook"]

    assert "ping" == ping["event"] == first.headers["x-event-type"]
    assert first.payload == ping["payload"]
    assert first.body == second.body
    assert ping["id"] == again["id"] == second.headers["x-delivery-id"]
    assert [ping["id"]] == [each["id"] for each in listed["nodes"]]
    assert {"url": receiver.url} == listed["nodes"][0]["webhook"]
    assert [(ping["id"], "ping")] == [(e["id"], e["event"]) for e in seen["recentDeliveries"]]


async def test_recent_deliveries_are_the_ten_latest_newest_first(
    server: Served, receiver: Receiver
) -> None:
    project_id = await a_project(server)
    made = await created(server, projectId=project_id, url=receiver.url)
    webhook_id = made["webhook"]["id"]
    pings = [
        (await server.data(PING, "developer", id=webhook_id))["pingWebhook"]["id"]
        for _ in range(12)
    ]
    seen = (await server.data(ONE, "developer", id=webhook_id))["webhook"]

    assert pings[:1:-1] == [each["id"] for each in seen["recentDeliveries"]]


async def test_webhooks_and_deliveries_of_others_are_not_found(
    server: Served, receiver: Receiver
) -> None:
    project_id = await a_project(server, "admin")
    made = await created(server, "admin", projectId=project_id, url=receiver.url)
    webhook_id = made["webhook"]["id"]
    ping = (await server.data(PING, id=webhook_id))["pingWebhook"]
    listed = await server.data(LIST, "developer")
    sent = await server.data(DELIVERIES, "developer")

    assert (0, 0) == (listed["webhooks"]["totalCount"], sent["webhookDeliveries"]["totalCount"])
    assert ["RESOURCE_NOT_FOUND"] * 6 == [
        await code_of(server, ONE, "developer", id=webhook_id),
        await code_of(server, UPDATE, "developer", id=webhook_id, input={"enabled": False}),
        await code_of(server, ROTATE, "developer", id=webhook_id),
        await code_of(server, DELETE, "developer", id=webhook_id),
        await code_of(server, PING, "developer", id=webhook_id),
        await code_of(server, REDELIVER, "developer", id=ping["id"]),
    ]


async def test_a_system_webhook_is_for_administrators(server: Served) -> None:
    answer = await server.graphql(CREATE, "developer", input={"url": URL})
    made = await created(server, "admin", url=URL)

    assert "AUTH_INSUFFICIENT_PERMISSIONS" == answer["errors"][0]["extensions"]["code"]
    assert made["webhook"]["projectId"] is None
    assert "system.alert" in made["webhook"]["events"]


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        ({"url": "ftp://example.org"}, "VALIDATION_INVALID_FORMAT", "url"),
        ({"url": "http://169.254.169.254/latest"}, "VALIDATION_INVALID_FORMAT", "url"),
        ({"url": " "}, "VALIDATION_REQUIRED_FIELD", "url"),
        ({"events": ["task.exploded"]}, "VALIDATION_INVALID_FORMAT", "events"),
        ({"events": []}, "VALIDATION_REQUIRED_FIELD", "events"),
        ({"secret": "short"}, "VALIDATION_VALUE_TOO_SHORT", "secret"),
        ({"description": "a\0b"}, "VALIDATION_INVALID_FORMAT", "description"),
    ],
)
async def test_bad_input_names_the_field(
    sqlite_server: Served, words: dict[str, Any], code: str, field: str
) -> None:
    project_id = await a_project(sqlite_server)
    given = {"projectId": project_id, "url": URL} | words
    answer = await sqlite_server.graphql(CREATE, "developer", input=given)

    found = answer["errors"][0]["extensions"]
    assert (code, field) == (found["code"], found["details"]["field"])


async def a_project(server: Served, username: str = "developer") -> str:
    return str((await server.data(PROJECT, username))["createProject"]["id"])


async def created(server: Served, username: str = "developer", **words: Any) -> Any:
    return (await server.data(CREATE, username, input=words))["createWebhook"]


async def code_of(server: Served, query: str, username: str, **variables: Any) -> str:
    answer = await server.graphql(query, username, **variables)
    return str(answer["errors"][0]["extensions"]["code"])
