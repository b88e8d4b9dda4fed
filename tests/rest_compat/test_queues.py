"""/api/queues as documented."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fixtures.server import Served, serving, settings_for
from tests.rest_compat.real import (
    DURATION,
    TIME,
    carried_out,
    data_of,
    new_project,
    new_task,
    refusal_of,
)

NAMES = ["high_priority", "normal_priority", "low_priority"]


@pytest.fixture
async def narrow_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server without workers, in whose lanes two runs may wait."""
    settings = settings_for(database_url, tmp_path, worker_concurrency=0, queue_max_size=2)
    async with serving(settings) as served:
        yield served


async def queued(client: httpx2.AsyncClient, priority: str, how_many: int = 1) -> list[str]:
    """Tasks that wait in a lane."""
    project_id = (await new_project(client))["id"]
    task_ids = []
    for _ in range(how_many):
        task = await new_task(client, project_id=project_id, metadata={"command": "true"})
        words = {"priority": priority}
        data_of(await client.post(f"/api/tasks/{task['id']}/execute", json=words))
        task_ids.append(task["id"])
    return task_ids


async def sizes(client: httpx2.AsyncClient) -> dict[str, int]:
    status = data_of(await client.get("/api/queues/status"))
    return {name: queue["size"] for name, queue in status["queues"].items()}


async def clear(client: httpx2.AsyncClient, **words: Any) -> httpx2.Response:
    return await client.request("DELETE", "/api/queues/clear", json=words)


async def test_status_answers_as_documented(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client, metadata={"command": "true"})
        await carried_out(server, task, "high")
        status = data_of(await client.get("/api/queues/status"))

    assert ["queues", "workers", "performance"] == list(status)
    assert NAMES == list(status["queues"])
    for queue in status["queues"].values():
        assert ["size", "processing", "completed_today"] == list(queue)[:3]
    assert 1 <= status["queues"]["high_priority"]["completed_today"]
    assert {"active": 0, "idle": 1, "total": 1} == status["workers"]
    assert ["tasks_per_minute", "average_processing_time", "success_rate"] == list(
        status["performance"]
    )
    assert 0 < status["performance"]["tasks_per_minute"]
    assert DURATION.fullmatch(status["performance"]["average_processing_time"])
    assert 1.0 == status["performance"]["success_rate"]


async def test_a_queue_is_paused_and_resumed(idle_server: Served) -> None:
    async with idle_server.http() as client:
        words = {"queue_name": "high_priority", "reason": "Maintenance window"}
        paused = data_of(await client.post("/api/queues/pause", json=words))
        status = data_of(await client.get("/api/queues/status"))["queues"]
        resumed = data_of(
            await client.post("/api/queues/resume", json={"queue_name": "high_priority"})
        )
        after = data_of(await client.get("/api/queues/status"))["queues"]

    assert TIME.fullmatch(paused.pop("paused_at"))
    assert {
        "queue_name": "high_priority",
        "status": "paused",
        "reason": "Maintenance window",
    } == paused
    assert ("paused", "Maintenance window") == (
        status["high_priority"]["status"],
        status["high_priority"]["reason"],
    )
    assert "active" == status["low_priority"]["status"]
    assert ("high_priority", "active") == (resumed["queue_name"], resumed["status"])
    assert ("active", None) == (after["high_priority"]["status"], after["high_priority"]["reason"])


async def test_a_pause_survives_a_restart(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path)
    async with serving(settings) as server, server.http() as client:
        await client.post("/api/queues/pause", json={"queue_name": "low_priority"})
    async with serving(settings) as server, server.http() as client:
        await queued(client, "low")
        await carried_out(server, await new_task(client, metadata={"command": "true"}))
        status = data_of(await client.get("/api/queues/status"))["queues"]

    assert ("paused", 1) == (status["low_priority"]["status"], status["low_priority"]["size"])


