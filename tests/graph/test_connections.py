"""Our HTTP protocol on real connections: who leaves, who is slow, who stays, and the end."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from graph.protocol import MOST_WAITING, HttpProtocol
from tests.fixtures.server import listening_socket
from tests.graph.test_protocol import body, connected, get, says, start, turns

NINE = (b"content-length", b"9")
WHOLE = [start(NINE), body(b"all of it")]
PART = b"x" * 65536
HANDSHAKE = get(
    "/socket",
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)
LARGEST_READ = 256 * 1024
"""Of uvloop, at once."""


def on_uvloop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test where the server runs."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        uvloop.run(asyncio.wait_for(test(*arguments, **named), 10))

    return run


class Watched(HttpProtocol):
    """A connection that says when its client is too slow."""

    slow: asyncio.Event

    def pause_writing(self) -> None:
        super().pause_writing()
        self.slow.set()


@dataclass
class Listening:
    """Where connections are made, what goes on there, and whether a client was too slow."""

    port: int
    state: ServerState
    slow: asyncio.Event

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, **options)

    async def until_all_have_left(self) -> None:
        while self.state.connections or self.state.tasks:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)


@asynccontextmanager
async def listening(app: ASGIApp, **settings: Any) -> AsyncIterator[Listening]:
    config = uvicorn.Config(app, log_config=None, access_log=False, **settings)
    state, slow = ServerState(), asyncio.Event()

    def connection() -> HttpProtocol:
        made = Watched(config, state, {})
        made.slow = slow
        return made

    with listening_socket() as listener:
        async with await asyncio.get_running_loop().create_server(connection, sock=listener):
            yield Listening(listener.getsockname()[1], state, slow)


async def until_left(receive: Receive) -> list[bytes]:
    """What comes before the client leaves."""
    parts = []
    while (message := await receive())["type"] != "http.disconnect":
        parts.append(message["body"])
    return parts


@on_uvloop
async def test_whoever_leaves_in_the_middle_of_a_body_is_known_to_have_left() -> None:
    come, left = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        assert await receive() == {"type": "http.request", "body": b"half", "more_body": True}
        come.set()
        assert await until_left(receive) == []
        left.set()

    async with listening(app) as server:
        _, writer = await server.connect()
        writer.write(get("/", "content-length: 8", method="POST") + b"half")
        await come.wait()
        writer.close()
        await left.wait()
        await server.until_all_have_left()


@on_uvloop
async def test_whoever_leaves_a_stream_is_known_to_have_left() -> None:
    told = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        await until_left(receive)
        await send(body(b"for nobody"))
        told.set()

    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(get())
        await reader.readuntil(b"part\r\n")
        writer.close()
        await told.wait()
        await server.until_all_have_left()


async def test_whoever_leaves_a_stream_with_another_request_waiting_is_known_to_have_left() -> None:
    told = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        await until_left(receive)
        told.set()

    connection, _ = await connected(HttpProtocol, app)
    connection.data_received(get() + get())
    await turns()
    connection.connection_lost(ConnectionResetError())
    await told.wait()
    await turns()

    assert not connection.tasks


@on_uvloop
async def test_whoever_waits_to_be_asked_for_the_body_is_asked() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        content = (await receive())["body"]
        await says(start((b"content-length", b"%d" % len(content))), body(content))(
            scope, receive, send
        )

    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(get("/", "expect: 100-continue", "content-length: 9", method="POST"))
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"all of it")
        head = await reader.readuntil(b"\r\n\r\n")
        content = await reader.readexactly(9)
        writer.close()
        await server.until_all_have_left()

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == asked
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"all of it" == content


@on_uvloop
async def test_parts_wait_for_a_slow_reader() -> None:
    sent = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(400):
            await send(body(PART, more=True))
            sent += 1
        await send(body())

    async with listening(app) as server:
        reader, writer = await server.connect(limit=1024)
        writer.write(get("/", "connection: close"))
        await server.slow.wait()
        await turns()
        sent_to_nobody = sent
        answer = await reader.read()
        writer.close()

    assert sent_to_nobody < 400
    assert 400 * len(PART) == answer.count(b"x")


@on_uvloop
async def test_a_whole_answer_waits_for_a_slow_reader() -> None:
    begun, answered = 0, 0
    size = 200 * len(PART)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal begun, answered
        begun += 1
        await send(start((b"content-length", b"%d" % size)))
        await send(body(b"x" * size))
        answered += 1

    async with listening(app) as server:
        reader, writer = await server.connect(limit=1024)
        writer.write(get() + get())
        await server.slow.wait()
        await turns()
        known = begun, answered
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(size)
        writer.close()

    assert (2, 1) == known


@on_uvloop
async def test_a_slow_reader_who_leaves_is_waited_for_no_longer() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(400):
            await send(body(PART, more=True))
        await send(body())

    async with listening(app) as server:
        _, writer = await server.connect(limit=1024)
        writer.write(get())
        await server.slow.wait()
        writer.transport.abort()
        await server.until_all_have_left()


@pytest.mark.parametrize("listens", [False, True])
@on_uvloop
async def test_requests_wait_with_the_client_when_many_wait_already(listens: bool) -> None:
    waiting = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal waiting
        (connection,) = server.state.connections
        waiting = max(waiting, len(connection.pipeline))  # type: ignore[union-attr]
        if listens:
            await receive()
        await says(*WHOLE)(scope, receive, send)

    count = 3 * LARGEST_READ // len(get())
    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(get() * count)
        for _ in range(count):
            await reader.readuntil(b"all of it")
        writer.close()
        await server.until_all_have_left()

    assert MOST_WAITING < waiting <= MOST_WAITING + LARGEST_READ / len(get())


@on_uvloop
async def test_what_goes_on_after_an_answer_is_still_a_task() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await says(*WHOLE)(scope, receive, send)
        await go_on.wait()

    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(get())
        await reader.readuntil(b"all of it")
        counted = len(server.state.tasks)
        go_on.set()
        writer.close()
        await server.until_all_have_left()

    assert 1 == counted


@on_uvloop
async def test_what_runs_when_the_server_ends_is_answered() -> None:
    come, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        come.set()
        await go_on.wait()
        await says(*WHOLE)(scope, receive, send)

    async with serving(app) as (server, address):
        reader, writer = await asyncio.open_connection(*address)
        idle, idle_writer = await asyncio.open_connection(*address)
        writer.write(get())
        await come.wait()
        server.should_exit = True
        assert await idle.read() == b""
        go_on.set()
        answer = await reader.read()
        for each in (writer, idle_writer):
            each.close()

    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nall of it")


@on_uvloop
async def test_what_does_not_end_with_the_server_is_cancelled() -> None:
    come, cancelled = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        come.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(app, timeout_graceful_shutdown=0) as (server, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(get())
        await come.wait()
        server.should_exit = True
        await cancelled.wait()
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 500 ")


@on_uvloop
async def test_a_connection_becomes_a_socket_after_an_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await says(*WHOLE)(scope, receive, send)
        else:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": scope["path"]})
            await send({"type": "websocket.close"})

    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(get())
        await reader.readuntil(b"all of it")
        writer.write(HANDSHAKE)
        head = await reader.readuntil(b"\r\n\r\n")
        frame = await reader.readexactly(9)
        writer.close()
        await server.until_all_have_left()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\x81\x07/socket" == frame


@pytest.mark.parametrize(
    "line", ["x-word: " + "x" * 9000, "content-length: 3", "transfer-encoding: chunked"]
)
@on_uvloop
async def test_a_handshake_that_no_socket_understands_is_refused(line: str) -> None:
    async with listening(says(*WHOLE)) as server:
        reader, writer = await server.connect()
        writer.write(HANDSHAKE[:-2] + line.encode() + b"\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await server.until_all_have_left()

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@on_uvloop
async def test_a_handshake_in_the_middle_of_an_answer_ends_it() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        await until_left(receive)

    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(get())
        await reader.readuntil(b"part\r\n")
        writer.write(HANDSHAKE)
        rest = await reader.read()
        writer.close()
        await server.until_all_have_left()

    assert b"" == rest


@asynccontextmanager
async def serving(app: ASGIApp, **settings: Any) -> AsyncIterator[tuple[uvicorn.Server, Any]]:
    """A whole server and its address."""
    config = uvicorn.Config(
        app, http=HttpProtocol, lifespan="off", log_config=None, access_log=False, **settings
    )
    server = uvicorn.Server(config)
    with listening_socket() as listener:
        ended = asyncio.create_task(server._serve([listener]))
        try:
            yield server, listener.getsockname()
        finally:
            server.should_exit = server.force_exit = True
            await ended
