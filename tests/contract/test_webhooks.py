"""Webhooks: each documented event reaches a real receiver, in the documented shape, signed."""

import hmac
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from db.payloads import EVENTS
from tests.contract.facts import webhooks as facts
from tests.contract.shapes import misfits
from tests.fixtures.receiver import Received, Receiver, receiving
from tests.fixtures.server import Served, serving, settings_for

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
SECRET = "a secret of the receiver"
CREATE = """mutation ($url: String!, $secret: String) {
  createWebhook(input: {url: $url, secret: $secret}) { webhook { id events } secret }
}"""
PROJECT = 'mutation { createProject(input: {name: "Garden"}) { id } }'
CHANGE_PROJECT = """mutation ($id: ID!) {
  updateProject(id: $id, input: {name: "Orchard"}) { id }
}"""
TASK = """mutation ($project: ID!, $command: String!) {
  createTask(input: {projectId: $project, title: "Water", metadata: {command: $command}}) { id }
}"""
CHANGE_TASK = 'mutation ($id: ID!) { updateTask(id: $id, input: {title: "Weed"}) { id } }'
EXECUTE = "mutation ($id: ID!) { executeTask(id: $id) { executionId } }"
MAINTENANCE = 'mutation { startMaintenance(message: "Back soon") { active } }'
ALERT = """mutation {
  notify(input: {level: ERROR, title: "Disk", message: "Almost full"}) { id }
}"""


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server whose webhooks may reach this machine."""
    settings = settings_for(database_url, tmp_path, webhook_allowed_hosts=["127.0.0.1"])
    async with serving(settings) as served:
        yield served


def test_the_events_are_the_documented_ones() -> None:
    assert facts.EVENTS == EVENTS


async def test_every_event_is_delivered_as_documented(server: Served, receiver: Receiver) -> None:
    created = await server.data(CREATE, url=receiver.url, secret=SECRET)
    webhook = created["createWebhook"]["webhook"]
    await have_all_happen(server)
    found: dict[str, Received] = {}
    while found.keys() < set(facts.EVENTS):
        received = await receiver.next()
        found.setdefault(received.payload["event"], received)

    assert list(facts.EVENTS) == webhook["events"]
    assert set(facts.EVENTS) == found.keys()
    for event, received in found.items():
        payload, headers = received.payload, received.headers
        assert [] == misfits(facts.ENVELOPE | {"data": facts.DATA[event]}, payload)
        assert webhook["id"] == payload["webhook_id"]
        assert [signed(received.body), payload["delivery_id"], event] == [
            headers[name.lower()] for name in facts.HEADERS
        ]
    assert [] == misfits(facts.PAYLOAD, found["task.completed"].payload)


async def test_the_example_tells_what_is_genuine(sqlite_url: str, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    words: dict[str, Any] = {}
    exec(example, words)  # noqa: S102 - it is ours
    settings = settings_for(sqlite_url, tmp_path, webhook_allowed_hosts=["127.0.0.1"])
    async with serving(settings) as server, receiving() as receiver:
        await server.data(CREATE, url=receiver.url, secret=SECRET)
        await server.data(PROJECT)
        received = await receiver.next()

    signature = received.headers["x-signature-256"]
    assert [True, False, False] == [
        words["is_genuine"](SECRET, received.body, signature),
        words["is_genuine"](SECRET, received.body + b" ", signature),
        words["is_genuine"]("another secret", received.body, signature),
    ]


async def have_all_happen(server: Served) -> None:
    project_id = (await server.data(PROJECT))["createProject"]["id"]
    await server.data(CHANGE_PROJECT, id=project_id)
    for command in ("true", "false"):
        task = (await server.data(TASK, project=project_id, command=command))["createTask"]
        await server.data(CHANGE_TASK, id=task["id"])
        await server.data(EXECUTE, id=task["id"])
    await server.data(MAINTENANCE)
    await server.data(ALERT)


def signed(body: bytes) -> str:
    return f"sha256={hmac.new(SECRET.encode(), body, 'sha256').hexdigest()}"
