"""Answers in one write: what the client gets, and in how many pieces."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from graph.one_write import HttpProtocol
from tests.fixtures.server import Served


class _Wire(asyncio.Transport):
    """A connection that remembers each write."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def _answers(request: bytes, *parts: bytes, headers: Any = ()) -> _Wire:
    """What is written of an answer in these parts."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        *before, last = parts or [b""]
        for part in before:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    state = ServerState()
    protocol = HttpProtocol(uvicorn.Config(app, log_config=None), state, {})
    wire = _Wire()
    protocol.connection_made(wire)
    protocol.data_received(request)
    await asyncio.gather(*state.tasks)
    protocol.connection_lost(ConnectionResetError())  # By the client: it closes nothing itself.
    return wire


GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def test_a_head_and_its_body_are_written_together() -> None:
    headers = [(b"content-length", b"9"), (b"x-request-id", b"7")]

    wire = await _answers(GET, b"all of it", headers=headers)

    assert [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nx-request-id: 7\r\n\r\nall of it"
    ] == wire.writes
    assert not wire.closed


async def test_an_answer_in_parts_is_written_whole() -> None:
    wire = await _answers(GET, b"all", b" of it", headers=[(b"content-length", b"9")])

    assert b"".join(wire.writes).endswith(b"content-length: 9\r\n\r\nall of it")


async def test_an_answer_without_a_length_is_written_as_chunks() -> None:
    wire = await _answers(GET, b"all of it")

    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert head + b"9\r\nall of it\r\n0\r\n\r\n" == b"".join(wire.writes)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"9"), (b"x-word", b"a\r\nset-cookie: b=c")],
        [(b"content-length", b"8")],
    ],
)
async def test_an_answer_that_would_be_two_is_an_error(headers: Any) -> None:
    wire = await _answers(GET, b"all of it", headers=headers)

    assert b"all of it" not in b"".join(wire.writes)
    assert b"set-cookie" not in b"".join(wire.writes)


async def test_a_connection_closes_after_an_answer_that_says_so() -> None:
    headers = [(b"content-length", b"9"), (b"connection", b"close")]

    wire = await _answers(GET, b"all of it", headers=headers)

    assert b"".join(wire.writes).endswith(b"\r\n\r\nall of it")
    assert wire.closed


async def test_a_connection_closes_after_an_answer_that_was_to_be_the_last() -> None:
    request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"

    wire = await _answers(request, b"all of it", headers=[(b"content-length", b"9")])

    assert b"connection: close\r\n" in b"".join(wire.writes)
    assert wire.closed


@pytest.mark.parametrize("ending", ["", "connection: close\r\n"])
async def test_an_answer_to_head_is_written_without_a_body(ending: str) -> None:
    request = f"HEAD / HTTP/1.1\r\nhost: localhost\r\n{ending}\r\n".encode()

    wire = await _answers(request, headers=[(b"content-length", b"9")])

    assert b"".join(wire.writes).startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.writes[-1].endswith(b"\r\n\r\n")


async def test_whoever_waits_to_be_asked_for_the_body_is_asked(server: Served) -> None:
    body = b'{"query": "{ __typename }"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"expect: 100-continue\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    )

    asked = await reader.readuntil(b"\r\n\r\n")
    writer.write(body)
    answer = await reader.read()
    writer.close()

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == asked
    assert answer.endswith(b'{"data":{"__typename":"Query"}}')
