"""How a task stands, and what is told when that changes."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select

from db import batches, events
from db.actors import Actor
from db.engine import Moment, Tx
from db.events import Fact
from db.tables import tasks
from db.types import Lane, TaskStatus


def queued(
    at: Moment, actor: Actor, task: Row[Any], run_id: str, lane: Lane
) -> tuple[dict[str, Any], Fact]:
    """What a task is whose run is queued, which is pending, and what is told of it."""
    waiting = {"status": TaskStatus.PENDING, "progress_percentage": 0}
    values = waiting | {"started_at": None, "completed_at": None}
    fact = Fact(
        kind="task.queued",
        actor=actor,
        project_id=task.project_id,
        task_id=task.id,
        run_id=run_id,
        data=news(task._asdict(), values, {"lane": lane}),
    )
    return {"id": task.id, **values, "updated_at": at.now}, fact


def record_cancelled(tx: Tx, actor: Actor, task: Row[Any], reason: str | None) -> None:
    """Cancel a task that no process works on."""
    values = {"status": TaskStatus.CANCELLED, "completed_at": tx.now}
    _set_task(tx, "task.cancelled", actor, task, None, values, reason=reason)


def record_moved(tx: Tx, actor: Actor, task: Row[Any], run: Row[Any], lane: Lane) -> None:
    """A task's queued run waits in another lane."""
    lanes = {"field": "queue", "old_value": run.lane, "new_value": lane}
    _set_task(tx, "task.prioritized", actor, task, run.id, {}, **lanes)


def record_progress(tx: Tx, run: Row[Any], percentage: int) -> None:
    """Note how far a task's run has come; it never goes back."""
    task = tx.first(select(tasks).where(tasks.c.id == run.task_id))
    if task and task.status == TaskStatus.RUNNING and task.progress_percentage < percentage:
        values = {"progress_percentage": percentage}
        _set_task(tx, events.PROGRESSED, None, task, run.id, values)


def news(
    before: Mapping[str, Any], values: Mapping[str, Any], details: Mapping[str, Any]
) -> dict[str, Any]:
    """What an event tells of a task: how it stands now, and what it was before."""
    now = {**before, **values}
    began, ended = now["started_at"], now["completed_at"]
    return {
        "title": now["title"],
        "status": now["status"],
        "progress_percentage": now["progress_percentage"],
        "duration_seconds": (ended - began).total_seconds() if began and ended else None,
        "details": {"old_value": before["status"], "new_value": now["status"], **details},
    }


def _set_task(
    tx: Tx,
    kind: str,
    actor: Actor | None,
    task: Row[Any],
    run_id: str | None,
    values: Mapping[str, Any],
    **details: Any,
) -> None:
    batches.change(tx, tasks, [{"id": task.id, **values, "updated_at": tx.now}])
    data = news(task._asdict(), values, details)
    events.tell(
        tx, kind, actor, project_id=task.project_id, task_id=task.id, run_id=run_id, data=data
    )
