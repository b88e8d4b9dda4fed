"""The two ways to the record: units of work that write, and statements that read."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import orjson
from sqlalchemy import Connection, CursorResult, Dialect, Executable, Row

from db import tracing
from db.bus import Bus
from db.statements import Fetch, Reading, Rows, Statement, Writing

P = ParamSpec("P")
T = TypeVar("T")

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Overtaken(Exception):
    """Somebody else has changed what a unit had read before it could write."""


class Moment:
    """When something is written, and who is to hear of it once it is committed."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.now = datetime.now(UTC)
        self.topics: set[str] = set()

    @property
    def dialect_name(self) -> str:
        return self.dialect.name

    def hint(self, *topics: str) -> None:
        """Have these topics published once the transaction is committed."""
        self.topics.update(topics)


class Tx(Moment):
    """An open transaction. Only the edge commits it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.dialect)
        self.connection = connection

    def execute(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[Any]:
        return self.connection.execute(statement, parameters)

    def enact(self, writing: Writing[T]) -> T:
        """Carry out a writing as a part of this transaction."""
        try:
            statement, values = next(writing)
            while True:
                statement, values = writing.send(self.run(statement, values))
        except StopIteration as end:
            result: T = end.value
            return result

    def run(self, statement: Statement, values: Mapping[str, Any] = {}) -> Sequence[Row[Any]]:
        """The rows of a statement of the hot paths, each with its columns by name."""
        fetch = statement.fetch(self.dialect, values)
        return statement.rows(self.dialect, self._rows(fetch.sql, fetch.parameters))

    def all(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[Row[Any]]:
        return self.execute(statement, parameters).all()

    def first(self, statement: Executable, parameters: Parameters | None = None) -> Row[Any] | None:
        return self.execute(statement, parameters).first()

    def scalar(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        return self.execute(statement, parameters).scalar()

    def savepoint(self) -> AbstractContextManager[Any]:
        """What is done within it happens whole or not at all; the transaction goes on."""
        return self.connection.begin_nested()

    def _rows(self, sql: str, parameters: Sequence[Any]) -> Rows:
        done = self.connection.exec_driver_sql(sql, tuple(parameters))
        return done.all() if done.returns_rows else ()


Unit = Callable[Concatenate[Tx, P], T]
WritingUnit = Callable[Concatenate[Moment, P], Writing[T]]


class Connections(NamedTuple):
    """How many connections are in use, and how many are open for the next who needs one."""

    active: int
    idle: int


class Database(ABC):
    """One database, for the life of a process."""

    dialect: Dialect

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    @abstractmethod
    async def open(self) -> None:
        """Connect, or raise what keeps us from it."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of every connection."""

    @abstractmethod
    def connections(self) -> Connections:
        """The connections of this process, over all its pools."""

    @abstractmethod
    def distrust(self) -> None:
        """Use none of the open connections again: one of them has not answered."""

    async def write(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `unit(tx, …)` as one transaction; return what it returns, once it is committed.

        Raises what the unit raises, and then nothing of it has happened; `DatabaseUnavailable`
        when the database could not do it.
        """
        with tracing.span("transaction"):
            result, topics = await self._commit(lambda tx: unit(tx, *args, **kwargs))
        self.bus.hint(topics)
        return result

    async def enact(self, unit: WritingUnit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a writing, `unit(moment, …)`: by nothing but the driver, if that is less."""
        return await self.write(lambda tx: tx.enact(unit(tx, *args, **kwargs)))

    @abstractmethod
    async def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """What one statement reads."""

    @abstractmethod
    async def fetch(self, fetch: Fetch) -> Rows:
        """What one compiled statement reads, as the driver's own rows."""

    @abstractmethod
    async def read(self, reading: Callable[[], Reading[T]]) -> T:
        """What a reading makes of its statements, by the drivers' own rows.

        Raises `DatabaseUnavailable`, and what the reading raises.
        """

    async def first(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Row[Any] | None:
        return next(iter(await self.rows(statement, parameters)), None)

    async def scalar(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        row = await self.first(statement, parameters)
        return row[0] if row else None

    @abstractmethod
    async def _commit(self, unit: Callable[[Tx], T]) -> tuple[T, Iterable[str]]:
        """Run the unit and commit; what it returned, and the topics it touched."""


def json_text(value: Any) -> str:
    """JSON as the databases take it."""
    return orjson.dumps(value).decode()
