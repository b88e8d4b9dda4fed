"""PostgreSQL by asyncpg."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import asyncpg
import orjson
from sqlalchemy import URL, Connection, Executable, NullPool, Row, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.util import await_only

from db import tracing
from db.bus import Bus
from db.connections_at_hand import GOODBYE_SECONDS, ConnectionsAtHand
from db.engine import Connections, Database, Moment, Overtaken, Tx, WritingUnit, json_text
from db.errors import DatabaseUnavailable, Unstorable
from db.statements import Fetch, Part, Reading, Rows, Writing

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MOST_TRIES = 6
TRIES_TO_READ = 3
"""A connection that was lost may be met twice: as it ends, and when it has ended."""
ANSWER_SECONDS = 20.0
"""What gets no answer for so long has lost its connection, however open that looks: what is asked
here takes a twentieth of it at the most, pruning in its batches too. Migrations take what they
need, on a connection of their own. The server as well gives up on who says nothing for so long in
a transaction.
"""
CONNECT_SECONDS = 10.0
REFUSALS = (
    *(DBAPIError, PoolTimeout, OSError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    Overtaken,
)
"""What is raised when the database can't do it, or can't be reached."""
COLLISIONS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, Overtaken)
LOSSES = (
    *(asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError),
    *(asyncpg.InterfaceError, ConnectionError),
    asyncpg.InternalClientError,  # The end of the connection arrived while it was being asked.
)


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
            pool_use_lifo=True,
            json_serializer=json_text,
            json_deserializer=orjson.loads,
            # Transactions are begun and committed by the driver itself.
            isolation_level="AUTOCOMMIT",
            connect_args=_impatient(),
        )
        self.dialect = self._engine.dialect
        self._times_distrusted = 0
        event.listen(self._engine.sync_engine, "connect", self._note_age)
        event.listen(self._engine.sync_engine, "checkout", self._check)
        event.listen(self._engine.sync_engine, "close", self._end_if_distrusted)

    async def open(self) -> None:
        # Nothing but statements and whole transactions: there is nothing to reset.
        pool = await asyncpg.create_pool(
            dsn(self._url),
            min_size=min(2, self._pool_size),
            max_size=self._pool_size,
            max_inactive_connection_lifetime=0,
            reset=_nothing,
            **_impatient(),
        )
        self._plain = ConnectionsAtHand(pool)

    async def close(self) -> None:
        await self._plain.close()
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._engine.dispose()
        except TimeoutError:
            self.distrust()
            await self._engine.dispose()

    def connections(self) -> Connections:
        pool: Any = self._engine.pool
        idle = self._plain.idle()
        active = self._plain.size() - idle
        return Connections(pool.checkedout() + active, pool.checkedin() + idle)

    def distrust(self) -> None:
        self._times_distrusted += 1
        self._plain.distrust()

    async def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        async def once() -> Sequence[Row[Any]]:
            async with self._connected() as connection:
                return (await connection.execute(statement, parameters)).all()

        return await self._insist(once, _is_lost, tries=TRIES_TO_READ)

    async def fetch(self, fetch: Fetch) -> Rows:
        async def once() -> Rows:
            async with self._plain.acquire() as connection:
                found: Rows = await connection.fetch(fetch.sql, *fetch.parameters)
                return found

        return await self._insist(once, _is_lost, tries=TRIES_TO_READ)

    async def read(self, reading: Callable[[], Reading[T]]) -> T:
        async def once() -> T:
            async with self._plain.acquire() as connection:
                return await _carried_out(connection, reading())

        return await self._insist(once, _is_lost, tries=TRIES_TO_READ)

    async def enact(self, unit: WritingUnit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def once() -> tuple[T, set[str]]:
            moment = Moment(self.dialect)
            async with self._plain.acquire() as connection, _Transaction(connection) as transaction:
                return await _enacted(transaction, moment, unit(moment, *args, **kwargs))

        with tracing.span("transaction"):
            result, topics = await self._insist(once, _is_in_the_way)
        self.bus.hint(topics)
        return result

    async def _commit(self, unit: Callable[[Tx], T]) -> tuple[T, Iterable[str]]:
        async def once() -> tuple[T, set[str]]:
            async with self._connected() as connection:
                return await _committed(connection, unit)

        return await self._insist(once, _is_in_the_way)

    async def _insist(
        self,
        once: Callable[[], Awaitable[T]],
        is_passing: Callable[[Exception], bool],
        tries: int = MOST_TRIES,
    ) -> T:
        """Do it once, and again as long as what it failed for may be over by then."""
        for tries_left in reversed(range(tries)):
            try:
                return await once()
            except REFUSALS as error:
                if isinstance(error, TimeoutError):
                    self.distrust()
                if not (tries_left and is_passing(error)):
                    raise _explained(error) from error
                await asyncio.sleep(random.uniform(0, 0.05))
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection for as long as a block lasts."""
        async with self._engine.connect() as connection:
            try:
                yield connection
            except (TimeoutError, asyncio.CancelledError):
                await connection.invalidate()  # Nobody shall get it again, left at who knows what.
                raise

    def _note_age(self, _connection: Any, record: Any) -> None:
        record.info["times_distrusted"] = self._times_distrusted

    def _check(self, connection: Any, record: Any, _: object) -> None:
        if connection.driver_connection.is_closed() or self._is_distrusted(record):
            raise DisconnectionError  # Which gets another one.

    def _end_if_distrusted(self, connection: Any, record: Any) -> None:
        if self._is_distrusted(record):
            connection.driver_connection.terminate()

    def _is_distrusted(self, record: Any) -> bool:
        is_older: bool = record.info["times_distrusted"] < self._times_distrusted
        return is_older


