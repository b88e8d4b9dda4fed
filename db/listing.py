"""How a noun is listed: what it may be filtered and sorted by, a page or a cursor at a time."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    Boolean,
    ColumnElement,
    Dialect,
    Float,
    FromClause,
    Select,
    Text,
    TypeDecorator,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from db.actors import Actor
from db.errors import InvalidFormat, ValueTooLong

LARGEST_INTEGER = 2**31 - 1
LONGEST_PART = 500


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Filter:
    """A filter: the clause over its value, which is first made into what the clause takes.

    What is made into None lets every row through.
    """

    clause: Callable[[Any], ColumnElement[bool]]
    prepare: Callable[[Any], Any] = _as_it_is


class Order(msgspec.Struct, frozen=True):
    """What a list is sorted by; ties are broken by id."""

    by: str
    descending: bool = True

    def reversed(self) -> "Order":
        return Order(self.by, not self.descending)


@dataclass(frozen=True)
class Listing:
    """The lists of one noun: its rows, who sees them, and the clause behind each filter."""

    table: FromClause
    kept: ColumnElement[bool]
    visible_to: Callable[[Actor], ColumnElement[bool]]
    filters: Mapping[str, Filter]
    orders: Mapping[str, ColumnElement[Any]]
    default_order: str = "created_at"
    one_visible_to: Callable[[Actor], ColumnElement[bool]] | None = None
    """What is true of the same rows, but quicker to find out of one alone."""

    def one(self, actor: Actor) -> ColumnElement[bool]:
        """True of a row that this actor may see, if it is looked for by its id."""
        return and_(self.kept, (self.one_visible_to or self.visible_to)(actor))

    def matching(self, actor: Actor, filters: Mapping[str, Any]) -> ColumnElement[bool]:
        """True of the rows that this actor may see and that every filter lets through."""
        wanted = [self.filters[name].clause(value) for name, value in filters.items()]
        return and_(self.kept, self.visible_to(actor), *wanted)

    def prepared(self, filters: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the filters that are given, as their clauses take them."""
        found = {
            name: self.filters[name].prepare(value)
            for name, value in filters.items()
            if value is not None
        }
        return {name: value for name, value in found.items() if value is not None}

    def count(self, actor: Actor, filters: Mapping[str, Any]) -> Select[Any]:
        return select(func.count()).select_from(self.table).where(self.matching(actor, filters))

    def page(
        self, actor: Actor, filters: Mapping[str, Any], order: Order, *, limit: Any, offset: Any
    ) -> Select[Any]:
        """One numbered page."""
        return self._sorted(actor, filters, order).limit(limit).offset(offset)

    def beyond(
        self,
        actor: Actor,
        filters: Mapping[str, Any],
        order: Order,
        place: "Place | None",
        limit: Any,
    ) -> Select[Any]:
        """The rows that follow a place in the order; from the start without one."""
        statement = self._sorted(actor, filters, order).limit(limit)
        if place is None:
            return statement
        column = self.orders[order.by]
        value = place.value
        if not isinstance(value, BindParameter):
            value = literal(value, column.type)
        key, bound = tuple_(column, self.table.c.id), tuple_(value, place.id)
        return statement.where(key < bound if order.descending else key > bound)

    def cursor_of(self, row: Any, order: Order) -> str:
        """The opaque place of a row in an order."""
        return self.cursor(order, getattr(row, order.by), row.id)

    def cursor(self, order: Order, value: Any, id_: str) -> str:
        """The opaque place of the row with this id and this value to sort by."""
        if isinstance(value, datetime):
            value = value.isoformat()
        return base64.urlsafe_b64encode(orjson.dumps([order.by, value, id_])).decode()

    def place_of(self, cursor: str, order: Order, argument: str) -> "Place":
        """What a cursor names. Raises `InvalidFormat` for one of another list or order."""
        try:
            by, value, id_ = orjson.loads(base64.urlsafe_b64decode(cursor))
            if by != order.by or not isinstance(id_, str):
                raise ValueError
            value = _restored(value, self.orders[by].type.python_type)
        except (binascii.Error, ValueError, TypeError, UnicodeEncodeError, OverflowError):
            raise InvalidFormat(argument, "Not a cursor of this list") from None
        return Place(value, id_)

    def _sorted(self, actor: Actor, filters: Mapping[str, Any], order: Order) -> Select[Any]:
        column, id_ = self.orders[order.by], self.table.c.id
        keys = (column.desc(), id_.desc()) if order.descending else (column, id_)
        return select(self.table).where(self.matching(actor, filters)).order_by(*keys)


