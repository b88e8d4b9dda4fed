"""A small record of everything, in which nothing depends on when it is looked at."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert

from db import tables
from db.actors import Actor
from db.engine import Tx
from db.types import (
    DeliveryStatus,
    DependencyType,
    Lane,
    MemberRole,
    ProjectStatus,
    Role,
    RunnerName,
    RunStatus,
    SessionStatus,
    Stream,
    TaskStatus,
)

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
TASKS = 24
KINDS = {
    "user": 1,
    "project": 2,
    "task": 3,
    "dependency": 4,
    "event": 5,
    "run": 6,
    "session": 7,
    "webhook": 8,
    "delivery": 9,
}
NESTED: dict[str, Any] = {"b": [1, 2.5, None, {"ü": "€"}], "a": True, "empty": {}}


def id_of(kind: str, number: int) -> str:
    """The id of the record's nth row of a kind; counts from 1."""
    return str(UUID(int=KINDS[kind] << 112 | 7 << 76 | 2 << 62 | number))


ADMIN = Actor(id_of("user", 1), "admin", Role.ADMIN)
MEMBER = Actor(id_of("user", 2), "member", Role.DEVELOPER)
STRANGER = Actor(id_of("user", 3), "stranger", Role.DEVELOPER)
VIEWER = Actor(id_of("user", 4), "viewer", Role.VIEWER)
ACTORS: Mapping[str, Actor | None] = {
    "admin": ADMIN,
    "member": MEMBER,
    "stranger": STRANGER,
    "viewer": VIEWER,
    "nobody": None,
}


def at(minutes: float) -> datetime:
    """A time so long after the record's start."""
    return START + timedelta(minutes=minutes)


def fill(tx: Tx) -> None:
    """Write the record into an empty database."""
    for table, rows in ROWS.items():
        for row in rows:
            tx.execute(insert(table), _completed(table, row))


