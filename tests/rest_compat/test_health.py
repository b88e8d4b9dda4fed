"""/api/health and /api/system as documented: all that they say is measured."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from db.engine import Tx
from tests.fixtures.postgres import fresh_database
from tests.fixtures.server import Served, serving, settings_for
from tests.fixtures.valkey import running_valkey
from tests.rest_compat.real import TIME, data_of, new_project, refusal_of, talking


@pytest.fixture
async def broken_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server whose database has lost some tables."""
    async with serving(settings_for(database_url, tmp_path)) as served:
        await served.app.services.database.write(break_tables)
        yield served


def break_tables(tx: Tx) -> None:
    for table in ("maintenance", "project_members"):
        tx.execute(text(f"ALTER TABLE {table} RENAME TO lost_{table}"))


async def test_detailed_health_answers_as_documented(server: Served) -> None:
    async with server.http(None) as client:
        await client.get("/api/health/")
        health = data_of(await client.get("/api/health/detailed"))

    assert ["status", "timestamp", "checks", "metrics"] == list(health)
    assert "healthy" == health["status"]
    assert TIME.fullmatch(health["timestamp"])
    database, redis, websocket = health["checks"].values()
    assert ["database", "redis", "websocket"] == list(health["checks"])
    assert "healthy" == database["status"]
    assert 0 < database["response_time"] < 1000
    connections = database["connections"]
    assert connections["total"] == connections["active"] + connections["idle"] > 0
    assert {"status": "disabled", "memory_usage": None, "connected_clients": None} == redis
    assert {"status": "healthy", "active_connections": 0, "avg_latency": 0.0} == websocket
    metrics = health["metrics"]
    assert ["requests_per_minute", "average_response_time", "error_rate"] == list(metrics)
    assert 1 <= metrics["requests_per_minute"]
    assert 0 < metrics["average_response_time"]
    assert 0 == metrics["error_rate"]


async def test_redis_is_looked_at_where_there_is_one(
    sqlite_url: str, tmp_path: Path, redis_url: str
) -> None:
    settings = settings_for(sqlite_url, tmp_path, redis_url=redis_url)
    async with serving(settings) as server, server.http() as client:
        health = data_of(await client.get("/api/health/detailed"))
        info = data_of(await client.get("/api/system/info"))

    redis = health["checks"]["redis"]
    assert ("healthy", "healthy") == (health["status"], redis["status"])
    assert re.fullmatch(r"\d+\.\dMB", redis["memory_usage"])
    assert 1 <= redis["connected_clients"]
    assert info["features"]["redis_enabled"]


async def test_without_its_redis_it_is_degraded_and_works(sqlite_url: str, tmp_path: Path) -> None:
    with running_valkey(tmp_path) as redis_url:
        settings = settings_for(sqlite_url, tmp_path, redis_url=redis_url, rate_limit_enabled=True)
        serves = serving(settings)
        server = await serves.__aenter__()
    try:
        async with server.http() as client:
            health = await client.get("/api/health/detailed")
            await new_project(client)
    finally:
        await serves.__aexit__(None, None, None)

    assert "degraded" == data_of(health)["status"]
    assert "unhealthy" == data_of(health)["checks"]["redis"]["status"]
    assert "199" == health.headers["x-ratelimit-remaining"]


async def test_sockets_are_counted_and_timed(server: Served) -> None:
    async with server.http() as client, talking(server), talking(server, "viewer") as talk:
        await talk.ask("ping")
        during = data_of(await client.get("/api/health/detailed"))["checks"]["websocket"]

    assert 2 == during["active_connections"]
    assert 0 < during["avg_latency"] < 1000


async def test_without_its_database_it_is_unhealthy(broken_server: Served) -> None:
    async with broken_server.http() as client:
        answers = [await client.get(f"/api/health/{which}") for which in ("", "detailed")]
        health = data_of(await client.get("/api/health/detailed"), 503)
    graphql = await broken_server.graphql("{ health { status } }")

    assert [(503, "unhealthy")] * 2 == [
        (answer.status_code, answer.json()["data"]["status"]) for answer in answers
    ]
    assert ("unhealthy", None) == (
        health["checks"]["database"]["status"],
        health["checks"]["database"]["response_time"],
    )
    assert 0 < health["metrics"]["error_rate"] <= 1
    assert "UNHEALTHY" == graphql["data"]["health"]["status"]


async def test_what_the_database_refuses_is_said_without_its_words(broken_server: Served) -> None:
    def requests(client: httpx2.AsyncClient) -> list[httpx2.Request]:
        return [
            client.build_request("GET", "/api/projects/"),
            client.build_request("GET", "/api/projects/x"),
            client.build_request("POST", "/api/projects/", json={"name": "P"}),
        ]

    async with broken_server.http("developer") as client:
        responses = [await client.send(request) for request in requests(client)]

    assert [(503, "DATABASE_ERROR")] * 3 == [refusal_of(response) for response in responses]
    assert not any("project_members" in response.text for response in responses)


async def test_a_database_that_is_gone_is_told_and_not_waited_for(
    postgres_server: str, postgres_template: str, tmp_path: Path
) -> None:
    database = fresh_database(postgres_server, postgres_template)
    url = await database.__aenter__()
    async with serving(settings_for(url, tmp_path, worker_concurrency=0)) as server:
        await database.__aexit__(None, None, None)
        async with server.http() as client:
            health = await client.get("/api/health/detailed")
            read = await client.get("/api/projects/")
            written = await client.post("/api/sessions/", json={})

    assert (503, "unhealthy") == (health.status_code, health.json()["data"]["status"])
    assert (503, "DATABASE_ERROR") == refusal_of(read) == refusal_of(written)


async def test_system_info_answers_as_documented(server: Served) -> None:
    async with server.http("viewer") as client:
        info = data_of(await client.get("/api/system/info"))

    assert ["version", "environment", "features", "limits"] == list(info)[:4]
    assert ("1.0.0", "production") == (info["version"], info["environment"])
    assert {
        "websocket_enabled": True,
        "redis_enabled": False,
        "monitoring_enabled": True,
    } == info["features"]
    assert {
        "max_tasks_per_project": 1000,
        "max_concurrent_tasks": 10,
        "max_file_size": "1MB",
    } == info["limits"]
    assert "process" == info["process_backend"]
    assert ["installed", "version"] == list(info["claude_cli"])


async def test_system_info_asks_who_is_calling(server: Served) -> None:
    async with server.http(None) as client:
        response = await client.get("/api/system/info")

    assert (401, "AUTH_TOKEN_MISSING") == refusal_of(response)
