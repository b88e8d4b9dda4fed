"""What tables are made of: their metadata, and the kinds of columns that recur."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    text,
)

from db.types import Id, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigSerial = BigInteger().with_variant(Integer(), "sqlite")


def word(name: str, words: type[StrEnum]) -> tuple[Column[Any], CheckConstraint]:
    """A required column that holds one of these words, and the check that it does."""
    allowed = ", ".join(f"'{each}'" for each in words)
    return (
        Column(name, String(16), nullable=False),
        CheckConstraint(f"{name} IN ({allowed})", name=name),
    )


def refers(name: str, target: str, *, required: bool = False) -> Column[Any]:
    """A column that holds an id of the target, `table.column`."""
    return Column(name, Id, ForeignKey(target), nullable=not required)


def partial_index(name: str, condition: str, *columns: str, unique: bool = False) -> Index:
    """An index over the rows of which the condition, in SQL, is true."""
    where = text(condition)
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def at(name: str, *, required: bool = False) -> Column[Any]:
    """A column that holds a moment."""
    return Column(name, UtcDateTime, nullable=not required)
