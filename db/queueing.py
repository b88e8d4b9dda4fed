"""How a task gets into the queue: at once on PostgreSQL, where each statement is a journey."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.exc import IntegrityError

from db import events, runs, standing
from db.adding import named
from db.engine import Tx
from db.errors import TaskAlreadyRunning
from db.events import Fact
from db.statements import Statement
from db.tables import events as log
from db.tables import tasks


def add(tx: Tx, run: Mapping[str, Any], task: Mapping[str, Any], fact: Fact) -> None:
    """Write a task's new run, what its task is since, and what is told of it.

    Raises `TaskAlreadyRunning` for a second active one.
    """
    values = {**run, **named(tasks, task), **named(log, events.row_of(tx, fact))}
    try:
        for statement in _AT_ONCE if tx.dialect_name == "postgresql" else _ONE_BY_ONE:
            tx.run(statement, values)
    except IntegrityError:
        raise TaskAlreadyRunning(task_id=fact.task_id) from None
    events.hint(tx, fact)
    tx.hint("runs")


_CHANGED = ("status", "progress_percentage", "started_at", "completed_at", "updated_at")
_change_task = (
    update(tasks)
    .where(tasks.c.id == bindparam("tasks_id"))
    .values({name: bindparam(f"tasks_{name}", type_=tasks.c[name].type) for name in _CHANGED})
)
_tell = standing.telling(_CHANGED)
_ONE_BY_ONE = tuple(map(Statement, (runs.INSERT, _tell, _change_task)))
_AT_ONCE = (Statement(_tell.add_cte(runs.INSERT.cte("run"), _change_task.cte("task"))),)
