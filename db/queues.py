"""Queues: what waits in each lane and how it goes; pause, resume, clear and reorder them."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Table,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)

from db import bulk, claims, events, lifecycle, standing, tasks
from db.actors import Actor
from db.bulk import Outcome
from db.clock import from_now
from db.engine import Tx
from db.errors import Invalid, TaskAlreadyRunning
from db.listing import seconds_between
from db.runs import rank_of
from db.tables import lanes, leases, members, runs, waiting, workers
from db.types import Lane, MemberRole, Permission, RunStatus
from db.validation import text

RECENT = timedelta(minutes=10)
"""What `performance` looks back on."""
LONGEST_PERIOD = timedelta(days=365)
PERCENTILES = (50, 95, 99)


def overview() -> Select[Any]:
    """A row a lane: what waits, what runs, what was completed today (UTC), whether it is paused."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = (runs.c.status == RunStatus.COMPLETED, runs.c.finished_at >= midnight)
    return select(
        lanes,
        _counted(waiting).label("size"),
        _counted(leases).label("processing"),
        _counted(runs, *today).label("completed_today"),
    )


def workforce() -> Select[Any]:
    """How many workers serve, and how many of them carry something out."""
    carries = exists().where(leases.c.worker_id == workers.c.id)
    total = func.count()
    active = total.filter(carries)
    counts: tuple[ColumnElement[Any], ...] = (
        active.label("active"),
        (total - active).label("idle"),
        total.label("total"),
    )
    return select(*counts).where(workers.c.seen_at > from_now(-claims.LEASE_SECONDS))


def depths() -> Select[Any]:
    """A row a lane: how many wait and since when, in seconds, and how many are carried out."""
    queued = runs.join(waiting, waiting.c.run_id == runs.c.id)
    oldest = select(func.min(runs.c.enqueued_at)).select_from(queued)
    oldest = oldest.where(waiting.c.lane == lanes.c.name).correlate(lanes)
    return select(
        lanes.c.name,
        _counted(waiting).label("waiting"),
        _counted(leases).label("running"),
        cast(seconds_between(oldest.scalar_subquery(), from_now(0)), Float).label("oldest_seconds"),
    )


def workers_seen() -> Select[Any]:
    """How many workers serve."""
    return (
        select(func.count())
        .select_from(workers)
        .where(workers.c.seen_at > from_now(-claims.LEASE_SECONDS))
    )


def performance() -> Select[Any]:
    """How runs went lately: how many ended a minute, how long they took, how many succeeded.

    Cancelled ones count for neither; where none ended, the last two are null.
    """
    completed = func.count().filter(runs.c.status == RunStatus.COMPLETED)
    took = seconds_between(runs.c.started_at, runs.c.finished_at)
    minutes = RECENT.total_seconds() / 60
    return select(
        (cast(func.count(), Float) / minutes).label("tasks_per_minute"),
        cast(func.avg(took), Float).label("average_processing_time"),
        (cast(completed, Float) / func.nullif(func.count(), 0)).label("success_rate"),
    ).where(_ended_after(datetime.now(UTC) - RECENT), runs.c.status != RunStatus.CANCELLED)


def metrics(since: datetime, *, by_lane: bool) -> Select[Any]:
    """How runs went that ended since then, a row a lane or one for all.

    `wait_p95` is in seconds: 95 % of them waited as long or shorter (nearest rank).
    """
    lane = runs.c.lane if by_lane else literal("all").label("lane")
    waited = seconds_between(runs.c.enqueued_at, runs.c.claimed_at)
    took = seconds_between(runs.c.started_at, runs.c.finished_at)
    ended = (
        select(
            lane.label("lane"),
            runs.c.status,
            *_ranked("wait", waited, lane),
            *_ranked("run", took, lane),
        )
        .where(_ended_after(since))
        .subquery()
    )
    return select(
        ended.c.lane,
        func.count().label("finished"),
        *(
            func.count().filter(ended.c.status == status).label(status)
            for status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
        ),
        *_spread("wait", ended.c),
        *_spread("run", ended.c),
    ).group_by(ended.c.lane)


def pause(tx: Tx, actor: Actor, lane: Lane, reason: str | None = None) -> None:
    """Let nothing of a lane be claimed any more; what runs goes on. It outlives restarts."""
    actor.must(Permission.ADMINISTER)
    reason = text("reason", reason, longest=2000) if reason is not None else None
    tx.enact(claims.queue_up(tx))
    _set(tx, lane, paused_at=tx.now, paused_reason=reason, paused_by=actor.id)
    events.tell(tx, "queue.paused", actor, data={"lane": lane, "reason": reason})


