"""What happens to a run and to its task together: queued, started, finished, cancelled, lost."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, Select, bindparam, literal_column, select, update

from db import approvals, batches, events, standing
from db.actors import Actor
from db.clock import from_now
from db.engine import Tx
from db.errors import Invalid
from db.events import Fact
from db.listing import one_of
from db.statements import Statement
from db.tables import runs, task_dependencies, tasks
from db.types import DependencyType, RunnerName, RunStatus, TaskStatus

ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
# Spelled out, not parameters: only so are partial indexes used.
IS_RUNNING = runs.c.status == literal_column("'running'")
IS_ACTIVE = runs.c.status.in_([literal_column("'queued'"), literal_column("'running'")])
EXIT_CODE_OF_CANCELLED = -15
UNTOLD = ""
RETRY_DELAY_SECONDS = 1.0
LONGEST_RETRY_DELAY_SECONDS = 300.0


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


@dataclass(frozen=True)
class Begun:
    """The process of a claimed run is there, and waits for its beginning to be on record."""

    run_id: str
    fence: int
    boot_id: str
    pid: int
    pid_started: int


@dataclass(frozen=True)
class Ended:
    """A run has come to its end."""

    run_id: str
    fence: int
    outcome: Outcome


@dataclass(frozen=True)
class Released:
    """A worker stopped a run for reasons of its own, and hands it back."""

    run_id: str
    fence: int


@dataclass(frozen=True)
class Postponed:
    """A run can't begin yet: it goes back to the queue for a while."""

    run_id: str
    fence: int
    seconds: float


Report = Begun | Ended | Released | Postponed


def active_run(tx: Tx, task_id: str) -> Row[Any] | None:
    """The task's queued or running run."""
    return tx.first(_ACTIVE, {"of": task_id})


def last_run(tx: Tx, task_id: str) -> Row[Any] | None:
    """The task's newest run."""
    return tx.first(_LAST, {"of": task_id})


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


def record(tx: Tx, reports: Sequence[Report]) -> set[str]:
    """Write down how runs go, all at once; answers the runs of which it was accepted.

    A report of a run that was taken from its worker meanwhile, as its fence tells, changes nothing.
    """
    if not reports:
        return set()
    held = {run.id: run for run in _locked(tx, [report.run_id for report in reports])}
    steps = []
    for report in reports:
        run = held.get(report.run_id)
        if run and run.status == RunStatus.RUNNING and run.fence == report.fence:
            del held[run.id]
            steps.append(_step(tx, run, report))
    _take(tx, steps)
    return {step.run.id for step in steps}


def cancel(tx: Tx, actor: Actor, run: Row[Any], reason: str | None) -> None:
    """Cancel a queued run at once; ask the worker of a running one to stop it.

    Raises `Invalid` for a run that has ended.
    """
    (run,) = _locked(tx, [run.id])  # A worker may have claimed or finished it meanwhile.
    if run.status not in ACTIVE:
        raise Invalid("status", "The run has come to its end already", status=run.status)
    asked = {"cancel_asked_at": tx.now, "cancel_reason": reason}
    if run.status == RunStatus.QUEUED:
        _take(tx, [_cancelled(tx, actor, run, asked)])
    elif not run.cancel_asked_at:
        tx.execute(update(runs).where(runs.c.id == run.id).values(asked))
        events.tell(tx, "run.cancel_asked", actor, project_id=run.project_id, task_id=run.task_id,
                    run_id=run.id, data={"reason": reason})  # fmt: skip
        tx.hint(f"worker:{run.worker_id}")


def cancel_queued(tx: Tx, actor: Actor, run_ids: list[str], reason: str) -> int:
    """Cancel those of these runs that still wait; returns how many they were."""
    asked = {"cancel_asked_at": tx.now, "cancel_reason": reason}
    waiting = [run for run in _locked(tx, run_ids) if run.status == RunStatus.QUEUED]
    _take(tx, [_cancelled(tx, actor, run, asked) for run in waiting])
    return len(waiting)


def rescue(tx: Tx, run_ids: Iterable[str]) -> None:
    """Give runs whose worker is gone their next state."""
    _take(tx, [_rescued(tx, run) for run in _locked(tx, list(run_ids))])


