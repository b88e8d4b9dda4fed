"""Statements compiled once: the SQL text, and how its parameters are made of values."""

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec
import orjson
from sqlalchemy import JSON, Dialect, Executable, Row
from sqlalchemy.engine.result import result_tuple
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]


class Fetch(msgspec.Struct, frozen=True, gc=False):
    """A statement to be read, with its parameters in the driver's order."""

    sql: str
    parameters: Sequence[Any]


Reading = Generator[Fetch, Rows, T]
"""A read of several statements: yields each, is sent its rows, and returns what it made of them.

It must be repeatable: a read that takes too long where it began is begun anew elsewhere.
"""


class Part(Enum):
    """What a statement is of a writing, and so whether a transaction has to be begun for it.

    On PostgreSQL each statement sees what is committed by then, within a transaction or without.
    """

    WRITES = auto()
    """One of several that happen all or none."""
    READS = auto()
    """It changes and locks nothing."""
    LOCKS = auto()
    """It only makes others wait: it has no values, and nobody needs its rows."""
    IS_ALL = auto()
    """All that is written: no other statement follows it."""


class Statement:
    """A statement of the hot paths: compiled once for each dialect, whoever executes it."""

    def __init__(self, executable: Executable, part: Part = Part.WRITES) -> None:
        self.part = part
        self._executable = executable
        self._compiled: dict[str, Compiled] = {}

    def fetch(self, dialect: Dialect, values: Mapping[str, Any]) -> Fetch:
        """The statement with these values; `KeyError` when one is missing."""
        return self._for(dialect).fetch(values)

    def rows(self, dialect: Dialect, found: Rows) -> Sequence[Row[Any]]:
        """What the driver found, as rows whose columns have names and Python's types."""
        return self._for(dialect).rows(found)

    def _for(self, dialect: Dialect) -> "Compiled":
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = Compiled(self._executable, dialect)
        return self._compiled[dialect.name]


Writing = Generator[tuple[Statement, Mapping[str, Any]], Sequence[Row[Any]], T]
"""A write of some statements: yields each with its values, is sent its rows, and returns what it
made of them. Whoever carries it out may begin it anew, in another transaction.
"""


class Compiled:
    """A statement's text for one dialect; values are given by the names of its parameters."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect, compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        self.sql = compiled.string
        self._constants: dict[Any, Any] = {}
        self._names: list[Any] = []
        self._processed: list[tuple[int, Callable[[Any], Any]]] = []
        processors = compiled._bind_processors
        for place, name in enumerate(compiled.positiontup or ()):
            bound = compiled.binds[name]
            process: Any = processors.get(name)
            if bound.required:
                self._names.append(bound.key)
                if process:
                    self._processed.append((place, process))
            else:
                value = bound.effective_value
                self._names.append(bound)  # No value has the name of a constant.
                self._constants[bound] = process(value) if process else value
        self._columns = compiled._result_columns
        self._dialect = dialect

    def fetch(self, values: Mapping[str, Any]) -> Fetch:
        """The statement with these values; `KeyError` when one is missing."""
        known = {**self._constants, **values} if self._constants else values
        parameters = list(map(known.__getitem__, self._names))
        for place, process in self._processed:
            parameters[place] = process(parameters[place])
        return Fetch(self.sql, parameters)

    def rows(self, found: Rows) -> Sequence[Row[Any]]:
        """What the driver found, as rows whose columns have names and Python's types."""
        rows = []
        for row in found:
            values = list(row)
            for place, read in self._readers:
                values[place] = read(values[place])
            rows.append(self._row(values))
        return rows

    @functools.cached_property
    def _row(self) -> Callable[[Sequence[Any]], Row[Any]]:
        return result_tuple([column.keyname for column in self._columns])

    @functools.cached_property
    def _readers(self) -> list[tuple[int, Callable[[Any], Any]]]:
        return [
            (place, read)
            for place, column in enumerate(self._columns)
            if (read := self._reader(column.type))
        ]

    def _reader(self, type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
        if isinstance(type_, JSON):
            return _decoded
        return type_._cached_result_processor(self._dialect, None)


def _decoded(value: Any) -> Any:
    """JSON, of which drivers give the text unless SQLAlchemy taught them; none is a bare string."""
    return orjson.loads(value) if isinstance(value, str) else value
