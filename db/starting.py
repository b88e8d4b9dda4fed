"""Tasks that start by themselves, once all that they wait for has completed."""

from typing import Any

from sqlalchemy import Row, exists, select, true, update

from db import tasks, users
from db.engine import Tx
from db.errors import Problem
from db.tables import projects, task_dependencies
from db.tables import tasks as task_rows
from db.types import DependencyType, Lane, ProjectStatus, TaskStatus

MOST_AT_ONCE = 50


def start_ready(tx: Tx) -> int:
    """Execute the tasks that are to start by themselves and now can; returns how many it tried.

    Each starts once, in the name of whoever created it; after that it no longer starts by itself.
    One that can't start says so in its history.
    """
    ready = tx.all(_READY)
    for task in ready:
        tx.execute(update(task_rows).where(task_rows.c.id == task.id).values(auto_start=False))
        _start(tx, task)
    return len(ready)


def _start(tx: Tx, task: Row[Any]) -> None:
    try:
        tasks.execute(tx, users.acting(tx, task.created_by), task.id, Lane.NORMAL, {})
    except Problem as problem:
        why = {"error_code": problem.code, "error": problem.message}
        tasks.tell(tx, "task.not_started", None, task.project_id, task.id, task._asdict(), **why)


_BLOCKS = (task_dependencies.c.task_id == task_rows.c.id) & (
    task_dependencies.c.dependency_type == DependencyType.BLOCKS
)
_OTHER = task_rows.alias("other")
_UNMET = exists().where(
    _BLOCKS,
    _OTHER.c.id == task_dependencies.c.depends_on_task_id,
    _OTHER.c.status != TaskStatus.COMPLETED,
    _OTHER.c.deleted_at.is_(None),
)
_READY = (
    select(task_rows)
    .join(projects, projects.c.id == task_rows.c.project_id)
    .where(
        task_rows.c.auto_start == true(),
        task_rows.c.status == TaskStatus.PENDING,
        task_rows.c.deleted_at.is_(None),
        projects.c.status != ProjectStatus.ARCHIVED,
        exists().where(_BLOCKS),
        ~_UNMET,
        task_rows.c.active_run_id.is_(None),
    )
    .order_by(task_rows.c.id)
    .limit(MOST_AT_ONCE)
    .with_for_update(of=task_rows, skip_locked=True)
)
