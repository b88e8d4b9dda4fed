"""The database's own clock: what several machines compare must not depend on theirs."""

from typing import Any

from sqlalchemy import ColumnElement, Float, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.types import UtcDateTime


class from_now(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function that it is
    """The time so many seconds after the statement began; a number, SQL, or a parameter's name."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | str | ColumnElement[Any]) -> None:
        if isinstance(seconds, ColumnElement):
            super().__init__(seconds)
        elif isinstance(seconds, str):
            super().__init__(bindparam(seconds, type_=Float()))
        else:
            super().__init__(bindparam("seconds", seconds, type_=Float(), unique=True))


NOW = from_now(0)


@compiles(from_now, "postgresql")
def _from_now_postgresql(element: from_now, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(next(iter(element.clauses)), **kw)
    # Not now(), the time of the transaction: that may have waited for a lock since.
    return f"(statement_timestamp() + {seconds} * INTERVAL '1 second')"


@compiles(from_now, "sqlite")
def _from_now_sqlite(element: from_now, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(next(iter(element.clauses)), **kw)
    # SQLite knows milliseconds; `UtcDateTime` keeps microseconds.
    return f"(strftime('%Y-%m-%dT%H:%M:%f', 'now', {seconds} || ' seconds') || '000Z')"
