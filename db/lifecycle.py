"""What happens to a run and to its task together: queued, started, finished, cancelled, lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select, bindparam, select, update

from db import events
from db.actors import Actor
from db.engine import Tx
from db.errors import Invalid
from db.tables import runs, task_dependencies, tasks
from db.types import DependencyType, Lane, RunStatus, TaskStatus

ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
EXIT_CODE_OF_CANCELLED = -15


@dataclass(frozen=True)
class Outcome:
    """How a run ended; its output's totals belong to it."""

    status: RunStatus
    exit_code: int | None
    error_code: str | None = None
    error_message: str | None = None
    may_retry: bool = True
    last_seq: int = 0
    total_bytes: int = 0
    sha256: str | None = None


def active_run(tx: Tx, task_id: str) -> Row[Any] | None:
    """The task's queued or running run."""
    return tx.first(select(runs).where(runs.c.task_id == task_id, runs.c.status.in_(ACTIVE)))


def last_run(tx: Tx, task_id: str) -> Row[Any] | None:
    """The task's newest run."""
    return tx.first(
        select(runs).where(runs.c.task_id == task_id).order_by(runs.c.number.desc()).limit(1)
    )


def unmet(task_id: str) -> Select[Any]:
    """The tasks that keep another from running; `task_id` names the parameter."""
    return (
        select(tasks.c.id)
        .join(task_dependencies, task_dependencies.c.depends_on_task_id == tasks.c.id)
        .where(
            task_dependencies.c.task_id == bindparam(task_id),
            task_dependencies.c.dependency_type == DependencyType.BLOCKS,
            tasks.c.status != TaskStatus.COMPLETED,
            tasks.c.deleted_at.is_(None),
        )
    )


def record_queued(tx: Tx, actor: Actor, task: Row[Any], run_id: str, lane: Lane) -> None:
    """A task whose run is queued is pending."""
    _set_task(
        tx,
        "task.queued",
        actor,
        task,
        run_id,
        {"status": TaskStatus.PENDING, "progress_percentage": 0, "started_at": None}
        | {"completed_at": None},
        lane=lane,
    )


def start(tx: Tx, run_id: str, fence: int, boot_id: str, pid: int, pid_started: int) -> bool:
    """Record the process of a claimed run, before it does anything. False for a stale fence."""
    run = _advance(
        tx, run_id, fence,
        {"boot_id": boot_id, "pid": pid, "pid_started": pid_started, "started_at": tx.now},
    )  # fmt: skip
    if not run:
        return False
    if task := _task_of(tx, run):
        values = {"status": TaskStatus.RUNNING, "started_at": tx.now, "completed_at": None}
        _set_task(tx, "task.started", None, task, run_id, values)
    else:
        _tell_run(tx, "run.started", None, run, pid=pid)
    return True


def finish(tx: Tx, run_id: str, fence: int, outcome: Outcome) -> bool:
    """Give a run its final state, or queue it again when it failed and may be tried again.

    False for a stale fence: then nothing is changed.
    """
    run = tx.first(select(runs).where(*_held(run_id, fence)))
    if not run:
        return False
    failed = outcome.status is RunStatus.FAILED and not run.cancel_asked_at
    if failed and outcome.may_retry and run.attempt < run.max_attempts:
        _requeue(tx, run, outcome)
        return True
    if run.cancel_asked_at and outcome.status is not RunStatus.COMPLETED:
        outcome = _as_cancelled(outcome, run.cancel_reason)
    _conclude(tx, run, outcome)
    return True


def cancel(tx: Tx, actor: Actor, run: Row[Any], reason: str | None) -> None:
    """Cancel a queued run at once; ask the worker of a running one to stop it.

    Raises `Invalid` for a run that has ended.
    """
    if run.status not in ACTIVE:
        raise Invalid("status", "The run has come to its end already", status=run.status)
    if run.status == RunStatus.QUEUED:
        outcome = Outcome(
            RunStatus.CANCELLED,
            exit_code=None,
            error_code="TASK_CANCELLED",
            error_message=reason,
            last_seq=run.last_seq,
            total_bytes=run.total_bytes,
        )
        tx.execute(update(runs).where(runs.c.id == run.id).values(fence=run.fence + 1))
        _conclude(tx, run, outcome, actor, cancel_reason=reason, cancel_asked_at=tx.now)
    elif not run.cancel_asked_at:
        asked = {"cancel_asked_at": tx.now, "cancel_reason": reason}
        tx.execute(update(runs).where(runs.c.id == run.id).values(asked))
        _tell_run(tx, "run.cancel_asked", actor, run, reason=reason)
        tx.hint(f"worker:{run.worker_id}")


def record_cancelled(tx: Tx, actor: Actor, task: Row[Any], reason: str | None) -> None:
    """Cancel a task that no process works on."""
    values = {"status": TaskStatus.CANCELLED, "completed_at": tx.now}
    _set_task(tx, "task.cancelled", actor, task, None, values, reason=reason)


def release(tx: Tx, run_id: str, fence: int) -> bool:
    """Hand a run back that its worker stopped for reasons of its own; the attempt does not count.

    What ran of its own, not for a task, is never run twice: it has failed.
    """
    run = tx.first(select(runs).where(*_held(run_id, fence)))
    if not run:
        return False
    if run.cancel_asked_at or not run.task_id:
        _conclude(tx, run, _lost(run))
    else:
        _requeue(tx, run, None)
    return True