def _completed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the empty value of its type in every required column that it does not name."""
    required = (
        column
        for column in table.c
        if not (column.nullable or column.server_default or column.primary_key)
        and column.name not in row
    )
    return {column.name: column.type.python_type() for column in required} | dict(row)


def _users() -> Iterable[dict[str, Any]]:
    for number, actor in enumerate((ADMIN, MEMBER, STRANGER, VIEWER), start=1):
        yield {
            "id": actor.id,
            "username": actor.username,
            "email": f"{actor.username}@example.org" if number % 2 else None,
            "full_name": f"The {actor.username}" if number % 2 else None,
            "role": actor.role,
            "preferences": NESTED if number == 1 else {},
            "created_at": at(number),
            "updated_at": at(number),
            "last_login_at": at(number + 0.5) if number < 3 else None,
        }


def _projects() -> Iterable[dict[str, Any]]:
    """The fourth is empty and archived, the fifth deleted, the sixth the stranger's."""
    for number in range(1, 7):
        yield {
            "id": id_of("project", number),
            "name": ("Alpha", "alpha 100%", "Äpfel_und/Öl", "Empty", "Gone", "Elsewhere")[
                number - 1
            ],
            "description": None if number % 2 else f'About «{number}» "quoted"\nand more',
            "status": ProjectStatus.ARCHIVED if number == 4 else ProjectStatus.ACTIVE,
            "settings": NESTED if number == 1 else {},
            "max_tasks": 1000 if number != 2 else 8,
            "max_concurrent_tasks": number,
            "storage_limit": "1GB",
            "created_by": (MEMBER if number < 6 else STRANGER).id,
            "created_at": at(number // 2),
            "updated_at": at(number + 0.000_001),
            "deleted_at": at(99) if number == 5 else None,
        }


def _members() -> Iterable[dict[str, Any]]:
    roles = [
        *((number, MEMBER, MemberRole.OWNER) for number in (1, 2, 4, 5)),
        *((number, VIEWER, MemberRole.VIEWER) for number in (1, 3)),
        (3, MEMBER, MemberRole.VIEWER),
        (6, STRANGER, MemberRole.OWNER),
    ]
    for project, user, role in roles:
        yield {
            "project_id": id_of("project", project),
            "user_id": user.id,
            "role": role,
            "created_at": at(0),
        }


def _tasks() -> Iterable[dict[str, Any]]:
    """Some of the same age and priority, the last two deleted; none is running."""
    statuses = [status for status in TaskStatus if status is not TaskStatus.RUNNING]
    for number in range(1, TASKS + 1):
        status = statuses[number % len(statuses)]
        began = status is not TaskStatus.PENDING
        yield {
            "id": id_of("task", number),
            "project_id": id_of("project", _project_of(number)),
            "title": f"Task {number % 7} {'%_/'[number % 3]} ünï" if number % 3 else f"T{number}",
            "description": None if number % 2 else f"What {number}\tis about",
            "status": status,
            "priority": number % 3 * 10,
            "progress_percentage": 100 if status is TaskStatus.COMPLETED else 0,
            "estimated_seconds": number * 3601 if number % 4 == 0 else None,
            "assigned_to": MEMBER.id if number % 3 else None,
            "created_by": (ADMIN if number % 2 else STRANGER).id,
            "tags": _tags_of(number),
            "metadata": {"command": "true", **NESTED} if number % 5 == 0 else {},
            "created_at": at(number // 4),
            "updated_at": at(number + 0.123_456),
            "started_at": at(number) if began else None,
            "completed_at": at(number * 2 + 0.25) if began else None,
            "deleted_at": at(99) if number > TASKS - 2 else None,
            "active_run_id": id_of("run", number // 2) if number in (8, 16) else None,
        }


def _project_of(task: int) -> int:
    return (1, 1, 2, 3, 5, 6)[task % 6]


def _tags_of(task: int) -> list[str]:
    return ["red", "größe", "a,b"][: task % 4]


def _tags() -> Iterable[dict[str, Any]]:
    for number in range(1, TASKS + 1):
        for tag in _tags_of(number):
            yield {"tag": tag, "task_id": id_of("task", number)}


def _dependencies() -> Iterable[dict[str, Any]]:
    """On two later tasks each, wherever these are."""
    pairs = [(task, task + step) for task in range(1, TASKS - 7) for step in (1, 7) if task % 3]
    for number, (task, other) in enumerate(pairs, start=1):
        yield {
            "id": id_of("dependency", number),
            "task_id": id_of("task", task),
            "depends_on_task_id": id_of("task", other),
            "dependency_type": DependencyType.RELATES if number % 2 else DependencyType.BLOCKS,
            "created_at": at(number // 3),
        }


def _documents() -> Iterable[dict[str, Any]]:
    for project in _projects():
        words = [[project["name"]], [project["description"] or ""]]
        yield {"id": project["id"], "words": words}
    for task in _tasks():
        words = [[task["title"]], [task["description"] or ""], task["tags"]]
        yield {"id": task["id"], "words": words}


def _runs() -> Iterable[dict[str, Any]]:
    """Two of every fourth task, the newer one queued at times; and commands of their own."""
    for number in range(1, 13):
        of_task = number <= 8
        task = (number + 1) // 2 * 4
        status = (
            RunStatus.QUEUED
            if number in (4, 8, 11)
            else (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)[number % 3]
        )
        has_ended = status is not RunStatus.QUEUED
        project = id_of("project", _project_of(task)) if of_task else None
        owner = (MEMBER, STRANGER, VIEWER, ADMIN)[number % 4].id
        yield {
            "id": id_of("run", number),
            "task_id": id_of("task", task) if of_task else None,
            "project_id": project,
            "user_id": owner,
            "bucket": project or owner,
            "runner": RunnerName.SHELL if number % 2 else RunnerName.CLAUDE,
            "command": f"echo '{number}'" if number % 2 else None,
            "environment": {},
            "options": {"timeout": 5} if number % 2 else {},
            "timeout_seconds": 5 if number % 2 else None,
            "lane": list(Lane)[number % 3],
            "priority": 0,
            "rank": number,
            "status": status,
            "number": 2 - number % 2,
            "attempt": 1,
            "max_attempts": 1,
            "enqueued_at": at(number // 2),
            "due_at": at(number // 2),
            "started_at": at(number + 0.5) if has_ended and number != 5 else None,
            "finished_at": at(number * 2) if has_ended else None,
            "cancel_reason": "no \u2028 more" if status is RunStatus.CANCELLED else None,
            "exit_code": number % 3 if has_ended else None,
            "last_seq": 3 if number % 4 else 0,
            "total_bytes": 1 << 40 if number == 9 else 60,
            "sha256": "0" * 64 if has_ended else None,
        }


def _waiting() -> Iterable[dict[str, Any]]:
    for run in _runs():
        if run["status"] is RunStatus.QUEUED:
            place = ("task_id", "bucket", "lane", "rank", "due_at")
            yield {"run_id": run["id"]} | {name: run[name] for name in place}


def _chunks() -> Iterable[dict[str, Any]]:
    """Three of most runs, one of them with bytes that are no text."""
    for number in range(1, 13):
        if number % 4:
            for seq, content in enumerate((b"one\n", b"\xff\xfe \x00", "zwölf".encode()), start=1):
                yield {
                    "run_id": id_of("run", number),
                    "seq": seq,
                    "stream": Stream.STDERR if seq == 2 else Stream.STDOUT,
                    "content": content,
                    "at": at(number + seq / 60),
                }


def _events() -> Iterable[dict[str, Any]]:
    """A history of each task, by somebody or by the system; and what is told of projects."""
    number = 0
    for task in range(1, TASKS + 1):
        for kind in ("task.created", "task.updated", "task.completed", "run.finished")[: task % 5]:
            number += 1
            details = {"field": "status" if task % 2 else "title", "old_value": None}
            yield {
                "tx": number // 3,
                "id": id_of("event", number),
                "kind": kind,
                "at": at(number),
                "actor_id": (ADMIN.id, MEMBER.id, None)[number % 3],
                "project_id": id_of("project", _project_of(task)),
                "task_id": id_of("task", task),
                "run_id": id_of("run", number % 12 + 1) if number % 2 else None,
                "data": {"title": f"T{task}", "status": "pending",
                         "details": details | {"new_value": NESTED} if task % 3 else {}},
            }  # fmt: skip


def _sessions() -> Iterable[dict[str, Any]]:
    """Of everybody: one that is good for long, one that is closed, one that has expired."""
    for number in range(1, 13):
        status = SessionStatus.CLOSED if number % 3 == 1 else SessionStatus.ACTIVE
        yield {
            "id": id_of("session", number),
            "project_id": id_of("project", 1) if number % 2 else None,
            "user_id": (ADMIN, MEMBER, STRANGER, VIEWER)[number % 4].id,
            "status": status,
            "settings": NESTED if number % 2 else {},
            "created_at": at(number),
            "last_accessed_at": at(number + 1),
            "expires_at": at(number) + timedelta(days=365 * 70 if number % 3 else 0),
        }


def _webhooks() -> Iterable[dict[str, Any]]:
    """Of the member's projects, the stranger's and the system; the last is deleted."""
    for number, project in enumerate((1, 1, 2, 6, None, 4, 1), start=1):
        yield {
            "id": id_of("webhook", number),
            "project_id": id_of("project", project) if project else None,
            "url": f"https://example.org/{number}",
            "secret": "never shown",
            "events": ["task.completed", "task.failed"][: number % 2 + 1],
            "description": None if number % 2 else "A «hook»",
            "created_by": MEMBER.id,
            "enabled": number != 2,
            "disabled_reason": "Gone" if number == 2 else None,
            "cursor_tx": 1 << 40,
            "cursor_seq": 1 << 40,
            "created_at": at(number // 2),
            "updated_at": at(number),
            "deleted_at": at(99) if number == 7 else None,
        }


def _deliveries() -> Iterable[dict[str, Any]]:
    """More than are shown at once of the first webhook, few of the others."""
    for number in range(1, 25):
        status = list(DeliveryStatus)[number % 3]
        pending = status is DeliveryStatus.PENDING
        yield {
            "id": id_of("delivery", number),
            "webhook_id": id_of("webhook", 1 if number < 15 else number % 7 + 1),
            "event_id": id_of("event", number),
            "event": "task.completed" if number % 2 else "ping",
            "body": b'{"data": {"b": [1, 2.5, null]}}',
            "status": status,
            "attempts": number % 4,
            "next_attempt_at": at(number) if pending else None,
            "response_status": None if pending else 500,
            "error": "The receiver answered 500" if number % 2 else None,
            "created_at": at(number // 3),
            "delivered_at": at(number) if status is DeliveryStatus.DELIVERED else None,
        }


ROWS: Mapping[Table, list[dict[str, Any]]] = {
    tables.users: list(_users()),
    tables.projects: list(_projects()),
    tables.members: list(_members()),
    tables.tasks: list(_tasks()),
    tables.task_tags: list(_tags()),
    tables.task_dependencies: list(_dependencies()),
    tables.documents: list(_documents()),
    tables.runs: list(_runs()),
    tables.waiting: list(_waiting()),
    tables.chunks: list(_chunks()),
    tables.events: list(_events()),
    tables.sessions: list(_sessions()),
    tables.webhooks: list(_webhooks()),
    tables.deliveries: list(_deliveries()),
}
