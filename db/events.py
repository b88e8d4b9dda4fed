"""The log of facts: each is told once, in the transaction that makes it true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    and_,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db import batches
from db.actors import Actor
from db.engine import Moment, Tx
from db.errors import InvalidFormat
from db.ids import new_id
from db.statements import Writing
from db.tables import events, users

START = "0-0"
LARGEST_NUMBER = 2**63 - 1
PROGRESSED = "task.progressed"
GIVEN = ("id", "kind", "at", "actor_id", "project_id", "task_id", "run_id", "session_id")
"""The columns that `row_of` gives, beside the data."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that happened (`task.completed`), by whom, and where."""

    kind: str
    actor: Actor | None
    project_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    session_id: str | None = None
    data: Mapping[str, Any]


def tell(tx: Tx, kind: str, actor: Actor | None, **rest: Any) -> None:
    """Record that something happened; what else is known of it is as `Fact` has it."""
    tell_all(tx, [Fact(kind=kind, actor=actor, **rest)])


def tell_all(tx: Tx, facts: Sequence[Fact]) -> None:
    """Record what happened, in this order, and hint it once it is committed."""
    tx.enact(telling(tx, facts))


def telling(at: Moment, facts: Sequence[Fact]) -> Writing[None]:
    """The same, as a writing."""
    if not facts:
        return
    yield from batches.adding(at, events, [row_of(at, fact) for fact in facts], _COMPUTED)
    for fact in facts:
        hint(at, fact)


def hint(at: Moment, fact: Fact | Row[Any]) -> None:
    """Have those woken, once it is committed, who wait for anything like this."""
    nouns = ("project", fact.project_id), ("task", fact.task_id), ("run", fact.run_id)
    at.hint("events", *(f"{noun}:{id_}" for noun, id_ in nouns if id_))


def after(cursor: str, *, limit: int) -> Select[Any]:
    """The events that follow a cursor, oldest first; `is_settled` says which may be passed on.

    On PostgreSQL a transaction may commit after one that began later. What an open transaction
    could still precede is not settled: it is left for the next look, which is soon, so that a
    cursor never steps over an event.
    """
    tx, seq = parse_cursor(cursor)
    later = or_(events.c.tx > tx, and_(events.c.tx == tx, events.c.seq > seq))
    in_order = (events.c.tx, events.c.seq)
    return (
        select(events, settled().label("is_settled")).where(later).order_by(*in_order).limit(limit)
    )


def latest() -> Select[Any]:
    """The newest settled event's `tx` and `seq`."""
    newest_first = (events.c.tx.desc(), events.c.seq.desc())
    return select(events.c.tx, events.c.seq).where(settled()).order_by(*newest_first).limit(1)


def is_of_history() -> ColumnElement[bool]:
    """True of what a task's history tells: all that happened to it, but not every step."""
    # SQLite makes a statement anew each time that a pattern is bound.
    return and_(events.c.kind.like(literal_column("'task.%'")), events.c.kind != PROGRESSED)


def action_of(kind: str, data: Mapping[str, Any]) -> str:
    """What happened to a task, in the documented words."""
    match kind:
        case "task.updated":
            return "status_changed" if data["details"].get("field") == "status" else "updated"
        case "task.started" | "task.completed" | "task.failed" | "task.cancelled":
            return "status_changed"
        case _:
            return kind.partition(".")[2]


def actor_name(actor_id: ColumnElement[Any]) -> ColumnElement[str]:
    """The name of who did it."""
    name = select(func.coalesce(users.c.full_name, users.c.username))
    return name.where(users.c.id == actor_id).scalar_subquery()


def cursor_of(tx: int, seq: int) -> str:
    return f"{tx}-{seq}"


def parse_cursor(cursor: str) -> tuple[int, int]:
    """The place that a cursor names. Raises `InvalidFormat`."""
    try:
        tx, seq = map(int, cursor.split("-"))
    except ValueError:
        raise InvalidFormat("after", "Not a cursor of this list") from None
    if max(tx, seq) > LARGEST_NUMBER:
        raise InvalidFormat("after", "Not a cursor of this list")
    return tx, seq


def row_of(at: Moment, fact: Fact) -> dict[str, Any]:
    """The columns of an event, but for those that the database sets."""
    return {
        "id": new_id(),
        "kind": fact.kind,
        "at": at.now,
        "actor_id": fact.actor.id if fact.actor else None,
        "project_id": fact.project_id,
        "task_id": fact.task_id,
        "run_id": fact.run_id,
        "session_id": fact.session_id,
        "data": dict(fact.data),
    }


class settled(FunctionElement[bool]):  # noqa: N801 - reads as the SQL function that it is
    """True of events that no open transaction can precede any more."""

    inherit_cache = True


class current_tx(FunctionElement[int]):  # noqa: N801
    """The number of the open transaction; 0 on SQLite."""

    type = BigInteger()
    inherit_cache = True


@compiles(settled, "postgresql")
def _settled_postgresql(element: settled, compiler: SQLCompiler, **_: Any) -> str:
    return "events.tx < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"


@compiles(settled, "sqlite")
def _settled_sqlite(element: settled, compiler: SQLCompiler, **_: Any) -> str:
    return "1 = 1"


@compiles(current_tx, "postgresql")
def _current_tx_postgresql(element: current_tx, compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"


@compiles(current_tx, "sqlite")
def _current_tx_sqlite(element: current_tx, compiler: SQLCompiler, **_: Any) -> str:
    return "0"


_COMPUTED = (("tx", current_tx()),)
