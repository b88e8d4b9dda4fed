"""What may be set of a task: each field checked, and named as its column."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, select

from db import runs
from db.errors import Invalid, InvalidFormat
from db.statements import Part, Statement, Writing
from db.tables import members, users
from db.types import Role, TaskStatus
from db.validation import json_object, no_nulls, text, whole_number

LONGEST_DURATION_SECONDS = 1000 * 3600 - 1
MOST_TAGS = 50


def valid(project_id: str, values: Mapping[str, Any]) -> Writing[dict[str, Any]]:
    """The columns behind these fields, each checked."""
    no_nulls(values, but=("description", "estimated_duration", "assigned_to"))
    found = {
        COLUMNS.get(field, field): CHECKS[field](field, value)
        for field, value in values.items()
        if field != "assigned_to"
    }
    if "assigned_to" in values:
        found["assigned_to"] = yield from _assignee(project_id, values["assigned_to"])
    return found


def _title(field: str, value: str) -> str:
    return text(field, value, shortest=1, longest=500)


def _description(field: str, value: str | None) -> str | None:
    return None if value is None else text(field, value, longest=100_000)


def _status(field: str, value: str) -> TaskStatus:
    return TaskStatus(value)


def _priority(field: str, value: int) -> int:
    return whole_number(field, value, least=0, most=runs.HIGHEST_PRIORITY)


def _percentage(field: str, value: int) -> int:
    return whole_number(field, value, least=0, most=100)


def _duration(field: str, seconds: int | None) -> int | None:
    if seconds is None:
        return None
    return whole_number(field, seconds, least=0, most=LONGEST_DURATION_SECONDS)


def _tags(field: str, tags: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(text(field, tag, shortest=1, longest=100) for tag in tags))
    if len(found) > MOST_TAGS:
        raise Invalid(field, f"Must be at most {MOST_TAGS} tags", maximum=MOST_TAGS)
    return found


def _assignee(project_id: str, user_id: str | None) -> Writing[str | None]:
    """Someone who can see the project: a member or an administrator."""
    if user_id is None:
        return None
    rows = yield _ASSIGNEE, {"user": user_id, "project": project_id}
    if not any(row.user_id or row.role == Role.ADMIN for row in rows):
        raise InvalidFormat("assigned_to", "Not a member of the project")
    return user_id


_ASSIGNEE = Statement(
    select(users.c.role, members.c.user_id)
    .outerjoin(
        members,
        (members.c.user_id == users.c.id) & (members.c.project_id == bindparam("project")),
    )
    .where(users.c.id == bindparam("user"), users.c.disabled_at.is_(None)),
    Part.READS,
)
COLUMNS = {"estimated_duration": "estimated_seconds"}
CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "title": _title,
    "description": _description,
    "status": _status,
    "priority": _priority,
    "progress_percentage": _percentage,
    "estimated_duration": _duration,
    "tags": _tags,
    "metadata": json_object,
    "auto_start": lambda _field, value: bool(value),
}