@dataclass(frozen=True)
class _Step:
    """What comes next for a run and its task, and what is told of it."""

    run: Row[Any]
    word: str
    values: Mapping[str, Any]
    task_values: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    actor: Actor | None = None
    pause_seconds: float | None = None

    @property
    def has_ended_an_agent(self) -> bool:
        return "finished_at" in self.values and self.run.runner == RunnerName.CLAUDE


def _step(tx: Tx, run: Row[Any], report: Report) -> _Step:
    match report:
        case Begun():
            return _started(tx, run, report)
        case Ended():
            return _ended(tx, run, report.outcome)
        case Released():
            return _released(tx, run)
        case Postponed():
            return _postponed(tx, run, report.seconds)


def _started(tx: Tx, run: Row[Any], begun: Begun) -> _Step:
    identity = {"boot_id": begun.boot_id, "pid": begun.pid, "pid_started": begun.pid_started}
    return _Step(
        run,
        "started",
        {**identity, "started_at": tx.now},
        {"status": TaskStatus.RUNNING, "started_at": tx.now, "completed_at": None},
        {} if run.task_id else {"pid": begun.pid},
    )


def _ended(tx: Tx, run: Row[Any], outcome: Outcome) -> _Step:
    failed = outcome.status is RunStatus.FAILED and not run.cancel_asked_at
    if failed and outcome.may_retry and run.attempt < run.max_attempts:
        return _retried(run, outcome)
    if run.cancel_asked_at and outcome.status is not RunStatus.COMPLETED:
        outcome = _as_cancelled(outcome, run.cancel_reason)
    return _concluded(tx, run, outcome)


def _released(tx: Tx, run: Row[Any]) -> _Step:
    """The attempt does not count; but what was begun and is no task's is never run twice."""
    if run.cancel_asked_at or not (run.task_id or run.pid is None):
        return _concluded(tx, run, _lost(run))
    return _queued(run, "released", {"attempt": run.attempt - 1}, pause_seconds=0)


def _postponed(tx: Tx, run: Row[Any], seconds: float) -> _Step:
    """As if it had never been claimed: nothing is told of it."""
    if run.cancel_asked_at:
        return _concluded(tx, run, _lost(run))
    return _queued(run, UNTOLD, {"attempt": run.attempt - 1}, pause_seconds=seconds)


def _rescued(tx: Tx, run: Row[Any]) -> _Step:
    if run.pid is None and not run.cancel_asked_at:
        return _released(tx, run)  # Nothing of it has been begun.
    if run.task_id and not run.cancel_asked_at and run.attempt < run.max_attempts:
        return _retried(run, _lost(run))
    return _concluded(tx, run, _lost(run))


def _retried(run: Row[Any], outcome: Outcome) -> _Step:
    totals = {"last_seq": outcome.last_seq, "total_bytes": outcome.total_bytes}
    error = {"error_code": outcome.error_code, "error_message": outcome.error_message}
    step = _queued(run, "retrying", totals | error, pause_seconds=_pause_after(run))
    return replace(step, details={"error": outcome.error_message})


def _queued(run: Row[Any], word: str, values: Mapping[str, Any], *, pause_seconds: float) -> _Step:
    nobodys = {"worker_id": None, "lease_until": None, "pid": None, "started_at": None}
    return _Step(
        run,
        word,
        {"status": RunStatus.QUEUED, "fence": run.fence + 1, **nobodys, **values},
        {"status": TaskStatus.PENDING, "started_at": None},
        pause_seconds=pause_seconds,
    )


def _concluded(tx: Tx, run: Row[Any], outcome: Outcome, more: Mapping[str, Any] = {}) -> _Step:
    done = {"progress_percentage": 100} if outcome.status is RunStatus.COMPLETED else {}
    final: dict[str, Any] = {
        "status": outcome.status,
        "fence": run.fence + 1,
        "finished_at": tx.now,
        "lease_until": None,
        "exit_code": outcome.exit_code,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "last_seq": outcome.last_seq,
        "total_bytes": outcome.total_bytes,
        "sha256": outcome.sha256,
    }
    return _Step(
        run,
        outcome.status,
        {**final, **more},
        {"status": TaskStatus(outcome.status), "completed_at": tx.now, **done},
        {
            "exit_code": outcome.exit_code,
            "error_code": outcome.error_code,
            "error": outcome.error_message,
        },
    )


def _cancelled(tx: Tx, actor: Actor, run: Row[Any], asked: Mapping[str, Any]) -> _Step:
    outcome = _as_cancelled(_so_far(run), asked["cancel_reason"])
    return replace(_concluded(tx, run, outcome, asked), actor=actor)