async def test_a_queue_is_cleared(idle_server: Served) -> None:
    async with idle_server.http() as client:
        low = await queued(client, "low", 2)
        await queued(client, "high")
        cleared = data_of(await clear(client, queue_name="low_priority", confirm=True))
        task = data_of(await client.get(f"/api/tasks/{low[0]}"))
        left = await sizes(client)

    assert ["queue_name", "cleared_count", "cleared_at"] == list(cleared)
    assert ("low_priority", 2) == (cleared["queue_name"], cleared["cleared_count"])
    assert "cancelled" == task["status"]
    assert {"high_priority": 1, "normal_priority": 0, "low_priority": 0} == left


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        ({"queue_name": "low_priority"}, "VALIDATION_REQUIRED_FIELD", "confirm"),
        ({"queue_name": "low_priority", "confirm": False}, "VALIDATION_ERROR", "confirm"),
        ({"queue_name": "low", "confirm": True}, "VALIDATION_INVALID_FORMAT", "queue_name"),
        ({"confirm": True}, "VALIDATION_REQUIRED_FIELD", "queue_name"),
    ],
)
async def test_what_is_not_confirmed_is_not_cleared(
    server: Served, words: Any, code: str, field: str
) -> None:
    async with server.http() as client:
        response = await clear(client, **words)

    assert (422, code) == refusal_of(response)
    assert field == response.json()["error"]["details"]["field"]


@pytest.mark.parametrize("path", ["/api/queues/pause", "/api/queues/resume"])
async def test_only_an_administrator_pauses(server: Served, path: str) -> None:
    async with server.http("developer") as client:
        response = await client.post(path, json={"queue_name": "high_priority"})

    assert (403, "AUTH_INSUFFICIENT_PERMISSIONS") == refusal_of(response)


async def test_metrics_are_those_of_a_period(server: Served) -> None:
    async with server.http() as client:
        await carried_out(server, await new_task(client, metadata={"command": "true"}))
        metrics = data_of(await client.get("/api/queues/metrics?period=24h"))
        usual = data_of(await client.get("/api/queues/metrics"))

    assert ["period", "since", "queues", "total"] == list(metrics)
    assert NAMES == list(metrics["queues"])
    normal = metrics["queues"]["normal_priority"]
    assert 1 <= normal["completed"] <= normal["finished"]
    assert normal["throughput_per_hour"] == pytest.approx(normal["finished"] / 24)
    assert 0 <= normal["wait_time"]["p50"] <= normal["wait_time"]["longest"]
    assert 0 < normal["run_time"]["p99"]
    assert metrics["total"]["finished"] >= normal["finished"]
    assert "24h" == usual["period"]


@pytest.mark.parametrize(
    "period", ["", "24", "h", "0h", "24m", "-1h", "366d", "99999h", "1\uff11h"]
)
async def test_a_period_is_a_number_of_hours_or_days(server: Served, period: str) -> None:
    async with server.http() as client:
        response = await client.get("/api/queues/metrics", params={"period": period})

    if period:
        assert (422, "VALIDATION_INVALID_FORMAT") == refusal_of(response)
    else:
        assert "24h" == data_of(response)["period"]


async def test_tasks_are_moved_to_another_queue(idle_server: Served) -> None:
    async with idle_server.http() as client:
        task_ids = await queued(client, "low", 2)
        idle = await new_task(client)
        words = {"task_ids": [*task_ids, idle["id"], "unknown"], "priority": "high"}
        moved = data_of(await client.post("/api/queues/priority", json=words))
        after = await sizes(client)
        history = data_of(await client.get(f"/api/tasks/{task_ids[0]}/history"))["history"]

    assert task_ids == moved["successful"]
    assert [idle["id"], "unknown"] == moved["failed"]
    assert ["VALIDATION_ERROR", "TASK_NOT_FOUND"] == [error["code"] for error in moved["errors"]]
    assert ("high", 2) == (moved["priority"], moved["affected_count"])
    assert {"high_priority": 2, "normal_priority": 0, "low_priority": 0} == after
    assert "prioritized" == history[-1]["action"]


async def test_a_full_queue_takes_no_more(narrow_server: Served) -> None:
    async with narrow_server.http() as client:
        await queued(client, "low", 2)
        task = await new_task(client, metadata={"command": "true"})
        refused = await client.post(f"/api/tasks/{task['id']}/execute", json={"priority": "low"})
        unchanged = data_of(await client.get(f"/api/tasks/{task['id']}"))
        await queued(client, "high", 2)
        command = await client.post("/api/commands/execute", json={"command": "true"})

    assert (503, "QUEUE_FULL") == refusal_of(refused)
    assert {"queue": "low", "max_size": 2} == refused.json()["error"]["details"]
    assert ("pending", 1) == (unchanged["status"], len(unchanged["history"]))
    assert (503, "QUEUE_FULL") == refusal_of(command)
