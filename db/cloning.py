"""Copies of projects: a fresh start with what is to be done, not with what was."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, insert, select

from db import projects, tasks
from db.actors import Actor
from db.engine import Tx
from db.errors import ResourceLimitExceeded
from db.ids import new_id
from db.tables import task_dependencies
from db.tables import tasks as task_rows
from db.types import TaskStatus

MOST_TASKS = 10_000
COPIED = (
    "title",
    "description",
    "priority",
    "estimated_seconds",
    "tags",
    "metadata",
    "auto_start",
)


def clone(
    tx: Tx,
    /,
    actor: Actor,
    project_id: str,
    *,
    name: str,
    include_tasks: bool = False,
    include_settings: bool = True,
) -> str:
    """Copy a project that the actor may see; returns the copy's id. Its owner is the actor alone.

    The settings go with the limits. The tasks go with what depends on what, all of them pending,
    and assigned to nobody else. Raises `ResourceLimitExceeded` for too many of them.
    """
    source = projects.get(tx, actor, project_id)
    copy_id = projects.create(
        tx,
        actor,
        name=name,
        description=source.description,
        **(_settings(source) if include_settings else {}),
    )
    if include_tasks:
        _copy_tasks(tx, actor, project_id, projects.get(tx, actor, copy_id))
    return copy_id


def _settings(source: Row[Any]) -> dict[str, Any]:
    limits = ("max_tasks", "max_concurrent_tasks", "storage_limit")
    return {
        "settings": source.settings,
        "resource_limits": {limit: source._mapping[limit] for limit in limits},
    }


def _copy_tasks(tx: Tx, actor: Actor, project_id: str, copy: Row[Any]) -> None:
    originals = tx.all(
        select(task_rows)
        .where(task_rows.c.project_id == project_id, tasks.LISTING.kept)
        .order_by(task_rows.c.created_at, task_rows.c.id)
        .limit(MOST_TASKS + 1)
    )
    if len(originals) > MOST_TASKS:
        raise ResourceLimitExceeded(resource="task", maximum=MOST_TASKS)
    if not originals:
        return
    tx.enact(tasks.check_room(copy, held=0, more=len(originals)))
    copies = {original.id: _copied(tx, actor, original, copy.id) for original in originals}
    for row in copies.values():
        tx.enact(tasks.add(tx, actor, row))
    _copy_dependencies(tx, project_id, {old: row["id"] for old, row in copies.items()})


def _copied(tx: Tx, actor: Actor, original: Row[Any], project_id: str) -> dict[str, Any]:
    return {name: original._mapping[name] for name in COPIED} | {
        "id": new_id(),
        "project_id": project_id,
        "status": TaskStatus.PENDING,
        "progress_percentage": 0,
        "assigned_to": actor.id if original.assigned_to == actor.id else None,
        "created_by": actor.id,
        "created_at": tx.now,
        "updated_at": tx.now,
    }


def _copy_dependencies(tx: Tx, project_id: str, copies: Mapping[str, str]) -> None:
    edges = task_dependencies
    theirs = select(edges).join(task_rows, task_rows.c.id == edges.c.task_id)
    rows = [
        {
            "id": new_id(),
            "task_id": copies[edge.task_id],
            "depends_on_task_id": copies[edge.depends_on_task_id],
            "dependency_type": edge.dependency_type,
            "created_at": tx.now,
        }
        for edge in tx.all(theirs.where(task_rows.c.project_id == project_id))
        if {edge.task_id, edge.depends_on_task_id} <= copies.keys()
    ]
    if rows:
        tx.execute(insert(edges), rows)