def _pause_after(run: Row[Any]) -> float:
    """Seconds to wait before the next try: twice as long each time, and not all at one moment."""
    first = run.options.get("retry_delay") or RETRY_DELAY_SECONDS
    pause: float = min(first * 2.0 ** (run.attempt - 1), LONGEST_RETRY_DELAY_SECONDS)
    return pause * random.uniform(0.5, 1.0)


def _lost(run: Row[Any]) -> Outcome:
    so_far = _so_far(run)
    if run.cancel_asked_at:
        return _as_cancelled(replace(so_far, exit_code=EXIT_CODE_OF_CANCELLED), run.cancel_reason)
    gone = "The worker that carried out the run is gone"
    return replace(so_far, error_code="WORKER_LOST", error_message=gone)


def _so_far(run: Row[Any]) -> Outcome:
    return Outcome(
        RunStatus.FAILED,
        exit_code=None,
        last_seq=run.last_seq,
        total_bytes=run.total_bytes,
        sha256=run.sha256,
    )


def _as_cancelled(outcome: Outcome, reason: str | None) -> Outcome:
    return replace(
        outcome, status=RunStatus.CANCELLED, error_code="TASK_CANCELLED", error_message=reason
    )


def _locked(tx: Tx, run_ids: list[str]) -> Sequence[Row[Any]]:
    """These runs, each with its task; nobody else changes them before we have committed."""
    return tx.run(_LOCKED, {"ids": run_ids})


def _take(tx: Tx, steps: Sequence[_Step]) -> None:
    """Write these steps: one statement for each table, however many they are."""
    if not steps:
        return
    batches.change(tx, runs, [{"id": step.run.id, **step.values} for step in steps])
    if delayed := [step for step in steps if step.pause_seconds is not None]:
        pauses = [{"key": step.run.id, "pause": step.pause_seconds} for step in delayed]
        tx.execute(_UPDATE_DUE, pauses)
    of_tasks = [step for step in steps if step.run.task_id]
    told = {"updated_at": tx.now}
    batches.change(
        tx, tasks, [{"id": step.run.task_id, **step.task_values, **told} for step in of_tasks]
    )
    events.tell_all(tx, [_fact(step) for step in steps if step.word != UNTOLD])
    if ended := [step.run.id for step in steps if step.has_ended_an_agent]:
        approvals.close(tx, ended)
    if any(step.word == RunStatus.COMPLETED for step in steps):
        tx.hint("completed")
    if any(step.word != "started" for step in steps):
        # A slot is free, or a run waits for one: who can claim should look.
        tx.hint("runs")


def _fact(step: _Step) -> Fact:
    run = step.run
    if run.task_id:
        before = {name: getattr(run, f"task_{name}") for name in _OF_TASK}
        data = standing.news(before, step.task_values, step.details)
    else:
        data = dict(step.details)
    return Fact(
        kind=f"{'task' if run.task_id else 'run'}.{step.word}",
        actor=step.actor,
        project_id=run.project_id,
        task_id=run.task_id,
        run_id=run.id,
        data=data,
    )


_OF_TASK = ("title", "status", "progress_percentage", "started_at", "completed_at")
_OF_RUN = (
    *("id", "task_id", "project_id", "runner", "status", "fence", "attempt", "max_attempts"),
    *("options", "worker_id", "pid", "cancel_asked_at", "cancel_reason", "last_seq"),
    *("total_bytes", "sha256"),
)
_LOCKED = Statement(
    select(
        *(runs.c[name] for name in _OF_RUN),
        *(tasks.c[name].label(f"task_{name}") for name in _OF_TASK),
    )
    .outerjoin(tasks, tasks.c.id == runs.c.task_id)
    .where(one_of(runs.c.id, bindparam("ids")))
    # Always in this order, so that two that need the same runs never wait for each other.
    .order_by(runs.c.id)
    .with_for_update(of=runs)
)
_ACTIVE = select(runs).where(runs.c.task_id == bindparam("of"), IS_ACTIVE)
_LAST = (
    select(runs).where(runs.c.task_id == bindparam("of")).order_by(runs.c.number.desc()).limit(1)
)
_UPDATE_DUE = update(runs).where(runs.c.id == bindparam("key")).values(due_at=from_now("pause"))
