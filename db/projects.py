"""Projects: who may see them, and what may happen to them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Row,
    Select,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    true,
    union_all,
    update,
)

from db import events, search
from db.actors import Actor
from db.engine import Tx
from db.errors import (
    ProjectAccessDenied,
    ProjectArchived,
    ProjectNotFound,
    ResourceInUse,
)
from db.ids import new_id
from db.listing import Filter, Listing, as_read, one_of, seconds_between, sifted
from db.patches import patched
from db.search import searched
from db.statements import Statement, Writing
from db.tables import events as log
from db.tables import leases, members, projects, schedules, sessions, tasks, waiting
from db.types import MemberRole, Permission, ProjectStatus, TaskStatus
from db.validation import json_object, no_nulls, text, whole_number
from db.words import Document

DEFAULT_MAX_TASKS = 1000
DEFAULT_MAX_CONCURRENT_TASKS = 10
DEFAULT_STORAGE_LIMIT = "1GB"
LONGEST_TIMEOUT_SECONDS = 7 * 24 * 3600
MOST_RETRIES = 20
MOST_ACTIVITIES = 10
NO_STATISTICS = {
    "total_tasks": 0,
    **{f"{status}_tasks": 0 for status in TaskStatus},
    "completion_rate": 0.0,
    "average_task_duration": None,
}


def visible_to(actor: Actor, project_id: ColumnElement[str] = projects.c.id) -> ColumnElement[bool]:
    """True of rows whose project the actor may see: a member's, or any for an administrator."""
    if actor.is_admin:
        return true()
    mine = select(members.c.project_id).where(members.c.user_id == actor.id)
    return as_read(project_id).in_(mine)


def one_visible_to(
    actor: Actor, project_id: ColumnElement[str] = projects.c.id
) -> ColumnElement[bool]:
    """The same, by looking up one membership: a list is quicker when all are looked up at first."""
    if actor.is_admin:
        return true()
    # Of its key alone: for all columns SQLite goes from the index to the table.
    return exists(members.c.user_id).where(
        members.c.project_id == project_id, members.c.user_id == actor.id
    )


LISTING = Listing(
    table=projects,
    kept=projects.c.deleted_at.is_(None),
    visible_to=visible_to,
    one_visible_to=one_visible_to,
    filters={
        "status": sifted(projects.c.status),
        "created_by": Filter(lambda value: projects.c.created_by == value),
        "search": searched(projects.c.id, {"name": "title", "description": "description"}),
        "created_after": Filter(lambda value: projects.c.created_at >= value),
        "created_before": Filter(lambda value: projects.c.created_at < value),
    },
    orders={
        "name": projects.c.name,
        "created_at": projects.c.created_at,
        "updated_at": projects.c.updated_at,
    },
)


WITH_ROLE = (
    select(projects, members.c.role)
    .outerjoin(
        members,
        (members.c.project_id == projects.c.id) & (members.c.user_id == bindparam("actor")),
    )
    .where(projects.c.id == bindparam("project"), projects.c.deleted_at.is_(None))
)
"""A project, and the role in it of an actor."""


def statistics(project_ids: Any) -> Select[Any]:
    """Counts of tasks by status and how they go, a row a project that has tasks."""
    total = func.count()
    by_status = {
        status: func.count().filter(tasks.c.status == status).label(f"{status}_tasks")
        for status in TaskStatus
    }
    completed = by_status[TaskStatus.COMPLETED].element
    spent = func.avg(seconds_between(tasks.c.started_at, tasks.c.completed_at))
    return (
        select(
            tasks.c.project_id,
            total.label("total_tasks"),
            *by_status.values(),
            (cast(completed, Float) / cast(total, Float)).label("completion_rate"),
            cast(spent.filter(tasks.c.status == TaskStatus.COMPLETED), Float).label(
                "average_task_duration"
            ),
        )
        .where(one_of(tasks.c.project_id, project_ids), tasks.c.deleted_at.is_(None))
        .group_by(tasks.c.project_id)
    )


