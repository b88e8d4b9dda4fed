"""Tasks: create, change, remove, execute, retry and cancel them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from db import adding, agents, events, lifecycle, projects, queueing, runs, search, standing, terms
from db.actors import Actor
from db.engine import Moment, Overtaken, Tx
from db.errors import (
    Invalid,
    ProjectLimitExceeded,
    ResourceInUse,
    TaskAlreadyRunning,
    TaskNotFound,
)
from db.ids import new_id
from db.listing import Filter, Listing, one_of, sifted
from db.queueing import Queued
from db.search import searched
from db.statements import Part, Statement, Writing
from db.tables import members, schedules, task_tags, tasks
from db.tables import projects as projects_table
from db.task_fields import valid
from db.types import Lane, Permission, RunnerName, TaskStatus
from db.validation import text
from db.words import Document

MOST_ADDED_AT_ONCE = 100
"""More than are ever being added by open transactions."""
SEARCHED = ("title", "description", "tags")
FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """True of tasks in projects that the actor may see."""
    return projects.visible_to(actor, tasks.c.project_id)


LISTING = Listing(
    table=tasks,
    kept=tasks.c.deleted_at.is_(None),
    visible_to=visible_to,
    one_visible_to=lambda actor: projects.one_visible_to(actor, tasks.c.project_id),
    filters={
        "project_id": Filter(lambda value: tasks.c.project_id == value),
        "status": sifted(tasks.c.status),
        "assigned_to": Filter(lambda value: tasks.c.assigned_to == value),
        "created_by": Filter(lambda value: tasks.c.created_by == value),
        "priority": Filter(lambda value: tasks.c.priority >= value),
        "tags": Filter(lambda value: tasks.c.id.in_(_tagged(value))),
        "search": searched(tasks.c.id, {field: field for field in SEARCHED}),
        "created_after": Filter(lambda value: tasks.c.created_at >= value),
        "created_before": Filter(lambda value: tasks.c.created_at < value),
    },
    orders={
        "created_at": tasks.c.created_at,
        "updated_at": tasks.c.updated_at,
        "priority": tasks.c.priority,
        "title": tasks.c.title,
    },
)


def create(tx: Tx, /, actor: Actor, *, project_id: str, title: str, **rest: Any) -> str:
    """Add a task to a project and return its id.

    Raises `ProjectLimitExceeded` when the project holds as many as it may.
    """
    return tx.enact(creating(tx, actor, project_id=project_id, title=title, **rest))


def creating(
    at: Moment, /, actor: Actor, *, project_id: str, title: str, **rest: Any
) -> Writing[str]:
    """The same, as a writing."""
    actor.must(Permission.WRITE)
    rows = yield _PROJECT, {"project": project_id, "actor": actor.id}
    found = rows[0] if rows else None
    project = projects.allowed(found, actor, project_id, changing=True)
    projects.check_active(project)
    yield from check_room(project, project.held)
    values = yield from valid(project_id, {"title": title} | rest)
    task_id = new_id()
    row = {
        "priority": 0,
        "tags": [],
        "metadata": {},
        **values,
        "id": task_id,
        "project_id": project_id,
        "status": TaskStatus.PENDING,
        "progress_percentage": 0,
        "created_by": actor.id,
        "created_at": at.now,
        "updated_at": at.now,
    }
    yield from add(at, actor, row)
    return task_id


def add(at: Moment, actor: Actor, task: Mapping[str, Any]) -> Writing[None]:
    """Write a new task, and tell of it."""
    initial = {"title": task["title"], "status": task["status"]}
    fact = _fact(
        "task.created", actor, task["project_id"], task["id"], task, {"initial_data": initial}
    )
    yield from adding.add(at, task, document_of(task), fact)


def change(tx: Tx, actor: Actor, task_id: str, changes: Mapping[str, Any]) -> None:
    """Set what `changes` names, and tell each change by itself.

    A status is the record's, not the process's: while a run is active it can't be set. Raises
    `TaskAlreadyRunning` then.
    """
    actor.must(Permission.WRITE)
    task = get(tx, actor, task_id, changing=True)
    values = tx.enact(valid(task.project_id, changes))
    changed = {field: value for field, value in values.items() if task._mapping[field] != value}
    if "status" in changed:
        if task.active_run_id:
            raise TaskAlreadyRunning(task_id=task_id)
        changed |= _moments(tx, task, changed["status"])
    if not changed:
        return
    where = [tasks.c.id == task_id]
    if "status" in changed:
        where.append(tasks.c.active_run_id.is_(None))
    write = update(tasks).where(*where).values(**changed, updated_at=tx.now)
    if tx.execute(write).rowcount == 0:
        raise Overtaken
    if "tags" in changed:
        tx.execute(delete(task_tags).where(task_tags.c.task_id == task_id))
        _tag(tx, task_id, changed["tags"])
    if not changed.keys().isdisjoint(SEARCHED):
        search.reindex(tx, task_id, document_of({**task._asdict(), **changed}))
    _tell_changes(tx, actor, task, changed)


def remove(tx: Tx, actor: Actor, task_id: str) -> datetime:
    """Delete a task softly; its history stays. Returns when. Raises `ResourceInUse` in a run."""
    actor.must(Permission.WRITE)
    task = get(tx, actor, task_id, changing=True)
    is_idle = (tasks.c.id == task_id, tasks.c.active_run_id.is_(None))
    gone = update(tasks).where(*is_idle).values(deleted_at=tx.now, updated_at=tx.now)
    if tx.execute(gone).rowcount == 0:
        raise ResourceInUse(task_id=task_id)
    tx.execute(delete(schedules).where(schedules.c.task_id == task_id))
    tell(tx, "task.deleted", actor, task.project_id, task_id, task._asdict())
    return tx.now


def execute(
    tx: Tx, /, actor: Actor, task_id: str, lane: Lane = Lane.NORMAL, options: Mapping[str, Any] = {}
) -> str:
    """Put a task into its lane; returns the id of its run.

    Options: `timeout` and `retry_delay` (seconds), `retry_attempts`, `runner`. Raises
    `TaskAlreadyRunning`, `TaskDependencyNotMet`.
    """
    return tx.enact(executing(tx, actor, task_id, lane, options))


def executing(
    at: Moment, /, actor: Actor, task_id: str, lane: Lane, options: Mapping[str, Any]
) -> Writing[str]:
    """The same, as a writing."""
    queued = yield from to_execute(at, actor, task_id, lane, options)
    return (yield from queueing.add(at, queued))


def to_execute(
    at: Moment, actor: Actor, task_id: str, lane: Lane, options: Mapping[str, Any]
) -> Writing[Queued]:
    """What is to be written when a task is executed."""
    actor.must(Permission.EXECUTE)
    task = yield from _found(_TASK_ON_TERMS, actor, task_id, changing=True)
    return (yield from _queued(at, actor, task, lane, options))


def to_retry(at: Moment, actor: Actor, task_id: str) -> Writing[Queued]:
    """What is to be written when a task is executed again that failed or was cancelled."""
    actor.must(Permission.EXECUTE)
    task = yield from _found(_TASK_ON_TERMS, actor, task_id, changing=True)
    if task.active_run_id:
        raise TaskAlreadyRunning(task_id=task_id)
    last = yield from lifecycle.last_run(task_id)
    if not last or task.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        raise Invalid(
            "status", "Only a failed or cancelled task can be retried", status=task.status
        )
    return (yield from _queued(at, actor, task, Lane(last.lane), last.options))


def cancel(tx: Tx, actor: Actor, task_id: str, reason: str | None = None) -> str | None:
    """Cancel a task: a queued run at once, a running one as soon as its worker has stopped it.

    Returns the id of the run. A task that has no active one is cancelled in the record. Raises
    `Invalid` for a task that has come to its end already.
    """
    actor.must(Permission.EXECUTE)
    task = get(tx, actor, task_id)
    project = projects.get(tx, actor, task.project_id, changing=True)
    reason = text("reason", reason, longest=2000) if reason is not None else None
    if run := lifecycle.active_run(tx, task_id):
        # What runs may be stopped whatever has become of its project.
        lifecycle.cancel(tx, actor, run, reason)
        return str(run.id)
    projects.check_active(project)
    # What ran when it was read may have ended since, and another one may have been begun.
    task = locked(tx, task_id)
    if task.active_run_id:
        raise Overtaken
    if task.status in FINAL:
        raise Invalid("status", "The task has come to its end already", status=task.status)
    standing.record_cancelled(tx, actor, task, reason)
    return None


def get(tx: Tx, actor: Actor, task_id: str, *, changing: bool = False) -> Row[Any]:
    """The task, if the actor may see it, and change it when that is meant."""
    return tx.enact(_found(_TASK, actor, task_id, changing=changing))


def locked(tx: Tx, task_id: str) -> Row[Any]:
    """The task as it is now, which nobody changes until we have committed."""
    return tx.execute(_LOCKED, {"id": task_id}).one()


def _found(
    statement: Statement, actor: Actor, task_id: str, *, changing: bool
) -> Writing[Row[Any]]:
    found = yield statement, {"task": task_id, "actor": actor.id}
    if not found or not (found[0].project_role or actor.is_admin):
        raise TaskNotFound(task_id=task_id)
    (task,) = found
    if changing:
        projects.check_change(actor, task.project_id, task.project_status, task.project_role)
    return task


def _queued(
    at: Moment, actor: Actor, task: Row[Any], lane: Lane, options: Mapping[str, Any]
) -> Writing[Queued]:
    if task.active_run_id:
        raise TaskAlreadyRunning(task_id=task.id)
    agreed = yield from terms.agreed(task, options)
    command = task._mapping["metadata"].get("command")
    runner = RunnerName(options.get("runner") or ("shell" if command else "claude"))
    if runner is RunnerName.SHELL and not (isinstance(command, str) and command.strip()):
        raise Invalid("metadata.command", "The shell runner needs a command")
    session = None
    if runner is RunnerName.CLAUDE:
        session = yield from agents.session_for(at, task, options)
    run = runs.row_of(
        at,
        actor,
        command=command if runner is RunnerName.SHELL else None,
        runner=runner,
        lane=lane,
        priority=task.priority,
        task_id=task.id,
        project_id=task.project_id,
        timeout_seconds=agreed.timeout_seconds,
        max_attempts=agreed.max_attempts,
        number=agreed.number,
        options=options,
        agent_session_id=session,
    )
    return Queued(run, *standing.queued(at, actor, task, run["id"], lane))


def check_room(project: Any, held: int, more: int = 1) -> Writing[None]:
    """Raises `ProjectLimitExceeded` when a project that held so many tasks can't hold more."""
    if project.max_tasks - held - more >= MOST_ADDED_AT_ONCE:
        return
    # Near its limit, tasks are added one after the other, so that it is exact.
    yield from projects.locking(project.id)
    [[held]] = yield _HELD, {"project": project.id}
    if held + more > project.max_tasks:
        raise ProjectLimitExceeded(project_id=project.id, max_tasks=project.max_tasks)


