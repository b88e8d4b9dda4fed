"""How a task stands, and what is told when that changes."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Insert, Row, Table, bindparam, insert, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db import events
from db.actors import Actor
from db.adding import named
from db.engine import Moment, Tx
from db.events import Fact
from db.listing import seconds_between
from db.statements import Statement
from db.tables import events as log
from db.tables import tasks
from db.types import Json, Lane, TaskStatus

OF_TASK = ("title", "status", "progress_percentage", "started_at", "completed_at")
"""What is told of a task is made of these."""


def queued(
    at: Moment, actor: Actor, task: Row[Any], run_id: str, lane: Lane
) -> tuple[dict[str, Any], Fact]:
    """What a task is whose run is queued, which is pending, and what is told of it."""
    waiting = {"status": TaskStatus.PENDING, "progress_percentage": 0}
    values = waiting | {"started_at": None, "completed_at": None, "active_run_id": run_id}
    fact = _fact("task.queued", actor, task, run_id, {"lane": lane})
    return {"id": task.id, **values, "updated_at": at.now}, fact


def record_cancelled(tx: Tx, actor: Actor, task: Row[Any], reason: str | None) -> None:
    """Cancel a task that no process works on."""
    values = {"status": TaskStatus.CANCELLED, "completed_at": tx.now}
    _set_task(tx, values, _fact("task.cancelled", actor, task, None, {"reason": reason}))


def record_moved(tx: Tx, actor: Actor, task: Row[Any], run: Row[Any], lane: Lane) -> None:
    """A task's queued run waits in another lane."""
    lanes = {"field": "queue", "old_value": run.lane, "new_value": lane}
    _set_task(tx, {}, _fact("task.prioritized", actor, task, run.id, lanes))


def record_progress(tx: Tx, run: Row[Any], percentage: int) -> None:
    """Note how far a task's run has come; it never goes back."""
    task = tx.first(select(tasks).where(tasks.c.id == run.task_id))
    if task and task.status == TaskStatus.RUNNING and task.progress_percentage < percentage:
        values = {"progress_percentage": percentage}
        _set_task(tx, values, _fact(events.PROGRESSED, None, task, run.id, {}))


def telling(changed: Sequence[str], *which: ColumnElement[bool]) -> Insert:
    """The event of a task of which these columns are about to change, if all of that is true.

    The parameters are named as `named` names them; the event's `data` are the details.
    """
    before = {name: tasks.c[name] for name in OF_TASK}
    now = {name: _parameter(tasks, name) for name in changed if name in OF_TASK}
    columns = {
        **{name: _parameter(log, name) for name in events.GIVEN},
        "data": news(before, now, _parameter(log, "data")),
        "tx": events.current_tx(),
    }
    told = select(*columns.values()).where(tasks.c.id == bindparam("tasks_id"), *which)
    return insert(log).from_select([*columns], told)


def news(
    before: Mapping[str, ColumnElement[Any]],
    changed: Mapping[str, ColumnElement[Any]],
    details: ColumnElement[Any],
) -> ColumnElement[Any]:
    """What an event tells of a task: how it stands now, and what it was before."""
    now = {**before, **changed}
    seconds = seconds_between(now["started_at"], now["completed_at"])
    return _News(
        now["title"], now["progress_percentage"], seconds, before["status"], now["status"], details
    )


class _News(FunctionElement[Any]):
    type = Json
    inherit_cache = True


@compiles(_News, "postgresql")
def _news_postgresql(element: _News, compiler: SQLCompiler, **kw: Any) -> str:
    title, progress, seconds, before, now, details = _compiled(element, compiler, kw)
    return (
        f"jsonb_build_object('title', {title}, 'status', {now}, 'progress_percentage', {progress},"
        f" 'duration_seconds', {seconds}, 'details',"
        f" jsonb_build_object('old_value', {before}, 'new_value', {now}) || {details})"
    )


@compiles(_News, "sqlite")
def _news_sqlite(element: _News, compiler: SQLCompiler, **kw: Any) -> str:
    title, progress, seconds, before, now, details = _compiled(element, compiler, kw)
    # It inserts what is not there yet.
    return (
        f"json_object('title', {title}, 'status', {now}, 'progress_percentage', {progress},"
        f" 'duration_seconds', {seconds}, 'details',"
        f" json_insert({details}, '$.old_value', {before}, '$.new_value', {now}))"
    )


def _compiled(element: _News, compiler: SQLCompiler, kw: Mapping[str, Any]) -> Iterator[str]:
    return (compiler.process(clause, **kw) for clause in element.clauses)


def _fact(
    kind: str, actor: Actor | None, task: Row[Any], run_id: str | None, details: Mapping[str, Any]
) -> Fact:
    ids = {"project_id": task.project_id, "task_id": task.id, "run_id": run_id}
    return Fact(kind=kind, actor=actor, **ids, data=details)


def _set_task(tx: Tx, values: Mapping[str, Any], fact: Fact) -> None:
    row = {"id": fact.task_id, **values}
    tx.run(_telling(tuple(values)), {**named(tasks, row), **named(log, events.row_of(tx, fact))})
    tx.execute(update(tasks).where(tasks.c.id == fact.task_id).values(**values, updated_at=tx.now))
    events.hint(tx, fact)


@functools.cache
def _telling(changed: Sequence[str]) -> Statement:
    return Statement(telling(changed))


def _parameter(table: Table, name: str) -> ColumnElement[Any]:
    return bindparam(f"{table.name}_{name}", type_=table.c[name].type)
