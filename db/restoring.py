"""Brings a session, and what its user changed, back to how it was at a point in time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from db import lifecycle, projects, sessions, task_fields, tasks
from db.actors import Actor
from db.engine import Tx
from db.errors import Invalid, Problem, ResourceInUse, TaskAlreadyRunning
from db.tables import events as log
from db.types import Permission

SETTINGS_SAID = ("session.created", "session.updated", "session.restored")
API_NAMES = {column: name for name, column in task_fields.COLUMNS.items()}


@dataclass(frozen=True)
class Restored:
    """What was brought back: settings, and fields of tasks by their names in the API."""

    settings: Mapping[str, Any] | None
    tasks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


def restore(
    tx: Tx,
    actor: Actor,
    session_id: str,
    point: datetime,
    lasts_seconds: int,
    *,
    include_settings: bool = True,
    include_tasks: bool = False,
) -> Restored:
    """Restore a session to a point in its life; one that has expired is used again.

    Settings come back from the log of events. So do the fields of the project's tasks that the
    user changed since; a task that runs, is gone, or was changed by somebody else after that is
    skipped, and named with the reason.
    """
    session = sessions.get(tx, actor, session_id)
    if not session.created_at <= point <= tx.now:
        raise Invalid("restore_point", "Must be between the session's begin and now")
    sessions.revive(tx, session, lasts_seconds)
    restored = Restored(_settings_at(tx, session, point) if include_settings else None)
    if include_tasks and session.project_id:
        restored = _with_tasks(tx, actor, session, point, restored)
    settings = session.settings if restored.settings is None else restored.settings
    told = {"restore_point": point.isoformat(), "tasks": dict(restored.tasks)}
    sessions.put_settings(tx, actor, session, settings, "session.restored", **told)
    return restored


def _settings_at(tx: Tx, session: Row[Any], point: datetime) -> Any:
    said = (
        select(log.c.data)
        .where(log.c.session_id == session.id, log.c.kind.in_(SETTINGS_SAID), log.c.at <= point)
        .order_by(log.c.tx.desc(), log.c.seq.desc())
        .limit(1)
    )
    known = tx.scalar(said)
    if known is None:
        raise Invalid("restore_point", "What the settings were then is not kept any more")
    return known["settings"]


def _with_tasks(
    tx: Tx, actor: Actor, session: Row[Any], point: datetime, restored: Restored
) -> Restored:
    actor.must(Permission.WRITE)
    projects.get_active(tx, actor, session.project_id)
    done: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}
    for task_id, changes in _changes_since(tx, session, point).items():
        try:
            if fields := _take_back(tx, actor, task_id, changes):
                done[task_id] = fields
        except Problem as problem:
            skipped[task_id] = problem.message
    return Restored(restored.settings, done, skipped)


@dataclass
class _Change:
    """What one user made of one field: from the first of their changes to the last."""

    before: Any
    after: Any


def _changes_since(tx: Tx, session: Row[Any], point: datetime) -> dict[str, dict[str, _Change]]:
    """By task and column, what the session's user changed in its project after the point."""
    made = (
        select(log.c.task_id, log.c.data)
        .where(
            log.c.project_id == session.project_id,
            log.c.actor_id == session.user_id,
            log.c.kind == "task.updated",
            log.c.at > point,
        )
        .order_by(log.c.tx, log.c.seq)
    )
    found: dict[str, dict[str, _Change]] = {}
    for row in tx.all(made):
        details = row.data["details"]
        before, after = details["old_value"], details["new_value"]
        change = found.setdefault(row.task_id, {}).setdefault(
            details["field"], _Change(before, after)
        )
        change.after = after
    return found


def _take_back(tx: Tx, actor: Actor, task_id: str, changes: Mapping[str, _Change]) -> list[str]:
    """Set a task's fields to what they were before; returns their names."""
    task = tasks.get(tx, actor, task_id, changing=True)
    if lifecycle.active_run(tx, task_id):
        raise TaskAlreadyRunning(task_id=task_id)
    if any(task._mapping[column] != change.after for column, change in changes.items()):
        raise ResourceInUse("Somebody else has changed it since.", task_id=task_id)
    values = {
        API_NAMES.get(column, column): change.before
        for column, change in changes.items()
        if change.before != change.after
    }
    tasks.change(tx, actor, task_id, values)
    return list(values)
