"""SQLite: one thread writes, and commits what waits together once; readers never wait for it."""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine, Executable, QueuePool, Row, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from db.bus import Bus
from db.engine import Connections, Database, Tx, json_text
from db.errors import DatabaseUnavailable
from db.sqlite_library import spare_locks
from db.statements import Fetch, Reading, Rows

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_UNITS_PER_COMMIT = 256
READING_THREADS = 4
SEARCHES = " MATCH "
MAPPED_BYTES = 1 << 30
"""Of the file, from its beginning on: to ask the system for each page takes as long as to use it,
and whenever something was written SQLite forgets the pages that it had.
"""
TICK_STEPS = 10_000
QUICK_TICKS = 20
"""Of so many steps of SQLite, some milliseconds: what takes more leaves the event loop."""


if not spare_locks():
    log.info("SQLite keeps its locks")


class SqliteDatabase(Database):
    """A SQLite file in WAL mode; every commit is on disk before it is answered."""

    def __init__(self, path: Path, bus: Bus) -> None:
        super().__init__(bus)
        self._path = path
        self._writing = _engine(path, writes=True)
        self._reading = _engine(path, writes=False)
        self.dialect = self._reading.dialect
        self._units: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._serve, name="sqlite writer", daemon=True)
        self._readers = ThreadPoolExecutor(READING_THREADS, "sqlite reader")
        self._ticks = 0

    async def open(self) -> None:
        # The first connection makes the file and turns WAL on, before anyone reads.
        await asyncio.to_thread(lambda: self._writing.connect().close())
        self._quick = _connect(self._path, writes=False)
        self._quick.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        # SQLite counts the steps of a statement from one reading to the next: we count from zero.
        self._quick.set_progress_handler(self._tick, TICK_STEPS)
        self._writer.start()

    async def close(self) -> None:
        if self._writer.is_alive():
            self._units.put(None)
            await asyncio.to_thread(self._writer.join)
            self._quick.close()
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    def connections(self) -> Connections:
        pools: list[Any] = [self._reading.pool, self._writing.pool]
        active = sum(pool.checkedout() for pool in pools)
        # One more is kept for what is quickly read.
        return Connections(active, 1 + sum(pool.checkedin() for pool in pools))

    def distrust(self) -> None:
        pass  # There is nothing between us and the file.

    async def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        def read() -> Sequence[Row[Any]]:
            with self._reading.connect() as connection:
                return connection.execute(statement, parameters).all()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, read)
        except DBAPIError as error:
            raise _explained(error) from error

    async def fetch(self, fetch: Fetch) -> Rows:
        """Read within the event loop what is quickly read, as most is; the rest in a thread."""
        self._ticks = 0
        try:
            return _quickly(self._quick, fetch)
        except (_TakesLong, sqlite3.OperationalError) as error:
            _check_takes_long(error)
        return await self._at_leisure(_rows_of, fetch)

    async def read(self, reading: Callable[[], Reading[T]]) -> T:
        """The same for several statements, over one snapshot of the database."""
        self._ticks = 0
        try:
            return _carried_out(self._quick, reading(), _quickly)
        except (_TakesLong, sqlite3.OperationalError) as error:
            _check_takes_long(error)
        return await self._at_leisure(lambda driver: _carried_out(driver, reading(), _rows_of))

    def _tick(self) -> bool:
        self._ticks += 1
        return self._ticks > QUICK_TICKS

    async def _at_leisure(self, read: Callable[..., T], *args: Any) -> T:
        def within_a_thread() -> T:
            with self._reading.connect() as connection:
                return read(connection.connection.driver_connection, *args)

        return await asyncio.get_running_loop().run_in_executor(self._readers, within_a_thread)

    async def _commit(self, unit: Callable[[Tx], T]) -> tuple[T, Iterable[str]]:
        loop = asyncio.get_running_loop()
        pending = _Pending(unit, loop, loop.create_future())
        self._units.put(pending)
        result: T = await pending.future
        return result, pending.topics

    def _serve(self) -> None:
        with self._writing.connect() as connection:
            serving = True
            while serving:
                taken = self._take()
                serving = None not in taken
                batch = [pending for pending in taken if pending]
                if batch:
                    _commit_together(connection, batch)
                for loop in {pending.loop for pending in batch}:
                    # The loop may be gone when the process ends; then so is whoever asked.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(_answer, loop, batch)

    def _take(self) -> "list[_Pending | None]":
        taken = [self._units.get()]
        with contextlib.suppress(queue.Empty):
            while len(taken) < MOST_UNITS_PER_COMMIT:
                taken.append(self._units.get_nowait())
        return taken


