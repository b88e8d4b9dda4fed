"""Spans reach the collector that the settings name."""

import asyncio
from pathlib import Path

from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import GraphqlSocket

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_requests_and_transactions_are_told_to_the_collector(
    sqlite_url: str, tmp_path: Path
) -> None:
    told: list[bytes] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        told.append(head.split(b" ")[1] + await reader.readexactly(size))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    collector = await asyncio.start_server(collect, "127.0.0.1", 0)
    port = collector.sockets[0].getsockname()[1]
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    async with program(tmp_path, sqlite_url, **endpoint) as server:
        await GraphqlSocket(server.url).sign_in("admin", PASSWORD)
    collector.close()

    spans = b"".join(told)
    assert spans.startswith(b"/v1/traces")
    assert b"transaction" in spans
    assert b"graphql login" in spans
    assert b"request_id" in spans
