"""What happens to a run and to its task together: queued, started, finished, cancelled, lost."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Select, bindparam, select, update

from db import approvals, events, steps
from db.actors import Actor
from db.engine import Moment, Tx
from db.errors import Invalid
from db.listing import one_of
from db.statements import Part, Statement, Writing
from db.steps import LEASES, UNTOLD, WAITING, Step
from db.tables import runs, task_dependencies, tasks
from db.types import DependencyType, RunnerName, RunStatus, TaskStatus

ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
EXIT_CODE_OF_CANCELLED = -15
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


def last_run(task_id: str) -> Writing[Row[Any] | None]:
    """The task's newest run: its active one, if it has one."""
    return next(iter((yield _LAST, {"of": task_id})), None)


def unmet(task_id: str) -> Select[Any]:
    """The tasks that keep another from running; `task_id` names the parameter."""
    other = tasks.alias("other")
    # No join: while a table is small, or new, PostgreSQL would begin with all the tasks.
    status = select(other.c.status).where(
        other.c.id == task_dependencies.c.depends_on_task_id, other.c.deleted_at.is_(None)
    )
    return select(task_dependencies.c.depends_on_task_id.label("id")).where(
        task_dependencies.c.task_id == bindparam(task_id),
        task_dependencies.c.dependency_type == DependencyType.BLOCKS,
        status.scalar_subquery() != TaskStatus.COMPLETED,
    )


def record(at: Moment, reports: Sequence[Report]) -> Writing[set[str]]:
    """Write down how runs go, all at once; answers the runs of which it was accepted.

    A report of a run that was taken from its worker meanwhile, as its fence tells, changes nothing.
    """
    held: Mapping[str, Row[Any]] = {}
    if any(map(_depends, reports)):
        locked = yield from _locked([report.run_id for report in reports])
        held = {run.id: run for run in locked}
    steps = (_step(at, held.get(report.run_id), report) for report in reports)
    return (yield from _take(at, [step for step in steps if step]))


def cancel(tx: Tx, actor: Actor, run: Row[Any], reason: str | None) -> None:
    """Cancel a queued run at once; ask the worker of a running one to stop it.

    Raises `Invalid` for a run that has ended.
    """
    (run,) = tx.enact(_locked([run.id]))  # A worker may have claimed or finished it meanwhile.
    if run.status not in ACTIVE:
        raise Invalid("status", "The run has come to its end already", status=run.status)
    asked = {"cancel_asked_at": tx.now, "cancel_reason": reason}
    if run.status == RunStatus.QUEUED:
        tx.enact(_take(tx, [_cancelled(tx, actor, run, asked)]))
    elif not run.cancel_asked_at:
        tx.execute(update(runs).where(runs.c.id == run.id).values(asked))
        events.tell(tx, "run.cancel_asked", actor, project_id=run.project_id, task_id=run.task_id,
                    run_id=run.id, data={"reason": reason})  # fmt: skip
        tx.hint(f"worker:{run.worker_id}")


def cancel_queued(tx: Tx, actor: Actor, run_ids: list[str], reason: str) -> int:
    """Cancel those of these runs that still wait; returns how many they were."""
    asked = {"cancel_asked_at": tx.now, "cancel_reason": reason}
    locked = tx.enact(_locked(run_ids))
    waiting = [run for run in locked if run.status == RunStatus.QUEUED]
    tx.enact(_take(tx, [_cancelled(tx, actor, run, asked) for run in waiting]))
    return len(waiting)


def rescue(tx: Tx, run_ids: Iterable[str]) -> None:
    """Give runs whose worker is gone their next state."""
    locked = tx.enact(_locked(list(run_ids)))
    tx.enact(_take(tx, [_rescued(tx, run) for run in locked]))


def _depends(report: Report) -> bool:
    """Whether what comes of a report depends on more of the run than its fence."""
    if isinstance(report, Ended):
        return report.outcome.status is not RunStatus.COMPLETED
    return not isinstance(report, Begun)


def _step(at: Moment, run: Row[Any] | None, report: Report) -> Step | None:
    """What comes of a report; `run` is needed where it depends on it."""
    match report:
        case Begun():
            return _started(at, report)
        case Ended(run_id, fence, outcome) if outcome.status is RunStatus.COMPLETED:
            return _concluded(at, run_id, fence, outcome)
    if not run or run.fence != report.fence:
        return None
    match report:
        case Ended():
            return _ended(at, run, report.outcome)
        case Released():
            return _released(at, run)
        case Postponed():
            return _postponed(at, run, report.seconds)


def _started(at: Moment, begun: Begun) -> Step:
    identity = {"boot_id": begun.boot_id, "pid": begun.pid, "pid_started": begun.pid_started}
    return Step(
        begun.run_id,
        begun.fence,
        "started",
        {**identity, "started_at": at.now},
        {"status": TaskStatus.RUNNING, "started_at": at.now, "completed_at": None},
        details_of_command={"pid": begun.pid},
        is_first=True,
    )


def _ended(at: Moment, run: Row[Any], outcome: Outcome) -> Step:
    outcome = _with_what_is_recorded(run, outcome)
    failed = outcome.status is RunStatus.FAILED and not run.cancel_asked_at
    if failed and outcome.may_retry and run.attempt < run.max_attempts:
        return _retried(run, outcome)
    if run.cancel_asked_at:
        outcome = _as_cancelled(outcome, run.cancel_reason)
    return _concluded(at, run.id, run.fence, outcome)


