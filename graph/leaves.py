"""From stored values to the values of a response, for whole columns."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson
from graphql import GraphQLEnumType, GraphQLList, GraphQLNonNull, GraphQLOutputType, is_leaf_type
from sqlalchemy import JSON, ColumnElement, Dialect, func, literal_column

from db.types import UtcDateTime
from graph.selections import NotPlannable

Values = Sequence[Any]
Convert = Callable[[Values], Values]

PLAIN = frozenset({"ID", "String", "Int", "BigInt"})
NO_FRACTION = ".000000Z"
_Z: ColumnElement[str] = literal_column("'Z'")
TO_THE_SECOND = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


class Leaves:
    """The leaf types of one schema over one database. Times and JSON are left to the encoder."""

    def __init__(self, dialect: Dialect, *, to_the_second: bool) -> None:
        self._times_are_text = dialect.name == "sqlite"
        self._to_the_second = to_the_second

    def stored(self, type_: GraphQLOutputType, column: ColumnElement[Any]) -> Convert | None:
        """What makes a column as the driver gives it into values to encode; None for no change."""
        if isinstance(column.type, JSON):
            return _raw
        type_ = _nullable(type_)
        if isinstance(type_, GraphQLEnumType):
            return _names(type_)
        match getattr(type_, "name", None):
            case "DateTime":
                return self._times()
            case "Duration" | "Float" | "Boolean":
                assert is_leaf_type(type_)
                return _each(type_.coerce_output_value)
            case name if name in PLAIN:
                return None
            case _:
                raise NotPlannable(f"a column can't be shown as {type_}")

    def selected(self, type_: GraphQLOutputType, column: ColumnElement[Any]) -> Any:
        """An expression by which SQLite shows a column as it has to be; None where it does not."""
        if not self._times_are_text or isinstance(column.type, JSON):
            return None
        type_ = _nullable(type_)
        if isinstance(type_, GraphQLEnumType):
            is_upper = all(name == str(one.value).upper() for name, one in type_.values.items())
            return func.upper(column) if is_upper else None
        if getattr(type_, "name", None) != "DateTime":
            return None
        if self._to_the_second:
            return func.substr(column, literal_column("1"), literal_column("19")).concat(_Z)
        return func.replace(column, literal_column(f"'{NO_FRACTION}'"), _Z)

    def shown(self, type_: GraphQLOutputType) -> Callable[[Any], Any] | None:
        """What makes a computed value into one to encode; None for no change."""
        type_ = _nullable(type_)
        if isinstance(type_, GraphQLList):
            item = self.shown(type_.of_type)
            return item and (lambda values: None if values is None else list(map(item, values)))
        assert is_leaf_type(type_)
        if type_.name in ("JSON", "String"):
            return None
        show = type_.coerce_output_value
        return lambda value: None if value is None else show(value)

    def _times(self) -> Convert | None:
        if self._times_are_text:
            return _cut_times if self._to_the_second else _short_times
        return _whole_seconds if self._to_the_second else None


def typed(column: ColumnElement[Any], dialect: Dialect) -> Convert | None:
    """What makes a column as the driver gives it into Python's own types; None for no change."""
    if isinstance(column.type, JSON):
        return _each(orjson.loads)
    if isinstance(column.type, UtcDateTime) and dialect.name == "sqlite":
        return _each(datetime.fromisoformat)
    return None


def as_stored(value: Any, column: ColumnElement[Any], dialect: Dialect) -> Any:
    """A value of Python's own types as the driver would give it."""
    store: Any = column.type.dialect_impl(dialect).bind_processor(dialect)
    return value if value is None or store is None else store(value)


def _nullable(type_: GraphQLOutputType) -> GraphQLOutputType:
    return type_.of_type if isinstance(type_, GraphQLNonNull) else type_


def _each(function: Callable[[Any], Any]) -> Convert:
    return lambda values: [None if value is None else function(value) for value in values]


def _names(type_: GraphQLEnumType) -> Convert | None:
    names: dict[Any, str | None] = {str(value.value): name for name, value in type_.values.items()}
    if all(name == value for value, name in names.items()):
        return None
    names[None] = None
    return lambda values: list(map(names.__getitem__, values))


def _raw(values: Values) -> Values:
    if None in values:
        return [None if value is None else msgspec.Raw(value) for value in values]
    return list(map(msgspec.Raw, values))


def _whole_seconds(values: Values) -> Values:
    # By way of JSON this is faster than anything that datetime can do.
    shown: list[str | None] = orjson.loads(orjson.dumps(values, option=TO_THE_SECOND))
    return shown


def _cut_times(values: Values) -> Values:
    return [value and f"{value[:19]}Z" for value in values]


def _short_times(values: Values) -> Values:
    if NO_FRACTION not in "".join(filter(None, values)):
        return values
    return [value and value.replace(NO_FRACTION, "Z") for value in values]
