"""What Prometheus is told."""

import re
from pathlib import Path

from httpx2 import AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.server import Served, serving, settings_for

COMMAND = """mutation { executeCommand(input: {command: "echo counted"}) { id } }"""


async def test_metrics_tell_of_the_queue_of_runs_and_of_requests(server: Served) -> None:
    await server.data(COMMAND)
    async with server.http(None) as client:
        answer = await client.get("/metrics")

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert 200 == answer.status_code
    assert 0 == found["queue_depth", "low"]
    assert 1 == found["workers",]
    assert {
        ("queue_age_seconds", "high"),
        ("run_wait_seconds_count", "high"),
        ("run_output_bytes_total",),
        ("leases_lost_total",),
        ("request_seconds_count", "answered"),
        ("graphql_operations_total", "executeCommand"),
        ("event_loop_lag_seconds",),
        ("websocket_connections",),
    } <= {(key[0], *key[-1:]) if key[1:] else key for key in found}


async def test_metrics_tell_of_every_request_before_them(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(settings_for(sqlite_url, tmp_path)) as server, server.http() as client:
        before = await _answered(client)
        for _ in range(3):
            await client.get("/api/health/")
        after = await _answered(client)

    assert before + 1 + 3 == after


async def test_metrics_ask_for_the_token_that_the_settings_name(
    sqlite_url: str, tmp_path: Path
) -> None:
    settings = settings_for(sqlite_url, tmp_path, metrics_token="let me in")
    async with serving(settings) as server, server.http(None) as client:
        without = await client.get("/metrics")
        wrong = await client.get("/metrics", headers={"Authorization": "Bearer x"})
        right = await client.get("/metrics", headers={"Authorization": "Bearer let me in"})

    assert [401, 401, 200] == [without.status_code, wrong.status_code, right.status_code]


async def _answered(client: AsyncClient) -> float:
    text = (await client.get("/metrics")).text
    [count] = re.findall(r'^request_seconds_count\{outcome="answered"\} (.*)$', text, re.MULTILINE)
    return float(count)