def document_of(task: Mapping[str, Any]) -> Document:
    """What can be searched of a task."""
    return [task["title"]], [task.get("description") or ""], task["tags"]


def tell(
    tx: Tx,
    kind: str,
    actor: Actor | None,
    project_id: str,
    task_id: str,
    task: Mapping[str, Any],
    **details: Any,
) -> None:
    """Record that something happened to a task, with what it is since."""
    events.tell_all(tx, [_fact(kind, actor, project_id, task_id, task, details)])


def _fact(
    kind: str,
    actor: Actor | None,
    project_id: str,
    task_id: str,
    task: Mapping[str, Any],
    details: Mapping[str, Any],
) -> events.Fact:
    data = {
        "title": task["title"],
        "status": task["status"],
        "progress_percentage": task["progress_percentage"],
        "details": details,
    }
    return events.Fact(kind=kind, actor=actor, project_id=project_id, task_id=task_id, data=data)


def _held(project_id: Any) -> Select[Any]:
    return select(func.count()).where(tasks.c.project_id == project_id, LISTING.kept)


def _tagged(values: Any) -> Select[Any]:
    return select(task_tags.c.task_id).where(one_of(task_tags.c.tag, values))


def _tag(tx: Tx, task_id: str, tags: Iterable[str]) -> None:
    if rows := [{"task_id": task_id, "tag": tag} for tag in tags]:
        tx.execute(insert(task_tags), rows)


