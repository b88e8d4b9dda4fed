"""/ws on the real server: metrics, sessions in use, and how many connections there may be."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from db.tables import sessions
from rest_compat import ws
from tests.fixtures.server import Served, serving, settings_for
from tests.rest_compat.real import TIME, Talk, data_of, new_task, talking

DOCUMENTED = ["cpu_usage", "memory_usage", "active_connections", "tasks_per_minute", "queue_sizes"]


@pytest.fixture
async def narrow_server(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server on which each user may have two connections."""
    settings = settings_for(sqlite_url, tmp_path, websocket_connections_per_user=2)
    async with serving(settings) as served:
        yield served


async def end_of(talk: Talk) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        await talk.hear()
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_metrics_answer_as_documented(idle_server: Served) -> None:
    async with idle_server.http() as client, talking(idle_server) as talk:
        for priority in ("high", "low", "low"):
            task = await new_task(client, metadata={"command": "true"})
            words = {"priority": priority}
            data_of(await client.post(f"/api/tasks/{task['id']}/execute", json=words))
        answer = await talk.ask(
            "get_metrics", metrics=["performance", "queue_status", "system_health"]
        )

    assert ["type", "data", "timestamp"] == list(answer)
    assert "performance_data" == answer["type"]
    assert TIME.fullmatch(answer["timestamp"])
    data = answer["data"]
    assert DOCUMENTED == list(data)[:5]
    assert 0 <= data["cpu_usage"] <= 100
    assert 0 < data["memory_usage"] <= 100
    assert 1 == data["active_connections"]
    assert 0 == data["tasks_per_minute"]
    assert {"high": 1, "normal": 0, "low": 2} == data["queue_sizes"]
    assert 2 == data["queue_status"]["queues"]["low_priority"]["size"]
    assert "healthy" == data["system_health"]["checks"]["database"]["status"]


async def test_only_what_is_named_is_looked_at(server: Served) -> None:
    async with talking(server, "viewer") as talk:
        answer = await talk.ask("get_metrics", metrics=["performance"])

    assert answer["data"]["queue_sizes"]
    assert (None, None) == (answer["data"]["queue_status"], answer["data"]["system_health"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({}, "VALIDATION_REQUIRED_FIELD"),
        ({"metrics": "performance"}, "VALIDATION_INVALID_FORMAT"),
        ({"metrics": ["performance", "gossip"]}, "VALIDATION_INVALID_FORMAT"),
    ],
)
async def test_an_unknown_metric_is_refused_and_the_socket_stays(
    server: Served, words: Any, code: str
) -> None:
    async with talking(server, "viewer") as talk:
        refused = await talk.ask("get_metrics", **words)
        pong = await talk.ask("ping")

    assert ("error", code) == (refused["type"], refused["data"]["code"])
    assert "pong" == pong["type"]


async def test_connections_of_a_user_are_bounded(narrow_server: Served) -> None:
    async with (
        talking(narrow_server, "developer"),
        talking(narrow_server, "developer") as second,
        narrow_server.http("developer") as client,
    ):
        session = data_of(await client.post("/api/sessions/", json={}), 201)
        address = f"{narrow_server.ws_url}/ws/{session['session_id']}"
        async with connect(address) as socket:
            third = Talk(socket)
            refused = await third.ask("authenticate", token=narrow_server.tokens["developer"])
            code, _ = await end_of(third)
        async with talking(narrow_server, "viewer"):
            still = await second.ask("authenticate", token=narrow_server.tokens["developer"])

    assert "error" == refused["type"]
    assert "WEBSOCKET_CONNECTION_FAILED" == refused["data"]["code"]
    assert {"limit": 2} == refused["data"]["details"]
    assert 4429 == code
    assert "authenticated" == still["type"]


async def test_who_leaves_makes_room(narrow_server: Served) -> None:
    for _ in range(5):
        async with talking(narrow_server, "developer"):
            pass


async def test_sockets_of_graphql_count_as_well(narrow_server: Served) -> None:
    words = {"Authorization": f"Bearer {narrow_server.tokens['developer']}"}
    async with talking(narrow_server, "developer"), talking(narrow_server, "developer"):
        address = f"{narrow_server.ws_url}/graphql"
        async with connect(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            talk = Talk(socket)
            await talk.say("connection_init", payload=words)
            code, reason = await end_of(talk)

    assert (4429, "Too many connections of one user") == (code, reason)


async def test_an_open_socket_uses_its_session(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws, "USE_AGAIN_SECONDS", 0.05)
    database = server.app.services.database
    nearly_over = datetime.now(UTC) + timedelta(minutes=1)
    newest = select(sessions).order_by(sessions.c.id.desc()).limit(1)
    async with talking(server) as talk:
        session = await database.first(newest)
        assert session
        await database.write(
            lambda tx: tx.execute(
                update(sessions).where(sessions.c.id == session.id).values(expires_at=nearly_over)
            )
        )
        async with asyncio.timeout(10):
            while (used := await database.first(newest)) and used.expires_at == nearly_over:
                await talk.ask("ping")

    assert used
    assert used.expires_at > nearly_over + timedelta(hours=1)


async def test_a_session_that_is_deleted_ends_its_socket(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws, "USE_AGAIN_SECONDS", 0.05)
    async with server.http() as client, talking(server) as talk:
        newest = data_of(await client.get("/api/sessions/"))["sessions"][0]
        data_of(await client.delete(f"/api/sessions/{newest['session_id']}"))
        refused = await talk.hear()
        code, _ = await end_of(talk)

    assert "WEBSOCKET_CONNECTION_FAILED" == refused["data"]["code"]
    assert 4404 == code