class _Tx(Tx):
    """Its compiled statements go to the driver itself."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver

    @property
    def is_open(self) -> bool:
        """False when SQLite itself has given up all of it, as it does when the disk is full."""
        return self._driver.in_transaction

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """What is done within it happens whole or not at all, whatever becomes of the others'."""
        self._driver.execute("SAVEPOINT unit")
        try:
            yield
        except BaseException:
            if self.is_open:
                self._driver.execute("ROLLBACK TO unit")
                self._driver.execute("RELEASE unit")
            raise
        self._driver.execute("RELEASE unit")

    def _rows(self, sql: str, parameters: Sequence[Any]) -> Rows:
        try:
            return self._driver.execute(sql, parameters).fetchall()
        except sqlite3.IntegrityError as error:
            raise IntegrityError(sql, parameters, error) from error


@dataclass
class _Pending:
    unit: Callable[[Tx], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None
    topics: set[str] = field(default_factory=set)


def _commit_together(connection: Connection, batch: list[_Pending]) -> None:
    try:
        with connection.begin():
            # Who has given up waiting meanwhile, as for a lock, does not want it any more.
            for pending in [pending for pending in batch if not pending.future.cancelled()]:
                _run_within(connection, pending, alone=len(batch) == 1)
    except _Refused:
        pass
    except Exception as error:
        log.exception("a commit failed")
        for pending in batch:
            pending.error = pending.error or _explained(error)


def _run_within(connection: Connection, pending: _Pending, *, alone: bool) -> None:
    tx = _Tx(connection)
    try:
        if alone:
            pending.result = pending.unit(tx)
        else:
            with tx.apart():
                pending.result = pending.unit(tx)
        pending.topics = tx.topics
    except Exception as error:
        pending.error = _explained(error)
        if alone:
            raise _Refused from error
        if not tx.is_open:
            raise


class _Refused(Exception):
    """The only unit of a transaction failed: there is nothing to commit."""


def _explained(error: Exception) -> Exception:
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        log.error("the database refused: %s", error.orig)
        return DatabaseUnavailable()
    if isinstance(error, sqlite3.Error):
        log.error("the database refused: %s", error)
        return DatabaseUnavailable()
    return error


def _answer(loop: asyncio.AbstractEventLoop, batch: list[_Pending]) -> None:
    for pending in batch:
        if pending.loop is not loop or pending.future.cancelled():
            continue
        if pending.error:
            pending.future.set_exception(pending.error)
        else:
            pending.future.set_result(pending.result)


class _TakesLong(Exception):
    """A statement is a search, whose steps SQLite does not count: no search is quick."""


def _check_takes_long(error: Exception) -> None:
    """Raises what is wrong with a statement that did not merely take long."""
    if (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT
    ):
        raise _explained(error) from error


def _carried_out(
    connection: sqlite3.Connection,
    reading: Reading[T],
    ask: Callable[[sqlite3.Connection, Fetch], Rows],
) -> T:
    """Drive a reading over one snapshot of the database."""
    connection.execute("BEGIN")
    try:
        fetch = next(reading)
        while True:
            fetch = reading.send(ask(connection, fetch))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        connection.execute("ROLLBACK")


def _quickly(connection: sqlite3.Connection, fetch: Fetch) -> Rows:
    """A statement's rows. Raises `_TakesLong`, or is interrupted, when that would take long."""
    if SEARCHES in fetch.sql:
        raise _TakesLong
    return connection.execute(fetch.sql, fetch.parameters).fetchall()


def _rows_of(connection: sqlite3.Connection, fetch: Fetch) -> Rows:
    return connection.execute(fetch.sql, fetch.parameters).fetchall()


def _connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    if writes:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    else:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _engine(path: Path, *, writes: bool) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect(path, writes=writes),
        poolclass=QueuePool,
        pool_size=READING_THREADS,
        json_serializer=json_text,
        json_deserializer=orjson.loads,
    )
    if writes:
        # A deferred transaction that turns to writing fails with «locked», whatever the timeout.
        @event.listens_for(engine, "begin")
        def _(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
