"""Hints between processes by PostgreSQL's LISTEN and NOTIFY."""

import asyncio
from typing import Any

import asyncpg

from db.bus import CHANNEL, SharedBus

ANSWER_SECONDS = 10.0


class PostgresBus(SharedBus):
    """Hints by LISTEN and NOTIFY."""

    def __init__(self, dsn: str, **connection: Any) -> None:
        super().__init__()
        self._dsn = dsn
        self._connection = connection

    async def _listen(self, hears: asyncio.Event) -> None:
        connection = await asyncpg.connect(self._dsn, **self._connection)
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        try:
            await connection.add_listener(CHANNEL, lambda *message: self._hear(message[3]))
            hears.set()
            self.wake_all()
            await ended.wait()
            raise ConnectionError
        finally:
            connection.terminate()

    async def _carry(self, _hears: asyncio.Event) -> None:
        connection = await asyncpg.connect(self._dsn, **self._connection)
        try:
            # A hint need not outlive a crash: it is not waited for until it is on disk.
            await connection.execute("SET synchronous_commit = off")
            while True:
                for message in await self._messages():
                    hint = CHANNEL, message.decode()
                    await connection.execute(
                        "SELECT pg_notify($1, $2)", *hint, timeout=ANSWER_SECONDS
                    )
        finally:
            connection.terminate()
