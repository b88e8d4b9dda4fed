"""Rows that are written many at once, by one statement for all of them."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    String,
    Table,
    bindparam,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from db.engine import Moment, Tx
from db.statements import Statement, Writing

Values = Mapping[str, Any]
Computed = tuple[tuple[str, ColumnElement[Any]], ...]


def add(tx: Tx, table: Table, rows: Sequence[Values], computed: Computed = ()) -> None:
    """Insert these rows, of the same columns each, in this order; `computed` is theirs besides."""
    tx.enact(adding(tx, table, rows, computed))


def adding(
    at: Moment, table: Table, rows: Sequence[Values], computed: Computed = ()
) -> Writing[None]:
    """The same, as a writing."""
    names = tuple(rows[0])
    if at.dialect_name == "postgresql" and len(rows) > 1:
        yield _add_by_arrays(table, names, computed), _arrays(names, rows)
    else:
        for row in rows:
            yield _add_one(table, names, computed), _parameters(row)


def unnested(name: str, **arrays: tuple[str, TypeEngine[Any]]) -> TableValuedAlias:
    """A table of columns, each the values of an array: a parameter of this key."""
    keys = (bindparam(key, type_=ARRAY(type_, dimensions=1)) for key, type_ in arrays.values())
    columns = (column(each, type_) for each, (_, type_) in arrays.items())
    return func.unnest(*keys).table_valued(*columns, name=name).render_derived()


def unlimited(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Text of any length: it would be cut off by the cast, where the column itself refuses it."""
    return String() if isinstance(type_, String) else type_


# Row by row the driver's messages take PostgreSQL longer than the rows themselves: it gets a
# column at a time, whatever their number. SQLite has no messages.
@functools.cache
def _add_by_arrays(table: Table, names: tuple[str, ...], computed: Computed) -> Statement:
    arrays = {name: (f"new_{name}", unlimited(table.c[name].type)) for name in names}
    values = {**unnested("new", **arrays).c, **dict(computed)}
    return Statement(insert(table).from_select([*values], select(*values.values())))


@functools.cache
def _add_one(table: Table, names: tuple[str, ...], computed: Computed) -> Statement:
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return Statement(insert(table).values({**values, **dict(computed)}).inline())


def _arrays(names: tuple[str, ...], rows: Sequence[Values]) -> Values:
    return {f"new_{name}": [row[name] for row in rows] for name in names}


def _parameters(row: Values) -> Values:
    return {f"new_{name}": value for name, value in row.items()}
