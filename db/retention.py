"""What is forgotten after a while: output, events, runs, deliveries, and what was deleted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Select, Table, delete, func, select, update

from db.engine import Tx
from db.tables import (
    agent_events,
    chunks,
    deliveries,
    documents,
    events,
    leases,
    metadata,
    projects,
    runs,
    tasks,
    waiting,
    webhooks,
)

ROWS_AT_ONCE = 500
RUNS_AT_ONCE = 20


@dataclass(frozen=True)
class Rule:
    """What is forgotten so long after its end: counted by `old`, a batch at a time by `forget`."""

    old: Callable[[datetime], Select[Any]]
    forget: Callable[[Tx, Sequence[Any]], int]
    at_once: int = ROWS_AT_ONCE

    def count(self, tx: Tx, age: timedelta) -> int:
        """How much there is to forget."""
        old = self.old(tx.now - age).subquery()
        counted: int = tx.scalar(select(func.count()).select_from(old))
        return counted

    def forget_some(self, tx: Tx, age: timedelta) -> int | None:
        """Forget one batch, of what nobody else is busy with; None when there is no more.

        Answers how much of it that was: 0 when it was what refers to it, which goes first.
        """
        some = self.old(tx.now - age).limit(self.at_once).with_for_update(skip_locked=True)
        keys = [row[0] for row in tx.all(some)]
        return self.forget(tx, keys) if keys else None


def _old_output(before: datetime) -> Select[Any]:
    printed = runs.c.omitted_bytes < runs.c.total_bytes
    return select(runs.c.id).where(runs.c.finished_at < before, printed)


def _forget_output(tx: Tx, run_ids: Sequence[str]) -> int:
    for told in (chunks, agent_events):
        tx.execute(delete(told).where(told.c.run_id.in_(run_ids)))
    all_of_it = {"omitted_bytes": runs.c.total_bytes}
    return tx.execute(update(runs).where(runs.c.id.in_(run_ids)).values(all_of_it)).rowcount


def _old_events(before: datetime) -> Select[Any]:
    """The newest one is kept: SQLite would count from the beginning again without it."""
    newest = select(func.max(events.alias("newer").c.seq)).scalar_subquery()
    old = events.c.at < before, events.c.seq < newest
    # By number, which is their age: the oldest ones are where the log begins.
    return select(events.c.seq).where(*old).order_by(events.c.seq)


def _forget_events(tx: Tx, numbers: Sequence[int]) -> int:
    return tx.execute(delete(events).where(events.c.seq.in_(numbers))).rowcount


def _old_runs(before: datetime) -> Select[Any]:
    """A task's newest run is kept: it says how the task stands, and which number is next."""
    newer = runs.alias("newer")
    last = select(func.max(newer.c.number)).where(newer.c.task_id == runs.c.task_id)
    is_last = runs.c.task_id.is_not(None) & (runs.c.number == last.scalar_subquery())
    return select(runs.c.id).where(runs.c.finished_at < before, ~is_last)


def _old_deliveries(before: datetime) -> Select[Any]:
    return select(deliveries.c.id).where(deliveries.c.created_at < before)


def _deleted(table: Table) -> Callable[[datetime], Select[Any]]:
    return lambda before: select(table.c.id).where(table.c.deleted_at < before)


def _forgets(table: Table) -> Callable[[Tx, Sequence[Any]], int]:
    return lambda tx, ids: _remove(tx, table, ids)


def _remove(tx: Tx, table: Table, ids: Sequence[Any]) -> int:
    """Remove rows, or first a batch of what refers to them, however far away; how many of them."""
    for column in _referring(table):
        child = column.table
        if column.primary_key:
            tx.execute(delete(child).where(column.in_(ids)))
            continue
        theirs = select(child.c.id).where(column.in_(ids)).limit(_at_once(child))
        if found := [row.id for row in tx.all(theirs)]:
            _remove(tx, child, found)
            return 0
    return tx.execute(delete(table).where(table.c.id.in_(ids))).rowcount


def _at_once(table: Table) -> int:
    return RUNS_AT_ONCE if table in (runs, tasks) else ROWS_AT_ONCE


def _referring(table: Table) -> Iterator[Column[Any]]:
    """The columns that refer to a table, whether or not a foreign key says so."""
    for child in metadata.tables.values():
        yield from (key.parent for key in child.foreign_keys if key.column.table is table)
    yield from _REFERRING_FREELY.get(table, ())


_REFERRING_FREELY: Mapping[Table, Sequence[Column[Any]]] = {
    runs: (waiting.c.run_id, leases.c.run_id),
    tasks: (documents.c.id,),
    projects: (documents.c.id,),
}


RULES: Mapping[str, Rule] = {
    "output": Rule(_old_output, _forget_output, RUNS_AT_ONCE),
    "runs": Rule(_old_runs, _forgets(runs), RUNS_AT_ONCE),
    "deliveries": Rule(_old_deliveries, _forgets(deliveries)),
    "deleted_webhooks": Rule(_deleted(webhooks), _forgets(webhooks), 1),
    "deleted_tasks": Rule(_deleted(tasks), _forgets(tasks), RUNS_AT_ONCE),
    "deleted_projects": Rule(_deleted(projects), _forgets(projects), 1),
    "events": Rule(_old_events, _forget_events),
}
"""Every rule, by the name of what it forgets."""
