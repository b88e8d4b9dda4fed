"""Asks a server as fast as it answers, over some connections that stay open."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any


class Failed(Exception):
    """The server answered something else than was asked for."""


async def asked(
    port: int, requests: Sequence[bytes], connections: int, how_long: "Bound"
) -> list[float]:
    """How many seconds each answer took."""
    loop = asyncio.get_running_loop()
    turns = itertools.cycle(requests)
    callers = [
        (await loop.create_connection(lambda: _Caller(turns, how_long), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    how_long.begin()
    for caller in callers:
        caller.ask()
    await asyncio.gather(*(caller.done for caller in callers))
    return [seconds for caller in callers for seconds in caller.took]


class Bound:
    """Goes on for some seconds, or for some requests."""

    def __init__(self, *, seconds: float = 3600.0, requests: int = 10**9) -> None:
        self._seconds = seconds
        self._left = requests

    def begin(self) -> None:
        self._until = time.perf_counter() + self._seconds

    def goes_on(self) -> bool:
        self._left -= 1
        return self._left >= 0 and time.perf_counter() < self._until


class _Caller(asyncio.Protocol):
    """One connection: the next request as soon as the last one is answered."""

    def __init__(self, turns: Iterator[bytes], how_long: Bound) -> None:
        self._turns = turns
        self._how_long = how_long
        self._head = b""
        self._missing: int | None = None
        self.took: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def ask(self) -> None:
        if not self._how_long.goes_on():
            self._transport.close()
            self.done.set_result(None)
            return
        self._began = time.perf_counter()
        self._transport.write(next(self._turns))

    def data_received(self, data: bytes) -> None:
        if self._missing is None:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 2"):
                self._fail(f"{head.decode()} {body.decode()}")
                return
            self._head, self._missing = b"", _length(head) - len(body)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            self._missing = None
            self.took.append(time.perf_counter() - self._began)
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._fail(f"the server closed the connection: {exc}")

    def _fail(self, what: str) -> None:
        if not self.done.done():
            self.done.set_exception(Failed(what))
        self._transport.close()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
