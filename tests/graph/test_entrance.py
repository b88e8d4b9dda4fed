"""What is too much at once is turned away, in the words of each surface."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from graph import http
from tests.fixtures.server import Served, serving, settings_for
from tests.rest_compat.real import refusal_of

UPDATES = {"query": "subscription { taskUpdates { __typename } }"}


@pytest.fixture
async def narrow(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server that answers one request at a time."""
    async with serving(settings_for(sqlite_url, tmp_path, max_requests_in_flight=1)) as served:
        yield served


async def test_requests_beyond_the_bound_are_refused(narrow: Served) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    database = narrow.app.services.database
    read = database.read

    async def held_back(*args: object, **named: object) -> object:
        begun.set()
        await may_end.wait()
        return await read(*args, **named)  # type: ignore[arg-type]

    database.read = held_back  # type: ignore[method-assign,assignment]
    async with narrow.http() as client, narrow.http() as other:
        slow = asyncio.create_task(client.get("/api/projects/"))
        await begun.wait()
        rest = await other.get("/api/health/")
        graphql = await other.post("/graphql", json={"query": "{ health { status } }"})
        may_end.set()
        answer = await slow
        after = await other.get("/api/health/")

    assert (503, "SYSTEM_OVERLOADED") == refusal_of(rest)
    assert {"limit": 1} == rest.json()["error"]["details"]
    assert 503 == graphql.status_code
    assert "SYSTEM_OVERLOADED" == graphql.json()["errors"][0]["extensions"]["code"]
    assert (200, 200) == (answer.status_code, after.status_code)
    assert 0 == narrow.app.services.vitals.in_flight


async def test_a_stream_is_not_in_flight(narrow: Served) -> None:
    headers = {"accept": "text/event-stream"}
    async with (
        narrow.http() as client,
        narrow.http() as other,
        client.stream("POST", "/graphql", json=UPDATES, headers=headers) as stream,
    ):
        response = await other.get("/api/health/")

    assert (200, 200) == (stream.status_code, response.status_code)


@pytest.mark.parametrize("path", ["/graphql", "/api/auth/login"])
async def test_a_body_that_does_not_come_to_its_end_is_not_waited_for(
    narrow: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection(*narrow.url.removeprefix("http://").split(":"))
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                 "content-length: 10\r\n\r\n{".encode())  # fmt: skip
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    async with narrow.http() as client:
        after = await client.get("/api/health/")
    answer = json.loads(body)
    refusal = answer["errors"][0]["extensions"] if path == "/graphql" else answer["error"]

    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"\r\nconnection: close" in head
    assert "VALIDATION_ERROR" == refusal["code"]
    assert 200 == after.status_code


async def test_a_client_that_leaves_is_not_in_flight_any_more(narrow: Served) -> None:
    reader, writer = await asyncio.open_connection(*narrow.url.removeprefix("http://").split(":"))
    writer.write(b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                 b"content-length: 100\r\n\r\n{")  # fmt: skip
    await writer.drain()
    async with narrow.http() as client, asyncio.timeout(10):
        while (await client.get("/api/health/")).status_code == 200:
            pass
        writer.close()
        await writer.wait_closed()
        while (await client.get("/api/health/")).status_code == 503:
            pass

    assert 0 == narrow.app.services.vitals.in_flight
    del reader
