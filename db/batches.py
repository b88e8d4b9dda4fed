"""Rows that are written many at once, by one statement for all of them."""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    update,
)
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from db.engine import Tx
from db.statements import Statement

Values = Mapping[str, Any]
Computed = tuple[tuple[str, ColumnElement[Any]], ...]


def change(tx: Tx, table: Table, rows: Iterable[Values]) -> None:
    """Change each of these rows, found by its `id`, to the values it comes with."""
    alike = defaultdict(list)
    for row in rows:
        alike[tuple(row)].append(row)
    for names, some in alike.items():
        if tx.dialect_name == "postgresql":
            tx.run(_change_by_arrays(table, names), _arrays(names, some))
        else:
            for row in some:
                tx.run(_change_one(table, names), _parameters(row))


def add(tx: Tx, table: Table, rows: Sequence[Values], computed: Computed = ()) -> None:
    """Insert these rows, of the same columns each, in this order; `computed` is theirs besides."""
    names = tuple(rows[0])
    if tx.dialect_name == "postgresql" and len(rows) > 1:
        tx.run(_add_by_arrays(table, names, computed), _arrays(names, rows))
    else:
        for row in rows:
            tx.run(_add_one(table, names, computed), _parameters(row))


# Row by row the driver's messages take PostgreSQL longer than the rows themselves: it gets a
# column at a time, whatever their number. SQLite has no messages.
@functools.cache
def _change_by_arrays(table: Table, names: tuple[str, ...]) -> Statement:
    new = _new(table, names)
    values = {name: new.c[name] for name in names if name != "id"}
    return Statement(update(table).where(table.c.id == new.c.id).values(values))


@functools.cache
def _add_by_arrays(table: Table, names: tuple[str, ...], computed: Computed) -> Statement:
    values = {**_new(table, names).c, **dict(computed)}
    return Statement(insert(table).from_select([*values], select(*values.values())))


@functools.cache
def _add_one(table: Table, names: tuple[str, ...], computed: Computed) -> Statement:
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return Statement(insert(table).values({**values, **dict(computed)}).inline())


@functools.cache
def _change_one(table: Table, names: tuple[str, ...]) -> Statement:
    values: dict[str, ColumnElement[Any]] = {
        name: bindparam(f"new_{name}") for name in names if name != "id"
    }
    return Statement(update(table).where(table.c.id == bindparam("new_id")).values(values))


def _new(table: Table, names: tuple[str, ...]) -> TableValuedAlias:
    arrays = (
        bindparam(f"new_{name}", type_=ARRAY(_open(table.c[name].type), dimensions=1))
        for name in names
    )
    columns = (column(name, table.c[name].type) for name in names)
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


def _open(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Text of any length: it would be cut off by the cast, where the column itself refuses it."""
    return String() if isinstance(type_, String) else type_


def _arrays(names: tuple[str, ...], rows: Sequence[Values]) -> Values:
    return {f"new_{name}": [row[name] for row in rows] for name in names}


def _parameters(row: Values) -> Values:
    return {f"new_{name}": value for name, value in row.items()}