def _with_what_is_recorded(run: Row[Any], outcome: Outcome) -> Outcome:
    """Who does not know how it ended does not know either what it had printed by then."""
    return replace(
        outcome,
        last_seq=max(outcome.last_seq, run.last_seq),
        total_bytes=max(outcome.total_bytes, run.total_bytes),
    )


def _released(at: Moment, run: Row[Any]) -> Step:
    """The attempt does not count; but what was begun and is no task's is never run twice."""
    if run.cancel_asked_at or not (run.task_id or run.pid is None):
        return _concluded(at, run.id, run.fence, _lost(run))
    return _queued(run, "released", {"attempt": run.attempt - 1}, pause_seconds=0)


def _postponed(at: Moment, run: Row[Any], seconds: float) -> Step:
    """As if it had never been claimed: nothing is told of it."""
    if run.cancel_asked_at:
        return _concluded(at, run.id, run.fence, _lost(run))
    return _queued(run, UNTOLD, {"attempt": run.attempt - 1}, pause_seconds=seconds)


def _rescued(at: Moment, run: Row[Any]) -> Step:
    if run.pid is None and not run.cancel_asked_at:
        return _released(at, run)  # Nothing of it has been begun.
    if run.task_id and not run.cancel_asked_at and run.attempt < run.max_attempts:
        return _retried(run, _lost(run))
    return _concluded(at, run.id, run.fence, _lost(run))


def _retried(run: Row[Any], outcome: Outcome) -> Step:
    totals = {"last_seq": outcome.last_seq, "total_bytes": outcome.total_bytes}
    error = {"error_code": outcome.error_code, "error_message": outcome.error_message}
    step = _queued(run, "retrying", totals | error, pause_seconds=_pause_after(run))
    return step._replace(details={"error": outcome.error_message})


def _queued(run: Row[Any], word: str, values: Mapping[str, Any], *, pause_seconds: float) -> Step:
    # What it was granted is granted anew: until then it would keep it from others.
    nobodys = {"worker_id": None, "pid": None, "started_at": None, "granted_micros": None}
    return Step(
        run.id,
        run.fence,
        word,
        {"status": RunStatus.QUEUED, "fence": run.fence + 1, **nobodys, **values},
        {"status": TaskStatus.PENDING, "started_at": None},
        leaves=LEASES,
        pause_seconds=pause_seconds,
    )


def _concluded(
    at: Moment, run_id: str, fence: int, outcome: Outcome, more: Mapping[str, Any] = {}
) -> Step:
    done = {"progress_percentage": 100} if outcome.status is RunStatus.COMPLETED else {}
    final: dict[str, Any] = {
        "status": outcome.status,
        "fence": fence + 1,
        "finished_at": at.now,
        "exit_code": outcome.exit_code,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "last_seq": outcome.last_seq,
        "total_bytes": outcome.total_bytes,
        "sha256": outcome.sha256,
    }
    return Step(
        run_id,
        fence,
        outcome.status,
        {**final, **more},
        {
            "status": TaskStatus(outcome.status),
            "completed_at": at.now,
            "active_run_id": None,
            **done,
        },
        {
            "exit_code": outcome.exit_code,
            "error_code": outcome.error_code,
            "error": outcome.error_message,
        },
        leaves=LEASES,
    )


def _cancelled(at: Moment, actor: Actor, run: Row[Any], asked: Mapping[str, Any]) -> Step:
    outcome = _as_cancelled(_so_far(run), asked["cancel_reason"])
    return _concluded(at, run.id, run.fence, outcome, asked)._replace(actor=actor, leaves=WAITING)


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


def _locked(run_ids: list[str]) -> Writing[Sequence[Row[Any]]]:
    """These runs; nobody else changes them before we have committed."""
    return (yield _LOCKED, {"ids": run_ids})


def _take(at: Moment, wanted: Sequence[Step]) -> Writing[set[str]]:
    """Take steps; answers the runs that have taken theirs."""
    taken = yield from steps.take(at, wanted)
    runners = {run.run_id: run.runner for run in taken}
    ended = [step.run_id for step in wanted if "finished_at" in step.values]
    if agents := [run_id for run_id in ended if runners.get(run_id) == RunnerName.CLAUDE]:
        yield from approvals.close(at, agents)
    words = {step.word for step in wanted if step.run_id in runners}
    if RunStatus.COMPLETED in words:
        at.hint("completed")
    if words - {"started"}:
        # A slot is free, or a run waits for one: who can claim should look.
        at.hint("runs")
    return set(runners)


_OF_RUN = (
    *("id", "task_id", "project_id", "status", "fence", "attempt", "max_attempts", "options"),
    *("worker_id", "pid", "cancel_asked_at", "cancel_reason", "last_seq", "total_bytes", "sha256"),
)
_LOCKED = Statement(
    select(*(runs.c[name] for name in _OF_RUN))
    .where(one_of(runs.c.id, bindparam("ids")))
    # Always in this order, so that two that need the same runs never wait for each other.
    .order_by(runs.c.id)
    .with_for_update()
)
_ACTIVE = (
    select(runs)
    .join(tasks, tasks.c.active_run_id == runs.c.id)
    .where(tasks.c.id == bindparam("of"))
)
_LAST = Statement(
    select(runs).where(runs.c.task_id == bindparam("of")).order_by(runs.c.number.desc()).limit(1),
    Part.READS,
)