def recent_activity(project_ids: Any) -> Select[Any]:
    """The latest events of each of these projects, newest first."""
    newest_first = (log.c.tx.desc(), log.c.seq.desc())
    place = func.row_number().over(partition_by=log.c.project_id, order_by=newest_first)
    found = (
        select(
            log.c.project_id,
            log.c.at.label("timestamp"),
            func.replace(log.c.kind, ".", "_").label("action"),
            log.c.data["title"].as_string().label("task_title"),
            events.actor_name(log.c.actor_id).label("user_name"),
            place.label("place"),
        )
        .where(one_of(log.c.project_id, project_ids), log.c.kind != events.PROGRESSED)
        .subquery()
    )
    latest = found.c.place <= MOST_ACTIVITIES
    return select(found).where(latest).order_by(found.c.project_id, found.c.place)


def create(
    tx: Tx,
    /,
    actor: Actor,
    *,
    name: str,
    description: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resource_limits: Mapping[str, Any] | None = None,
) -> str:
    """Open a project that its creator owns; returns its id."""
    actor.must(Permission.WRITE)
    project_id = new_id()
    given = {} if settings is None else settings
    limits = {
        "max_tasks": DEFAULT_MAX_TASKS,
        "max_concurrent_tasks": DEFAULT_MAX_CONCURRENT_TASKS,
        "storage_limit": DEFAULT_STORAGE_LIMIT,
    } | _limits(resource_limits or {})
    values = limits | _valid({"name": name, "description": description, "settings": given})
    tx.execute(
        insert(projects),
        values
        | {
            "id": project_id,
            "status": ProjectStatus.ACTIVE,
            "created_by": actor.id,
            "created_at": tx.now,
            "updated_at": tx.now,
        },
    )
    search.index(tx, project_id, _document(values))
    add_member(tx, project_id, actor.id, MemberRole.OWNER)
    events.tell(tx, "project.created", actor, project_id=project_id, data={"name": values["name"]})
    return project_id


def change(tx: Tx, actor: Actor, project_id: str, changes: Mapping[str, Any]) -> None:
    """Set what `changes` names; an archived project takes nothing before another status."""
    actor.must(Permission.WRITE)
    lock(tx, project_id)
    project = get(tx, actor, project_id, changing=True)
    if _stays_archived(project, changes):
        raise ProjectArchived(project_id=project_id)
    values = _valid(changes)
    if "settings" in values:
        values["settings"] = json_object("settings", patched(project.settings, values["settings"]))
    tx.execute(
        update(projects).where(projects.c.id == project_id).values(**values, updated_at=tx.now)
    )
    if not values.keys().isdisjoint(("name", "description")):
        search.reindex(tx, project_id, _document({**project._asdict(), **values}))
    events.tell(tx, "project.updated", actor, project_id=project_id, data=_shown(values))


def set_defaults(
    tx: Tx, actor: Actor, project_id: str, retry_attempts: int | None, timeout: int | None
) -> None:
    """Set what tasks are executed with whose options say nothing else; null is nothing."""
    actor.must(Permission.WRITE)
    get_active(tx, actor, project_id)
    if retry_attempts is not None:
        whole_number("retry_attempts", retry_attempts, least=0, most=MOST_RETRIES)
    if timeout is not None:
        whole_number("timeout", timeout, least=1, most=LONGEST_TIMEOUT_SECONDS)
    values = {"default_retry_attempts": retry_attempts, "default_timeout_seconds": timeout}
    tx.execute(
        update(projects).where(projects.c.id == project_id).values(**values, updated_at=tx.now)
    )
    events.tell(tx, "project.updated", actor, project_id=project_id, data=values)


def remove(tx: Tx, actor: Actor, project_id: str) -> datetime:
    """Delete a project softly; returns when. Raises `ResourceInUse` while something runs in it."""
    actor.must(Permission.WRITE)
    # Whoever puts a run into it has done so by then, or finds it gone.
    tx.execute(select(projects.c.id).where(projects.c.id == project_id).with_for_update())
    get(tx, actor, project_id, changing=True)
    if tx.first(_ACTIVE, {"project": project_id}):
        raise ResourceInUse(project_id=project_id)
    tx.execute(update(projects).where(projects.c.id == project_id).values(deleted_at=tx.now))
    tx.execute(delete(schedules).where(schedules.c.project_id == project_id))
    tx.execute(update(sessions).where(sessions.c.project_id == project_id).values(project_id=None))
    events.tell(tx, "project.deleted", actor, project_id=project_id, data={})
    return tx.now


