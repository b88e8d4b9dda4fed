"""How runs get into the queue: at once on PostgreSQL, where each statement is a journey."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, func, select, tuple_, update

from db import events, projects, runs, standing
from db.adding import named
from db.engine import Moment, Overtaken, Tx
from db.errors import QueueFull
from db.events import Fact
from db.listing import seconds_between
from db.statements import Part, Statement, Writing
from db.tables import events as log
from db.tables import lanes, leases, tasks, waiting, workers
from db.tables import runs as run_rows
from db.types import Lane

MOST_ADDED_AT_ONCE = 100
"""More than are ever being enqueued by open transactions."""
RUNS_TO_ESTIMATE_BY = 50


@dataclass(frozen=True)
class Queued:
    """A task's new run, what its task is since, and what is told of it."""

    run: Mapping[str, Any]
    task: Mapping[str, Any]
    fact: Fact


@dataclass(frozen=True)
class Place:
    """Where in the queue a run is, and when its turn should come."""

    run_id: str
    task_id: str
    number: int
    position: int
    estimated_start_at: datetime


def add(at: Moment, queued: Queued) -> Writing[str]:
    """Put a task's run into its lane; returns its id.

    Raises `Overtaken` when the task has been executed, or it or its project deleted, since it was
    read.
    """
    fact = queued.fact
    values = {
        **queued.run,
        **named(tasks, queued.task),
        **named(log, events.row_of(at, fact)),
    }
    if at.dialect_name == "postgresql":
        if not (yield _AT_ONCE, values):
            raise Overtaken
    else:
        for statement in _ONE_BY_ONE:
            yield statement, values
    events.hint(at, fact)
    at.hint("runs")
    return str(queued.run["id"])


def place(
    at: Moment, most: int, prepare: Callable[..., Writing[Queued]], *args: Any
) -> Writing[Place]:
    """Put the run that is prepared into its lane, and say where it is there.

    The estimate is by how long runs took lately. Raises `QueueFull` when more than `most` would
    wait in the lane, and what `add` raises.
    """
    queued = yield from prepare(at, *args)
    run = queued.run
    [known] = yield _PLACE, {"lane": run["lane"], "rank": run["rank"], "id": run["id"]}
    yield from _check_room(run["lane"], most, known.waiting, more=1)
    yield from add(at, queued)
    starts_at = at.now + _wait(known)
    return Place(run["id"], run["task_id"], run["number"], known.ahead + 1, starts_at)


def bounded(tx: Tx, most: int, unit: Callable[..., str], /, *args: Any, **kwargs: Any) -> str:
    """Enqueue a run by `unit`. Raises `QueueFull` when more than `most` then wait in its lane."""
    run_id = unit(tx, *args, **kwargs)
    [lane] = tx.run(_LANE, {"run": run_id})
    tx.enact(_check_room(lane.name, most, lane.waiting, more=0))
    return run_id


def _check_room(lane: Lane, most: int, waiting: int, *, more: int) -> Writing[None]:
    if most - waiting - more >= MOST_ADDED_AT_ONCE:
        return
    # Near the limit, runs are enqueued one after the other, so that it is exact.
    yield _LOCK, {"lane": lane}
    [[waiting]] = yield _WAITING, {"lane": lane}
    if waiting + more > most:
        raise QueueFull(queue=lane, max_size=most)


def _wait(known: Row[Any]) -> timedelta:
    """How long the runs ahead take, by the latest run times, on the slots there are."""
    slots = max(known.slots, 1)
    rounds = max(known.ahead + known.busy - slots + 1, 0) / slots
    return timedelta(seconds=float(known.mean or 0) * rounds)


_CHANGED = (
    *("status", "progress_percentage", "started_at", "completed_at", "active_run_id"),
    "updated_at",
)
_change_task = (
    update(tasks)
    .where(
        tasks.c.id == bindparam("tasks_id"),
        tasks.c.active_run_id.is_(None),
        tasks.c.deleted_at.is_(None),
        projects.staying(tasks.c.project_id).exists(),
    )
    .values({name: bindparam(f"tasks_{name}", type_=tasks.c[name].type) for name in _CHANGED})
)
_ONE_BY_ONE = tuple(map(Statement, (standing.telling(_CHANGED), _change_task, *runs.adding())))
_task = _change_task.returning(tasks.c.id).cte("task")
_is_ours = select(_task.c.id).exists()
_run, _place = runs.adding(_is_ours)
_all = select(_task.c.id).add_cte(
    _run.cte("run"), _place.cte("place"), standing.telling(_CHANGED, _is_ours).cte("event")
)
_AT_ONCE = Statement(_all, Part.IS_ALL)

_waiting = select(func.count()).select_from(waiting).where(waiting.c.lane == bindparam("lane"))
_rank = bindparam("rank", type_=waiting.c.rank.type)
_id = bindparam("id", type_=waiting.c.run_id.type)
_sooner = tuple_(waiting.c.rank, waiting.c.run_id) < tuple_(_rank, _id)
_head = (
    select(waiting.c.run_id)
    .where(waiting.c.lane == bindparam("lane"))
    .order_by(waiting.c.rank, waiting.c.run_id)
    .limit(1)
)
# Of the runs before those that wait, for these have taken no time yet. Ids are in order of time.
_lately = (
    select(seconds_between(run_rows.c.started_at, run_rows.c.finished_at).label("seconds"))
    .where(run_rows.c.id < func.coalesce(_head.scalar_subquery(), _id))
    .order_by(run_rows.c.id.desc())
    .limit(RUNS_TO_ESTIMATE_BY)
    .subquery()
)
_PLACE = Statement(
    select(
        _waiting.scalar_subquery().label("waiting"),
        _waiting.where(_sooner).scalar_subquery().label("ahead"),
        select(func.avg(_lately.c.seconds)).scalar_subquery().label("mean"),
        select(func.count()).select_from(leases).scalar_subquery().label("busy"),
        select(func.coalesce(func.sum(workers.c.concurrency), 0)).scalar_subquery().label("slots"),
    ),
    Part.READS,
)
_WAITING = Statement(_waiting, Part.READS)
_own = run_rows.alias("own")
_LANE = Statement(
    select(
        _own.c.lane.label("name"),
        select(func.count())
        .select_from(waiting)
        .where(waiting.c.lane == _own.c.lane)
        .scalar_subquery()
        .label("waiting"),
    ).where(_own.c.id == bindparam("run"))
)
_LOCK = Statement(select(lanes.c.name).where(lanes.c.name == bindparam("lane")).with_for_update())
