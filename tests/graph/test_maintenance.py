"""Maintenance mode: reads go on, and only administrators write, on every server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from db.tables import events
from tests.fixtures.server import PASSWORD, Served, serving, settings_for
from tests.rest_compat.real import data_of, new_project, refusal_of, talking

START = """mutation ($until: DateTime) {
  startMaintenance(message: "New disks", until: $until) { active since message until }
}"""
END = "mutation { endMaintenance { active since message until } }"
UNTIL = "2099-01-31T12:00:00Z"


@pytest.fixture
async def server(shared_server: Served) -> AsyncIterator[Served]:
    """A server that is not in maintenance mode, neither before nor after."""
    yield shared_server
    await shared_server.data(END)


@pytest.fixture
async def in_maintenance(server: Served) -> Served:
    """A server that is being maintained."""
    await server.data(START, until=UNTIL)
    return server


async def create(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/api/projects/", json={"name": "P"})


async def test_it_is_switched_on_and_off_and_told(server: Served) -> None:
    on = (await server.data(START, until=UNTIL))["startMaintenance"]
    seen = (await server.data("{ maintenance { active message } }", "viewer"))["maintenance"]
    off = (await server.data(END))["endMaintenance"]
    told = await server.app.services.database.rows(
        select(events.c.data).where(events.c.kind == "system.maintenance").order_by(events.c.seq)
    )

    assert on.pop("since")
    assert {"active": True, "message": "New disks", "until": UNTIL} == on
    assert {"active": True, "message": "New disks"} == seen
    assert {"active": False, "since": None, "message": None, "until": None} == off
    assert [(True, "New disks"), (False, None)] == [
        (row.data["active"], row.data.get("message")) for row in told[-2:]
    ]


async def test_writes_of_others_are_refused(in_maintenance: Served) -> None:
    async with in_maintenance.http("developer") as client:
        refused = await create(client)
        read = await client.get("/api/projects/")
    graphql = await in_maintenance.graphql(
        'mutation { createProject(input: {name: "P"}) { id } }', "developer"
    )

    assert (503, "SYSTEM_MAINTENANCE") == refusal_of(refused)
    details = refused.json()["error"]["details"]
    assert ("New disks", "2099-01-31T12:00:00+00:00") == (details["reason"], details["until"])
    assert 200 == read.status_code
    assert "SYSTEM_MAINTENANCE" == graphql["errors"][0]["extensions"]["code"]


async def test_administrators_write_on(in_maintenance: Served) -> None:
    async with in_maintenance.http() as client:
        await new_project(client)


async def test_everyone_may_sign_in_and_follow(in_maintenance: Served) -> None:
    await in_maintenance.data(END)
    async with talking(in_maintenance, "developer") as talk:
        await in_maintenance.data(START, until=UNTIL)
        async with in_maintenance.http(None) as client:
            words = {"username": "developer", "password": PASSWORD}
            login = data_of(await client.post("/api/auth/login", json=words))
        again = await talk.ask("authenticate", token=login["access_token"])
        subscribed = await talk.ask("subscribe", channel="task_updates")
        refused = await talk.ask("execute_task", task_id="any")

    assert ("authenticated", "subscribed") == (again["type"], subscribed["type"])
    assert "SYSTEM_MAINTENANCE" == refused["data"]["code"]


@pytest.mark.parametrize("mutation", [START, END])
async def test_only_an_administrator_switches_it(server: Served, mutation: str) -> None:
    answer = await server.graphql(mutation, "developer")

    assert "AUTH_INSUFFICIENT_PERMISSIONS" == answer["errors"][0]["extensions"]["code"]


async def test_a_past_end_is_refused(server: Served) -> None:
    answer = await server.graphql(START, until="2001-01-01T00:00:00Z")

    assert {"field": "until", "issue": "Must be in the future"} == answer["errors"][0][
        "extensions"
    ]["details"]


async def test_other_servers_know_it_by_the_bus(postgres_url: str, tmp_path: Path) -> None:
    settings = settings_for(postgres_url, tmp_path)
    async with serving(settings) as one, serving(settings) as two:
        with two.app.services.bus.listen("maintenance") as heard:
            await one.data(START)
            await heard.wait(10)
        async with two.http("developer") as client, asyncio.timeout(2):
            # Shorter than the poll: what was heard is looked up by then.
            while (refused := await create(client)).status_code != 503:
                pass

    assert (503, "SYSTEM_MAINTENANCE") == refusal_of(refused)


async def test_it_survives_a_restart(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path)
    async with serving(settings) as server:
        await server.data(START)
    async with serving(settings) as server, server.http("developer") as client:
        refused = await create(client)

    assert (503, "SYSTEM_MAINTENANCE") == refusal_of(refused)