def get(tx: Tx, actor: Actor, project_id: str, *, changing: bool = False) -> Row[Any]:
    """The project, if the actor may see it, and change it when that is meant."""
    found = tx.first(WITH_ROLE, {"project": project_id, "actor": actor.id})
    project: Row[Any] = allowed(found, actor, project_id, changing=changing)
    return project


def allowed(project: Any, actor: Actor, project_id: str, *, changing: bool) -> Any:
    """What was found of a project, if the actor may see it, and change it when that is meant."""
    if not project or not (project.role or actor.is_admin):
        raise ProjectNotFound(project_id=project_id)
    if changing:
        _check_role(actor, project_id, project.role)
    return project


def get_active(tx: Tx, actor: Actor, project_id: str) -> Row[Any]:
    """The project, for changing what is in it. Raises `ProjectArchived` when it is read-only."""
    project = get(tx, actor, project_id, changing=True)
    check_active(project)
    return project


def staying(project_id: Any) -> Select[Any]:
    """The project, if it is not deleted, nor will be until we have committed."""
    is_there = projects.c.id == project_id, projects.c.deleted_at.is_(None)
    return select(projects.c.id).where(*is_there).with_for_update(read=True, key_share=True)


def check_change(actor: Actor, project_id: str, status: str | None, role: str | None) -> None:
    """Raises what keeps the actor, of this role in it, from changing what is in a project.

    Its status is None when it has been deleted.
    """
    if status is None:
        raise ProjectNotFound(project_id=project_id)
    _check_role(actor, project_id, role)
    _check_status(project_id, status)


def check_active(project: Row[Any]) -> None:
    """Raises `ProjectArchived` when the project is read-only."""
    _check_status(project.id, project.status)


def lock(tx: Tx, project_id: str) -> None:
    """Have others who lock this project wait until we have committed; on SQLite they do anyway."""
    tx.enact(locking(project_id))


def locking(project_id: str) -> Writing[None]:
    """The same, as a writing."""
    yield _LOCK, {"project": project_id}


def add_member(tx: Tx, project_id: str, user_id: str, role: MemberRole) -> None:
    """Let a user into a project."""
    tx.execute(
        insert(members),
        {"project_id": project_id, "user_id": user_id, "role": role, "created_at": tx.now},
    )


def _check_role(actor: Actor, project_id: str, role: str | None) -> None:
    if role == MemberRole.VIEWER and not actor.is_admin:
        raise ProjectAccessDenied(project_id=project_id, role=role)


def _check_status(project_id: str, status: str) -> None:
    if status == ProjectStatus.ARCHIVED:
        raise ProjectArchived(project_id=project_id)


def _stays_archived(project: Row[Any], changes: Mapping[str, Any]) -> bool:
    archived = ProjectStatus.ARCHIVED
    is_it = project.status == archived == changes.get("status", archived)
    return is_it and changes.keys() != {"status"}


def _document(project: Mapping[str, Any]) -> Document:
    return [project["name"]], [project["description"] or ""]


def _valid(values: Mapping[str, Any]) -> dict[str, Any]:
    no_nulls(values, but=("description",))
    found: dict[str, Any] = {}
    for field, value in values.items():
        match field:
            case "name":
                found[field] = text(field, value, shortest=1, longest=200)
            case "description":
                found[field] = text(field, value, longest=100_000) if value is not None else None
            case "settings":
                found[field] = json_object(field, value)
            case "status":
                found[field] = ProjectStatus(value)
            case "resource_limits":
                found |= _limits(value)
    return found


def _limits(limits: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, value in limits.items():
        if value is None:
            continue
        if field == "storage_limit":
            found[field] = text(f"resource_limits.{field}", value, shortest=1, longest=32)
        else:
            found[field] = whole_number(f"resource_limits.{field}", value, least=1, most=1_000_000)
    return found


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in values.items() if field != "description"}


# One statement: a run goes from one of these tables to the other at once.
_ACTIVE = union_all(
    *(
        select(queue.c.run_id).where(queue.c.bucket == bindparam("project"))
        for queue in (waiting, leases)
    )
).limit(1)
_LOCK = Statement(
    select(projects.c.id)
    .where(projects.c.id == bindparam("project"))
    .with_for_update(key_share=True)
)
