"""Commands of their own: runs that belong to no task."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Select, func, select

from db import events, lifecycle, projects
from db import runs as queue
from db.actors import Actor
from db.engine import Tx
from db.errors import InvalidFormat, ProjectNotFound
from db.tables import runs
from db.types import Lane, Permission, RunnerName, RunStatus
from db.validation import json_object, text
from db.variables import VariableRefused, check_variables

LISTING = replace(queue.LISTING, kept=runs.c.task_id.is_(None))

LONGEST = 100_000
LONGEST_HABIT = 200
LATEST = 1000
MOST_HABITS = 200


def habits(actor: Actor) -> Select[Any]:
    """What the actor lately ran with success, the most used first: `command`, `times`."""
    lately = (
        select(runs.c.command, runs.c.enqueued_at)
        .where(
            LISTING.kept,
            runs.c.user_id == actor.id,
            runs.c.status == RunStatus.COMPLETED,
            func.length(runs.c.command) <= LONGEST_HABIT,
        )
        .order_by(runs.c.enqueued_at.desc(), runs.c.id.desc())
        .limit(LATEST)
        .subquery()
    )
    times, last = func.count(), func.max(lately.c.enqueued_at)
    return (
        select(lately.c.command, times.label("times"))
        .group_by(lately.c.command)
        .order_by(times.desc(), last.desc())
        .limit(MOST_HABITS)
    )


def execute(
    tx: Tx,
    /,
    actor: Actor,
    *,
    command: str,
    project_id: str | None = None,
    working_directory: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: int | None = None,
    priority: Lane = Lane.HIGH,
) -> str:
    """Put a command into its lane; returns the run's id. It is tried once, never twice."""
    actor.must(Permission.EXECUTE)
    if project_id is not None:
        projects.get_active(tx, actor, project_id)
        if not tx.first(projects.staying(project_id)):
            raise ProjectNotFound(project_id=project_id)
    run_id = queue.enqueue(
        tx,
        actor,
        command=text("command", command, shortest=1, longest=LONGEST),
        runner=RunnerName.SHELL,
        lane=priority,
        project_id=project_id,
        working_directory=_directory(working_directory),
        environment=_environment({} if environment is None else environment),
        timeout_seconds=queue.timeout("timeout", timeout_seconds),
    )
    events.tell(
        tx, "run.queued", actor, project_id=project_id, run_id=run_id, data={"command": command}
    )
    return run_id


def cancel(tx: Tx, actor: Actor, run_id: str, reason: str | None = None) -> None:
    """Cancel a run, of a task or of its own. Raises `Invalid` when it has ended."""
    actor.must(Permission.EXECUTE)
    run = queue.get(tx, actor, run_id)
    if run.project_id:
        projects.get(tx, actor, run.project_id, changing=True)
    lifecycle.cancel(tx, actor, run, text("reason", reason, longest=2000) if reason else None)


def _directory(path: str | None) -> str | None:
    """A path; that it leads nowhere else is seen to where it is opened."""
    if path is None:
        return None
    if ".." in PurePosixPath(path).parts:
        raise InvalidFormat("working_directory", "Must not contain ..")
    return text("working_directory", path, longest=4096)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    for name, value in json_object("environment", variables).items():
        if not isinstance(value, str):
            raise InvalidFormat(f"environment.{name}", "Must be text")
    try:
        check_variables(variables)
    except VariableRefused as refused:
        raise InvalidFormat(f"environment.{refused.name}", refused.issue) from None
    return dict(variables)
