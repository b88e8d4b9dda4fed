"""On what terms a task is executed: its options, else those of its project."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, func, select

from db import lifecycle, runs
from db.errors import Invalid, TaskDependencyNotMet
from db.lifecycle import LONGEST_RETRY_DELAY_SECONDS
from db.projects import MOST_RETRIES
from db.statements import Part, Statement, Writing
from db.tables import projects
from db.tables import runs as run_rows
from db.validation import whole_number


@dataclass(frozen=True)
class Terms:
    """The number of a task's next run, how often it is tried, and how long it may take."""

    number: int
    max_attempts: int
    timeout_seconds: int | None


def check(options: Mapping[str, Any]) -> None:
    """Raises `Invalid` for a number beyond its bounds."""
    retries = options.get("retry_attempts") or 0
    whole_number("options.retry_attempts", retries, least=0, most=MOST_RETRIES)
    runs.timeout("options.timeout", options.get("timeout"))
    delay = options.get("retry_delay")
    if delay is not None and not 0 < delay <= LONGEST_RETRY_DELAY_SECONDS:
        longest = f"Must be more than 0 and at most {LONGEST_RETRY_DELAY_SECONDS:g} seconds"
        raise Invalid("options.retry_delay", longest)


def agreed(task: Row[Any], options: Mapping[str, Any]) -> Writing[Terms]:
    """The terms of a task, read with what is `KNOWN`, that is executed with these options.

    Raises `TaskDependencyNotMet`, `Invalid`.
    """
    if task.must_wait:
        unmet = yield _UNMET, {"task": task.id}
        raise TaskDependencyNotMet(task_id=task.id, waiting_for=[row.id for row in unmet])
    check(options)
    retries = options.get("retry_attempts")
    timeout = options.get("timeout")
    return Terms(
        number=(task.last_number or 0) + 1,
        max_attempts=1 + ((task.retries if retries is None else retries) or 0),
        timeout_seconds=task.timeout if timeout is None else timeout,
    )


_unmet = lifecycle.unmet("task")
_UNMET = Statement(_unmet, Part.READS)
KNOWN = (
    projects.c.default_retry_attempts.label("retries"),
    projects.c.default_timeout_seconds.label("timeout"),
    select(func.max(run_rows.c.number))
    .where(run_rows.c.task_id == bindparam("task"))
    .scalar_subquery()
    .label("last_number"),
    _unmet.exists().label("must_wait"),
)
"""What the terms of a task depend on, besides: columns to be read with it and its project."""
