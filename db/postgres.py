"""PostgreSQL by asyncpg."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
import orjson
from sqlalchemy import URL, Connection, Executable, NullPool, Row, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from db.bus import Bus
from db.engine import Connections, Database, Tx, json_text
from db.errors import DatabaseUnavailable, Unstorable
from db.statements import Reading

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_TRIES = 6
WORTH_ANOTHER_TRY = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class PostgresDatabase(Database):
    """A PostgreSQL database: a pool that writes, and a pool that reads outside transactions."""

    def __init__(self, url: str, bus: Bus, pool_size: int = 10) -> None:
        super().__init__(bus)
        self._url = url
        self._pool_size = pool_size
        self._engine = create_async_engine(
            with_driver(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            json_serializer=json_text,
            json_deserializer=orjson.loads,
            connect_args={"server_settings": {"idle_in_transaction_session_timeout": "60000"}},
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.dialect = self._engine.dialect

    async def open(self) -> None:
        # It is only ever read with, each statement by itself: there is nothing to reset.
        self._plain = await asyncpg.create_pool(
            dsn(self._url), min_size=1, max_size=self._pool_size, reset=_nothing
        )

    async def close(self) -> None:
        await self._plain.close()
        await self._engine.dispose()

    def connections(self) -> Connections:
        pool: Any = self._engine.pool
        idle = self._plain.get_idle_size()
        active = self._plain.get_size() - idle
        return Connections(pool.checkedout() + active, pool.checkedin() + idle)

    async def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        try:
            async with self._reading.connect() as connection:
                return (await connection.execute(statement, parameters)).all()
        except (DBAPIError, OSError) as error:
            raise _explained(error) from error

    async def read(self, reading: Callable[[], Reading[T]]) -> T:
        try:
            async with self._plain.acquire() as connection:
                return await _carried_out(connection, reading())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise _explained(error) from error

    async def _commit(self, unit: Callable[[Tx], T]) -> tuple[T, Iterable[str]]:
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                async with self._engine.connect() as connection:
                    return await _committed(connection, unit)
            except (DBAPIError, OSError) as error:
                if not (tries_left and _may_succeed_again(error)):
                    raise _explained(error) from error
                await asyncio.sleep(random.uniform(0, 0.05))
        raise AssertionError("unreachable")


def with_driver(url: str) -> URL:
    """The address with our driver in it; `sslmode` is what asyncpg calls `ssl`."""
    address = make_url(url).set(drivername="postgresql+asyncpg")
    if sslmode := address.query.get("sslmode"):
        address = address.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
    return address


async def once(url: str, work: Callable[[Connection], T]) -> T:
    """Work in one transaction, on a connection of its own."""
    engine = create_async_engine(with_driver(url), poolclass=NullPool)
    async with engine.begin() as connection:
        return await connection.run_sync(work)


def dsn(url: str) -> str:
    """The address as asyncpg itself takes it."""
    return with_driver(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def _carried_out(connection: Any, reading: Reading[T]) -> T:
    try:
        fetch = next(reading)
        while True:
            fetch = reading.send(await connection.fetch(fetch.sql, *fetch.parameters))
    except StopIteration as end:
        result: T = end.value
        return result


async def _nothing(_connection: Any) -> None:
    pass


async def _committed(connection: AsyncConnection, unit: Callable[[Tx], T]) -> tuple[T, set[str]]:
    def run(connection: Connection) -> tuple[T, set[str]]:
        tx = Tx(connection)
        return unit(tx), tx.topics

    async with connection.begin():
        return await connection.run_sync(run)


def _may_succeed_again(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and isinstance(error.driver_exception, WORTH_ANOTHER_TRY)


def _explained(error: Exception) -> Exception:
    if isinstance(error, IntegrityError):
        return error
    cause = error.driver_exception if isinstance(error, DBAPIError) else error
    if isinstance(cause, asyncpg.CharacterNotInRepertoireError):
        return Unstorable()
    log.error("the database refused: %s", getattr(error, "orig", error))
    return DatabaseUnavailable()