def resume(tx: Tx, actor: Actor, lane: Lane) -> None:
    """Let a lane be claimed again."""
    actor.must(Permission.ADMINISTER)
    _set(tx, lane, paused_at=None, paused_reason=None, paused_by=None)
    events.tell(tx, "queue.resumed", actor, data={"lane": lane})
    tx.hint("runs")


def clear(tx: Tx, actor: Actor, lane: Lane, *, confirm: bool) -> int:
    """Cancel what waits in a lane, as far as the actor may change it; returns how many runs.

    Raises `Invalid` unless it is confirmed.
    """
    actor.must(Permission.EXECUTE)
    if not confirm:
        raise Invalid("confirm", "Must be true: what is cleared does not come back")
    tx.enact(claims.queue_up(tx))
    queued = select(runs.c.id).join(waiting, waiting.c.run_id == runs.c.id)
    theirs = queued.where(waiting.c.lane == lane, _changeable_by(actor))
    run_ids = [row.id for row in tx.all(theirs)]
    cleared = lifecycle.cancel_queued(tx, actor, run_ids, "The queue was cleared")
    events.tell(tx, "queue.cleared", actor, data={"lane": lane, "count": cleared})
    return cleared


def prioritise(tx: Tx, actor: Actor, task_ids: Iterable[str], lane: Lane) -> Outcome:
    """Move the queued runs of tasks to a lane, each as if it had always waited there."""
    actor.must(Permission.EXECUTE)
    return bulk.each(tx, actor, task_ids, functools.partial(_move, lane=lane))


def _counted(table: Table, *which: ColumnElement[bool]) -> Any:
    counted = select(func.count()).select_from(table).where(*which, table.c.lane == lanes.c.name)
    return counted.correlate(lanes).scalar_subquery()


def _ended_after(since: datetime) -> ColumnElement[bool]:
    return runs.c.finished_at >= since


def _ranked(
    name: str, seconds: ColumnElement[float], lane: ColumnElement[str]
) -> Iterable[ColumnElement[Any]]:
    """A length of time, its place from the shortest on, and how many there are."""
    known = case((seconds.is_not(None), 0), else_=1)
    yield seconds.label(name)
    yield func.row_number().over(partition_by=lane, order_by=(known, seconds)).label(f"{name}_rank")
    yield func.count(seconds).over(partition_by=lane).label(f"{name}_count")


def _spread(name: str, ended: Any) -> Iterable[ColumnElement[Any]]:
    seconds, rank, count = ended[name], ended[f"{name}_rank"], ended[f"{name}_count"]
    yield cast(func.avg(seconds), Float).label(f"{name}_average")
    for percent in PERCENTILES:
        reached = rank * 100 >= count * percent
        yield cast(func.min(seconds).filter(reached), Float).label(f"{name}_p{percent}")
    yield cast(func.max(seconds), Float).label(f"{name}_longest")


def _set(tx: Tx, lane: Lane, **values: Any) -> None:
    tx.execute(update(lanes).where(lanes.c.name == lane).values(values))


def _changeable_by(actor: Actor) -> ColumnElement[bool]:
    if actor.is_admin:
        return true()
    theirs = (members.c.user_id == actor.id, members.c.role != MemberRole.VIEWER)
    mine = select(members.c.project_id).where(*theirs)
    return or_(
        runs.c.project_id.is_(None) & (runs.c.user_id == actor.id), runs.c.project_id.in_(mine)
    )


def _move(tx: Tx, actor: Actor, task_id: str, *, lane: Lane) -> None:
    task = tasks.get(tx, actor, task_id, changing=True)
    run = lifecycle.active_run(tx, task_id)
    if not run:
        raise Invalid("task_ids", "The task is not queued", task_id=task_id)
    values = {"lane": lane, "rank": rank_of(run.enqueued_at, lane, run.priority)}
    still_waits = (runs.c.id == run.id, runs.c.status == RunStatus.QUEUED)
    if tx.execute(update(runs).where(*still_waits).values(values)).rowcount == 0:
        raise TaskAlreadyRunning(task_id=task_id)
    tx.execute(update(waiting).where(waiting.c.run_id == run.id).values(values))
    standing.record_moved(tx, actor, task, run, lane)
