"""What a task waits for: other tasks of its project, never in a circle."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, func, insert, select, true

from db import projects, tasks
from db.actors import Actor
from db.engine import Tx
from db.errors import (
    Invalid,
    ResourceAlreadyExists,
    ResourceLimitExceeded,
    ResourceNotFound,
)
from db.ids import new_id
from db.listing import Listing
from db.tables import task_dependencies
from db.tables import tasks as task_rows
from db.types import DependencyType, Permission

MOST_DEPENDENCIES = 100

LISTING = Listing(
    table=task_dependencies,
    kept=true(),
    visible_to=lambda actor: task_dependencies.c.task_id.in_(
        select(task_rows.c.id).where(tasks.LISTING.kept, tasks.visible_to(actor))
    ),
    filters={},
    orders={"created_at": task_dependencies.c.created_at},
)


def add(
    tx: Tx,
    actor: Actor,
    task_id: str,
    depends_on_task_id: str,
    kind: DependencyType = DependencyType.BLOCKS,
) -> str:
    """Let a task depend on another of its project; returns the dependency's id.

    Raises `ResourceAlreadyExists` for the same pair, `ResourceLimitExceeded` for too many, and
    `Invalid` when a task would wait for itself in the end.
    """
    actor.must(Permission.WRITE)
    task = tasks.get(tx, actor, task_id, changing=True)
    other = tasks.get(tx, actor, depends_on_task_id)
    if other.id == task.id:
        raise Invalid("depends_on_task_id", "Must be another task")
    if other.project_id != task.project_id:
        raise Invalid("depends_on_task_id", "Must be a task of the same project")
    # Two that are added at the same moment could close a circle that neither sees.
    projects.lock(tx, task.project_id)
    _check_new(tx, task_id, depends_on_task_id)
    if kind is DependencyType.BLOCKS and _waits_for(tx, depends_on_task_id, task_id):
        raise Invalid("depends_on_task_id", "The other task waits for this one already")
    dependency_id = new_id()
    values = {
        "id": dependency_id,
        "task_id": task_id,
        "depends_on_task_id": depends_on_task_id,
        "dependency_type": kind,
        "created_at": tx.now,
    }
    tx.execute(insert(task_dependencies), values)
    _tell(tx, "task.dependency_added", actor, task, depends_on_task_id, kind)
    return dependency_id


def remove(tx: Tx, actor: Actor, task_id: str, dependency_id: str) -> datetime:
    """Let a task no longer depend on another; returns when."""
    actor.must(Permission.WRITE)
    task = tasks.get(tx, actor, task_id, changing=True)
    gone = tx.first(
        delete(task_dependencies)
        .where(task_dependencies.c.id == dependency_id, task_dependencies.c.task_id == task_id)
        .returning(task_dependencies)
    )
    if not gone:
        raise ResourceNotFound(resource="dependency", dependency_id=dependency_id)
    _tell(tx, "task.dependency_removed", actor, task, gone.depends_on_task_id, gone.dependency_type)
    # Its run may have waited for nothing else.
    tx.hint("runs")
    return tx.now


def _check_new(tx: Tx, task_id: str, depends_on_task_id: str) -> None:
    theirs = task_dependencies.c.task_id == task_id
    same = theirs & (task_dependencies.c.depends_on_task_id == depends_on_task_id)
    if known := tx.scalar(select(task_dependencies.c.id).where(same)):
        raise ResourceAlreadyExists(resource="dependency", dependency_id=known)
    if tx.scalar(select(func.count()).where(theirs)) >= MOST_DEPENDENCIES:
        raise ResourceLimitExceeded(resource="dependency", maximum=MOST_DEPENDENCIES)


def _waits_for(tx: Tx, task_id: str, other_id: str) -> bool:
    """Whether a task waits for another, or is it."""
    ends = {"from": task_id, "to": other_id}
    return tx.first(_PATH, ends) is not None


def _path() -> Select[Any]:
    edges, blocks = task_dependencies, DependencyType.BLOCKS
    reached = select(bindparam("from", type_=edges.c.task_id.type).label("id")).cte(
        "reached", recursive=True
    )
    further = (
        select(edges.c.depends_on_task_id)
        .join(reached, edges.c.task_id == reached.c.id)
        .where(edges.c.dependency_type == blocks)
    )
    reached = reached.union(further)
    return select(reached.c.id).where(reached.c.id == bindparam("to"))


def _tell(
    tx: Tx, kind: str, actor: Actor, task: Row[Any], depends_on_task_id: str, type_: str
) -> None:
    tasks.tell(
        tx,
        kind,
        actor,
        task.project_id,
        task.id,
        task._asdict(),
        depends_on_task_id=depends_on_task_id,
        dependency_type=type_,
    )


_PATH = _path()