@dataclass(frozen=True)
class Place:
    """Where in an order a row stands."""

    value: Any
    id: Any


def contains(*columns: ColumnElement[Any]) -> Filter:
    """Lets rows through that have a text in one of the columns, upper and lower case alike."""

    def clause(pattern: Any) -> ColumnElement[bool]:
        return or_(*(column.ilike(pattern, escape="/") for column in columns))

    return Filter(clause, _pattern)


def sifted(column: ColumnElement[Any]) -> Filter:
    """Lets rows through whose column holds one of a list's values.

    They are taken out of the list as it is read. To find them by an index, and then sort them all,
    takes longer where many rows share a value.
    """
    return Filter(lambda values: one_of(column, values) == true())


@dataclass(frozen=True)
class Sole:
    """The parameter of one value, where that of a list of values may stand."""

    name: str


def one_of(column: ColumnElement[Any], values: Any) -> ColumnElement[bool]:
    """True when a column holds one of the values of a list, or the sole one."""
    if isinstance(values, Sole):
        return column == bindparam(values.name, type_=column.type)
    return _one_of(column, values)


class _one_of(FunctionElement[bool]):  # noqa: N801 - reads as the operator that it is
    """The list is one parameter: the statement is the same for any number of values."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], values: Any) -> None:
        if isinstance(values, BindParameter):
            bound = bindparam(values.key, type_=Texts())
        else:
            bound = bindparam("values", values, type_=Texts(), unique=True)
        super().__init__(column, bound)

    def self_group(self, against: OperatorType | None = None) -> "_one_of":
        # As it is: else it is compared with 1 on SQLite, which then looks through all rows.
        return self


class as_read(FunctionElement[Any]):  # noqa: N801
    """A column by which rows are taken out as they are read, and not found by an index.

    SQLite would find all that somebody sees, and then sort it: a hundred times as long for who
    sees much. PostgreSQL knows how much that is, and decides by itself.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


class Texts(TypeDecorator[list[str]]):
    """A list of texts as one parameter: an array, or JSON on SQLite."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(Text))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        texts = list(map(str, value or ()))
        return texts if dialect.name == "postgresql" else orjson.dumps(texts).decode()


class seconds_between(FunctionElement[float]):  # noqa: N801
    """How long it is from one time to another, in seconds."""

    type = Float()
    inherit_cache = True


def _restored(value: Any, kind: type) -> Any:
    """What a cursor holds, as its column has it. Raises ValueError or TypeError for another."""
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if not moment.tzinfo:
            raise ValueError
        return moment.astimezone(UTC)
    if type(value) is not kind or (isinstance(value, int) and abs(value) > LARGEST_INTEGER):
        raise ValueError
    return value


def _pattern(text: str) -> str:
    if len(text) > LONGEST_PART:
        raise ValueTooLong("search", LONGEST_PART)
    for special in "/%_":
        text = text.replace(special, f"/{special}")
    return f"%{text}%"


@compiles(as_read)
def _as_read(element: as_read, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(as_read, "sqlite")
def _as_read_sqlite(element: as_read, compiler: SQLCompiler, **kw: Any) -> str:
    return f"+{compiler.process(element.clauses, **kw)}"


@compiles(_one_of, "postgresql")
def _one_of_postgresql(element: _one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY (CAST({values} AS text[]))"


@compiles(_one_of, "sqlite")
def _one_of_sqlite(element: _one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - compiled SQL


@compiles(seconds_between, "postgresql")
def _seconds_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM {end} - {start})"


@compiles(seconds_between, "sqlite")
def _seconds_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    # It counts days, to the millisecond.
    return f"ROUND((julianday({end}) - julianday({start})) * 86400.0, 3)"