def _impatient() -> dict[str, Any]:
    """How a connection is opened that never waits for ever."""
    idle = {"idle_in_transaction_session_timeout": f"{ANSWER_SECONDS * 1000:.0f}"}
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": ANSWER_SECONDS,
        "server_settings": idle,
    }


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


class _Transaction:
    """The transaction of a writing: begun when it needs one, which may be never."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_open = self._is_over = False

    async def __aenter__(self) -> "_Transaction":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._is_open:
            return
        if kind is None:
            await self._connection.execute("COMMIT")
        else:
            await _rolled_back(self._connection, lambda: self._connection.execute("ROLLBACK"))

    async def run(self, part: Part, fetch: Fetch) -> Rows:
        assert not self._is_over, "what follows would not be one with what is committed"
        if not self._is_open:
            if part is Part.LOCKS:
                return await self._begin(f"BEGIN; {fetch.sql}")
            if part is Part.WRITES:
                await self._begin("BEGIN")
            self._is_over = part is Part.IS_ALL
        found: Rows = await self._connection.fetch(fetch.sql, *fetch.parameters)
        return found

    async def _begin(self, sql: str) -> Rows:
        self._is_open = True
        await self._connection.execute(sql)
        return ()


async def _enacted(
    transaction: _Transaction, moment: Moment, writing: Writing[T]
) -> tuple[T, set[str]]:
    try:
        statement, values = next(writing)
        while True:
            found = await transaction.run(statement.part, statement.fetch(moment.dialect, values))
            statement, values = writing.send(statement.rows(moment.dialect, found))
    except StopIteration as end:
        return end.value, moment.topics


async def _nothing(_connection: Any) -> None:
    pass


class _Tx(Tx):
    """Its compiled statements go to the driver itself."""

    def __init__(self, connection: Connection, driver: Any) -> None:
        super().__init__(connection)
        self._driver = driver

    def _rows(self, sql: str, parameters: Sequence[Any]) -> Rows:
        try:
            found: Rows = await_only(self._driver.fetch(sql, *parameters))
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityError(sql, parameters, error) from error
        return found


async def _committed(connection: AsyncConnection, unit: Callable[[Tx], T]) -> tuple[T, set[str]]:
    driver: Any = (await connection.get_raw_connection()).driver_connection

    def run(connection: Connection) -> tuple[T, set[str]]:
        tx = _Tx(connection, driver)
        return unit(tx), tx.topics

    return await _in_transaction(driver, lambda: connection.run_sync(run))


async def _in_transaction(driver: Any, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work in a transaction; raises what it raises, whatever else then fails."""
    transaction = driver.transaction()
    await transaction.start()
    try:
        result = await work()
    except Exception:
        await _rolled_back(driver, transaction.rollback)
        raise
    await transaction.commit()
    return result


async def _rolled_back(connection: Any, rollback: Callable[[], Awaitable[object]]) -> None:
    """Roll back, or else end the connection."""
    is_clean = False
    try:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await rollback()
            is_clean = True
    finally:
        if not is_clean:
            with contextlib.suppress(asyncpg.InterfaceError):  # The pool has ended it itself.
                connection.terminate()


def _is_in_the_way(error: Exception) -> bool:
    """Whether it failed for what others did at the same moment."""
    return isinstance(_cause(error), COLLISIONS)


def _is_lost(error: Exception) -> bool:
    """Whether its connection was not there any more. What only reads can then be read again."""
    return isinstance(_cause(error), LOSSES)


def _explained(error: Exception) -> Exception:
    if isinstance(error, IntegrityError):
        return error
    if isinstance(_cause(error), asyncpg.CharacterNotInRepertoireError):
        return Unstorable()
    log.error("the database refused: %s", getattr(error, "orig", error))
    return DatabaseUnavailable()


def _cause(error: Exception) -> BaseException | None:
    return error.driver_exception if isinstance(error, DBAPIError) else error