def rescue(tx: Tx, run: Row[Any]) -> None:
    """Give a run whose worker is gone its next state."""
    outcome = _lost(run)
    if run.task_id and not run.cancel_asked_at and run.attempt < run.max_attempts:
        _requeue(tx, run, outcome)
    else:
        _conclude(tx, run, outcome)


def _lost(run: Row[Any]) -> Outcome:
    totals = {"last_seq": run.last_seq, "total_bytes": run.total_bytes, "sha256": run.sha256}
    if run.cancel_asked_at:
        cancelled = Outcome(RunStatus.CANCELLED, EXIT_CODE_OF_CANCELLED, **totals)
        return _as_cancelled(cancelled, run.cancel_reason)
    return Outcome(
        RunStatus.FAILED,
        None,
        "WORKER_LOST",
        "The worker that carried out the run is gone",
        **totals,
    )


def _as_cancelled(outcome: Outcome, reason: str | None) -> Outcome:
    return Outcome(
        RunStatus.CANCELLED,
        outcome.exit_code,
        "TASK_CANCELLED",
        reason,
        last_seq=outcome.last_seq,
        total_bytes=outcome.total_bytes,
        sha256=outcome.sha256,
    )


def _requeue(tx: Tx, run: Row[Any], outcome: Outcome | None) -> None:
    counted = outcome is not None
    values: dict[str, Any] = {
        "status": RunStatus.QUEUED,
        "fence": run.fence + 1,
        "attempt": run.attempt if counted else run.attempt - 1,
        "worker_id": None,
        "lease_until": None,
        "pid": None,
        "due_at": tx.now + (_pause_before(run.attempt + 1) if counted else timedelta(0)),
    }
    if outcome:
        values |= {"last_seq": outcome.last_seq, "total_bytes": outcome.total_bytes}
        values |= {"error_code": outcome.error_code, "error_message": outcome.error_message}
    tx.execute(update(runs).where(runs.c.id == run.id).values(values))
    if task := _task_of(tx, run):
        kind = "task.retrying" if counted else "task.released"
        error = outcome.error_message if outcome else None
        _set_task(tx, kind, None, task, run.id, {"status": TaskStatus.PENDING}, error=error)
    tx.hint("runs")


def _pause_before(attempt: int) -> timedelta:
    return timedelta(seconds=min(2.0 ** (attempt - 2), 300.0))


def _conclude(
    tx: Tx, run: Row[Any], outcome: Outcome, actor: Actor | None = None, **more: Any
) -> None:
    final = {
        "status": outcome.status,
        "finished_at": tx.now,
        "lease_until": None,
        "exit_code": outcome.exit_code,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "last_seq": outcome.last_seq,
        "total_bytes": outcome.total_bytes,
        "sha256": outcome.sha256,
    }
    tx.execute(update(runs).where(runs.c.id == run.id).values(final | more))
    if task := _task_of(tx, run):
        values: dict[str, Any] = {"status": TaskStatus(outcome.status), "completed_at": tx.now}
        if outcome.status is RunStatus.COMPLETED:
            values["progress_percentage"] = 100
        kind = f"task.{outcome.status}"
        _set_task(tx, kind, actor, task, run.id, values, **_ending(outcome))
    else:
        _tell_run(tx, f"run.{outcome.status}", actor, run, **_ending(outcome))
    # A slot is free: who waits for one should look.
    tx.hint("runs")


def _ending(outcome: Outcome) -> dict[str, Any]:
    return {
        "exit_code": outcome.exit_code,
        "error_code": outcome.error_code,
        "error": outcome.error_message,
    }


def _held(run_id: str, fence: int) -> tuple[Any, ...]:
    return runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING


def _advance(tx: Tx, run_id: str, fence: int, values: Mapping[str, Any]) -> Row[Any] | None:
    return tx.first(update(runs).where(*_held(run_id, fence)).values(values).returning(runs))


def _task_of(tx: Tx, run: Row[Any]) -> Row[Any] | None:
    return tx.first(select(tasks).where(tasks.c.id == run.task_id)) if run.task_id else None


def _set_task(
    tx: Tx,
    kind: str,
    actor: Actor | None,
    task: Row[Any],
    run_id: str | None,
    values: Mapping[str, Any],
    **details: Any,
) -> None:
    tx.execute(update(tasks).where(tasks.c.id == task.id).values(**values, updated_at=tx.now))
    now = dict(task._mapping) | dict(values)
    started_at, completed_at = now["started_at"], now["completed_at"]
    seconds = (completed_at - started_at).total_seconds() if started_at and completed_at else None
    data = {
        "title": now["title"],
        "status": now["status"],
        "progress_percentage": now["progress_percentage"],
        "duration_seconds": seconds,
        "details": {"old_value": task.status, "new_value": now["status"], **details},
    }
    events.tell(
        tx, kind, actor, project_id=task.project_id, task_id=task.id, run_id=run_id, data=data
    )


def _tell_run(tx: Tx, kind: str, actor: Actor | None, run: Row[Any], **data: Any) -> None:
    events.tell(tx, kind, actor, project_id=run.project_id, task_id=run.task_id, run_id=run.id,
                data=data)  # fmt: skip
