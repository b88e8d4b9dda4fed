"""Runs: the queue of processes that we start, each of a task or of its own."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Row,
    Table,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    true,
)

from db import projects
from db.actors import Actor
from db.clock import from_now
from db.engine import Moment, Tx
from db.errors import ResourceNotFound
from db.ids import new_id
from db.listing import Filter, Listing, sifted
from db.statements import Statement
from db.tables import runs, waiting
from db.types import Lane, RunnerName, RunStatus
from db.validation import whole_number

ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
HEAD_START = {
    Lane.HIGH: timedelta(minutes=30),
    Lane.NORMAL: timedelta(0),
    Lane.LOW: timedelta(minutes=-30),
}
HIGHEST_PRIORITY = 100
HEAD_START_PER_PRIORITY = timedelta(seconds=15)


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """True of runs in projects that the actor may see, and of the actor's own in none."""
    if actor.is_admin:
        return true()
    own = and_(runs.c.project_id.is_(None), runs.c.user_id == actor.id)
    return or_(own, projects.visible_to(actor, runs.c.project_id))


LISTING = Listing(
    table=runs,
    kept=true(),
    visible_to=visible_to,
    filters={
        "status": sifted(runs.c.status),
        "project_id": Filter(lambda value: runs.c.project_id == value),
        "task_id": Filter(lambda value: runs.c.task_id == value),
        "user_id": Filter(lambda value: runs.c.user_id == value),
        "commands_only": Filter(lambda value: runs.c.task_id.is_(None) == value),
    },
    orders={"enqueued_at": runs.c.enqueued_at},
    default_order="enqueued_at",
)


def places_ahead() -> ColumnElement[int]:
    """How many queued runs of the same lane are served before a run."""
    rank, run_id = waiting.c.rank, waiting.c.run_id
    sooner = or_(rank < runs.c.rank, and_(rank == runs.c.rank, run_id < runs.c.id))
    return (
        select(func.count())
        .where(waiting.c.lane == runs.c.lane, sooner)
        .correlate(runs)
        .scalar_subquery()
    )


def is_newest() -> ColumnElement[bool]:
    """True of the newest run of each task."""
    other = runs.alias("newer")
    newest = select(func.max(other.c.number)).where(other.c.task_id == runs.c.task_id)
    return runs.c.number == newest.correlate(runs).scalar_subquery()


def enqueue(tx: Tx, actor: Actor, **given: Any) -> str:
    """Put a run of no task into its lane; returns its id. What is given is as `row_of` has it."""
    run = row_of(tx, actor, **given)
    for statement in _ADD:
        tx.run(statement, run)
    tx.hint("runs")
    return str(run["id"])


def row_of(
    at: Moment,
    actor: Actor,
    *,
    command: str | None,
    runner: RunnerName,
    lane: Lane,
    priority: int = 0,
    task_id: str | None = None,
    project_id: str | None = None,
    working_directory: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: int | None = None,
    max_attempts: int = 1,
    number: int = 1,
    options: Mapping[str, Any] | None = None,
    agent_session_id: str | None = None,
) -> dict[str, Any]:
    """The columns of a run that is to be queued, but for those that the database sets.

    `rank` is when the run's turn would come without others: the time it was enqueued, less the
    head start of its lane and priority. The smallest rank is served first, so a run that has waited
    longer than a head start overtakes, and no order ever shifts while runs wait.
    """
    return {
        "id": new_id(),
        "task_id": task_id,
        "project_id": project_id,
        "user_id": actor.id,
        "bucket": project_id or actor.id,
        "runner": runner,
        "command": command,
        "working_directory": working_directory,
        "environment": dict(environment or {}),
        "options": dict(options or {}),
        "agent_session_id": agent_session_id,
        "timeout_seconds": timeout_seconds,
        "lane": lane,
        "priority": priority,
        "rank": rank_of(at.now, lane, priority),
        "status": RunStatus.QUEUED,
        "number": number,
        "attempt": 0,
        "max_attempts": max_attempts,
        "fence": 0,
        "enqueued_at": at.now,
        "last_seq": 0,
        "total_bytes": 0,
    }


def adding(*which: ColumnElement[bool]) -> tuple[Insert, Insert]:
    """What puts a run into the queue, if all of that is true: the run, and what it is claimed by.

    The parameters are named as `row_of` names them.
    """
    given = {name: bindparam(name, type_=runs.c[name].type) for name in _GIVEN}
    run = {**given, "due_at": from_now(0)}
    place = {"run_id": run["id"]} | {name: run[name] for name in _OF_PLACE}
    return _adding(runs, run, which), _adding(waiting, place, which)


def get(tx: Tx, actor: Actor, run_id: str) -> Row[Any]:
    """The run, if the actor may see it."""
    run = tx.first(select(runs).where(runs.c.id == run_id, visible_to(actor)))
    if not run:
        raise ResourceNotFound(resource="run", run_id=run_id)
    return run


def rank_of(enqueued_at: datetime, lane: Lane, priority: int) -> int:
    """When a run's turn would come without others, in microseconds since 1970."""
    head_start = HEAD_START[lane] + priority * HEAD_START_PER_PRIORITY
    return round((enqueued_at - head_start).timestamp() * 1_000_000)


def timeout(field: str, seconds: int | None) -> int | None:
    """A timeout within its bounds."""
    if seconds is None:
        return None
    return whole_number(field, seconds, least=1, most=projects.LONGEST_TIMEOUT_SECONDS)


def _adding(
    table: Table, row: Mapping[str, ColumnElement[Any]], which: Sequence[ColumnElement[bool]]
) -> Insert:
    return insert(table).from_select([*row], select(*row.values()).where(*which))


_GIVEN = (
    *("id", "task_id", "project_id", "user_id", "bucket", "runner", "command"),
    *("working_directory", "environment", "options", "agent_session_id", "timeout_seconds"),
    *("lane", "priority", "rank", "status", "number", "attempt", "max_attempts", "fence"),
    *("enqueued_at", "last_seq", "total_bytes"),
)
_OF_PLACE = ("task_id", "bucket", "lane", "rank", "due_at")
_ADD = [Statement(insert) for insert in adding()]
