"""asyncpg's pool with its free connections at hand: it makes a task to take one back."""

import asyncio
import contextlib
from typing import Any

import asyncpg

GOODBYE_SECONDS = 2.0
"""What a connection gets to be left in order; then it is ended."""


class ConnectionsAtHand:
    """Lends the connections of a pool, the one that was used last first."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._free: list[Any] = []
        self._waiting = 0

    def acquire(self) -> "_Loan":
        """A connection for as long as a block lasts."""
        return _Loan(self)

    def idle(self) -> int:
        """How many connections are open and free."""
        return len(self._free) + int(self._pool.get_idle_size())

    def size(self) -> int:
        """How many connections are open."""
        return int(self._pool.get_size())

    def distrust(self) -> None:
        """End all that are free: one has not answered."""
        while self._free:
            connection = self._free.pop()
            if _is_open(connection):
                connection.terminate()
        # Those that are free in the pool itself: it would wait for each to say goodbye.
        for holder in self._pool._holders:
            if holder.is_idle():
                holder.terminate()

    async def close(self) -> None:
        """Close all, once each was given back; end those with which that takes too long."""
        while self._free:
            await self._pool.release(self._free.pop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._pool.close()

    async def take(self) -> Any:
        """A free connection, as soon as there is one."""
        while self._free:
            connection = self._free.pop()
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire()
        finally:
            self._waiting -= 1

    async def give(self, connection: Any, *, is_sound: bool) -> None:
        """Take back a connection; the pool looks after it if something went wrong."""
        # Who waits for the pool is served by the pool.
        if is_sound and not self._waiting and not self._pool.is_closing():
            self._free.append(connection)
            return
        # One that is not done in time has been ended by the pool.
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._pool.release(connection, timeout=GOODBYE_SECONDS)


class _Loan:
    def __init__(self, lender: ConnectionsAtHand) -> None:
        self._lender = lender

    async def __aenter__(self) -> Any:
        self._connection = await self._lender.take()
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._lender.give(self._connection, is_sound=kind is None)


def _is_open(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # The pool has noticed first.