def _moments(tx: Tx, task: Row[Any], status: TaskStatus) -> dict[str, Any]:
    """When a task that is set to a status by hand began and ended."""
    match status:
        case TaskStatus.PENDING:
            return {"started_at": None, "completed_at": None}
        case TaskStatus.RUNNING:
            return {"started_at": tx.now, "completed_at": None}
        case _:
            return {"started_at": task.started_at or tx.now, "completed_at": tx.now}


def _tell_changes(tx: Tx, actor: Actor, task: Row[Any], changed: Mapping[str, Any]) -> None:
    now = {**task._asdict(), **changed}
    for field, value in changed.items():
        if field in ("started_at", "completed_at"):
            continue
        details = {"field": field, "old_value": task._mapping[field], "new_value": value}
        tell(tx, "task.updated", actor, task.project_id, task.id, now, **details)


_of_project = projects_table.c
_PROJECT = Statement(
    projects.WITH_ROLE.with_only_columns(
        _of_project.id,
        _of_project.status,
        _of_project.max_tasks,
        members.c.role,
        _held(_of_project.id).correlate(projects_table).scalar_subquery().label("held"),
    ),
    Part.READS,
)
_with_project = (
    select(
        tasks,
        # None of a project that has been deleted.
        case((_of_project.deleted_at.is_(None), _of_project.status)).label("project_status"),
        members.c.role.label("project_role"),
    )
    .join(projects_table, _of_project.id == tasks.c.project_id)
    .outerjoin(
        members,
        (members.c.project_id == tasks.c.project_id) & (members.c.user_id == bindparam("actor")),
    )
    .where(tasks.c.id == bindparam("task"), LISTING.kept)
)
_TASK = Statement(_with_project, Part.READS)
_TASK_ON_TERMS = Statement(_with_project.add_columns(*terms.KNOWN), Part.READS)
_HELD = Statement(_held(bindparam("project")))
_LOCKED = select(tasks).where(tasks.c.id == bindparam("id")).with_for_update()
