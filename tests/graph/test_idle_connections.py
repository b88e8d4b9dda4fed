"""How long our HTTP protocol waits for what does not come."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import Receive, Scope, Send

from graph import protocol
from graph.protocol import HEAD_SECONDS, HttpProtocol
from tests.graph.test_connections import HANDSHAKE, WHOLE, listening, on_uvloop
from tests.graph.test_protocol import connected, get, says, turns


@on_uvloop
async def test_an_idle_connection_is_closed() -> None:
    async with listening(says(*WHOLE), timeout_keep_alive=0.05) as server:
        reader, writer = await server.connect()
        began = asyncio.get_running_loop().time()
        writer.write(get())
        answer = await reader.read()
        took = asyncio.get_running_loop().time() - began
        writer.close()

    assert answer.endswith(b"all of it")
    assert took > 0.045


class Clock:
    """A loop whose time goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[asyncio.TimerHandle] = []
        self.create_task = asyncio.get_running_loop().create_task

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + seconds, callback, (), asyncio.get_running_loop())
        self.timers.append(timer)
        return timer

    def go_on_to(self, now: float) -> None:
        while due := [timer for timer in self.pending() if timer.when() <= now]:
            timer = min(due, key=asyncio.TimerHandle.when)
            self.timers.remove(timer)
            self.now = timer.when()
            timer._run()
        self.now = now

    def pending(self) -> list[asyncio.TimerHandle]:
        return [timer for timer in self.timers if not timer.cancelled()]


async def test_a_connection_is_closed_so_long_after_its_last_answer() -> None:
    clock = Clock()
    connection, wire = await connected(HttpProtocol, says(*WHOLE), clock)
    closed = {}
    for second in range(15):
        clock.go_on_to(second)
        closed[second] = wire.closing
        if second in (0, 3, 7):
            connection.data_received(get())
            await turns()
            assert len(clock.pending()) == 1

    assert {second: second >= 12 for second in range(15)} == closed


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G", get()[:-1]])
async def test_a_connection_without_a_head_is_closed(sent: bytes) -> None:
    clock = Clock()
    connection, wire = await connected(HttpProtocol, says(*WHOLE), clock)
    for second in range(int(HEAD_SECONDS)):
        clock.go_on_to(second)
        connection.data_received(sent[second : second + 1])
    clock.go_on_to(HEAD_SECONDS - 0.1)
    before = wire.closing
    clock.go_on_to(HEAD_SECONDS)

    assert (False, True) == (before, wire.closing)
    assert ["close"] == wire.done


@pytest.mark.parametrize("sent", [get()[:-1], get("/", "content-length: 3", method="POST") + b"ab"])
async def test_what_does_not_come_to_its_end_closes_a_connection(sent: bytes) -> None:
    """The next head, or the rest of a body that nobody wanted."""
    clock = Clock()
    connection, wire = await connected(HttpProtocol, says(*WHOLE), clock)
    clock.go_on_to(7)
    connection.data_received(get())
    await turns()
    connection.data_received(sent)
    await turns()
    clock.go_on_to(7 + HEAD_SECONDS - 0.1)
    before = wire.closing
    clock.go_on_to(7 + HEAD_SECONDS)

    assert (False, True) == (before, wire.closing)


async def test_a_connection_is_idle_when_the_rest_of_a_body_has_come() -> None:
    clock = Clock()
    connection, wire = await connected(HttpProtocol, says(*WHOLE), clock)
    connection.data_received(get("/", "content-length: 3", method="POST") + b"ab")
    await turns()
    connection.data_received(b"c")
    clock.go_on_to(5)

    assert wire.closing


async def test_a_head_that_takes_its_time_makes_a_connection_no_less_idle_after_it() -> None:
    clock = Clock()
    connection, wire = await connected(HttpProtocol, says(*WHOLE), clock)
    connection.data_received(get()[:-1])
    clock.go_on_to(6)
    connection.data_received(get()[-1:])
    await turns()
    clock.go_on_to(10)
    before = wire.closing
    clock.go_on_to(11)

    assert (False, True) == (before, wire.closing)


async def test_a_connection_that_becomes_a_socket_leaves_no_timer() -> None:
    clock = Clock()
    connection, wire = await connected(HttpProtocol, says(*WHOLE), clock, ws="auto")
    connection.data_received(HANDSHAKE)

    assert not clock.pending()
    assert wire.get_protocol() is not connection
    wire.close()


@on_uvloop
async def test_a_client_who_never_asks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with listening(says(*WHOLE), timeout_keep_alive=0.02) as server:
        silent, silent_writer = await server.connect()
        halting, halting_writer = await server.connect()
        halting_writer.write(get()[:-1])
        heard = await silent.read(), await halting.read()
        for writer in (silent_writer, halting_writer):
            writer.close()
        await server.until_all_have_left()

    assert (b"", b"") == heard


async def test_a_connection_that_is_lost_leaves_no_timer() -> None:
    clock = Clock()
    connection, _ = await connected(HttpProtocol, says(*WHOLE), clock)
    connection.data_received(get())
    await turns()
    connection.connection_lost(ConnectionResetError())

    assert not clock.pending()


async def test_a_connection_in_use_is_never_closed() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await go_on.wait()
        await says(*WHOLE)(scope, receive, send)

    clock = Clock()
    connection, wire = await connected(HttpProtocol, app, clock)
    connection.data_received(get())
    await turns()
    clock.go_on_to(4)
    connection.data_received(get("/slow")[:10])
    clock.go_on_to(20)
    connection.data_received(get("/slow")[10:])
    await turns()
    clock.go_on_to(40)
    in_use = wire.closing
    go_on.set()
    await turns()
    clock.go_on_to(44)
    just_answered = wire.closing
    clock.go_on_to(45)

    assert [False, False, True] == [in_use, just_answered, wire.closing]
