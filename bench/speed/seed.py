"""The record that every contender reads: the same rows in every database, by bulk SQL."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
from sqlalchemy import make_url

from db.migrations import upgrade
from db.tables import events, members, metadata, projects, task_dependencies, tasks, users

PROJECTS = 20
USERS = 50
MOST_TOLD = 10_000
"""Of so many newest tasks the history and the dependencies are kept."""
EVENTS = ("task.created", "task.started", "task.completed")
STATUSES = ("completed", "pending", "failed", "running", "cancelled")
START = datetime(2026, 1, 1, 8, 30, 15, 123456, UTC)

Row = Sequence[Any]


class Rows(NamedTuple):
    """Rows of one table, by their columns."""

    table: str
    columns: Sequence[str]
    rows: Iterable[Row]


def seed(url: str, how_many: int) -> None:
    """Migrate an empty database and fill it with so many tasks."""
    upgrade(url)
    if url.startswith("sqlite"):
        _fill_sqlite(make_url(url).database or "", how_many)
    else:
        asyncio.run(_fill_postgres(url, how_many))


def id_of(table: str, number: int) -> str:
    """A UUIDv7 whose last digits are the number."""
    kind = list(metadata.tables).index(table)
    return f"019b7800-0000-7000-8{kind:03x}-{number:012x}"


def created_at(number: int) -> datetime:
    """When a task was created: each a second after the one before."""
    return START + timedelta(seconds=number)


def _record(how_many: int) -> Iterator[Rows]:
    told = range(max(how_many - MOST_TOLD, 0), how_many)
    yield _rows(users, _user, range(USERS))
    yield _rows(projects, _project, range(PROJECTS))
    yield _rows(members, _member, range(PROJECTS))
    yield _rows(tasks, _task, range(how_many))
    yield _rows(events, _event, (number * 3 + place for number in told for place in range(3)))
    yield _rows(task_dependencies, _dependency, (2 * n + place for n in told for place in (0, 1)))


def _rows(table: Any, row: Callable[[int], dict[str, Any]], numbers: Iterable[int]) -> Rows:
    return Rows(table.name, list(row(2)), (tuple(row(number).values()) for number in numbers))


def _user(number: int) -> dict[str, Any]:
    return {
        "id": id_of("users", number),
        "username": f"user{number}",
        "full_name": f"User Number {number}",
        "password_hash": "",
        "role": "developer",
        "is_premium": False,
        "token_version": 1,
        "preferences": "{}",
        "created_at": START,
        "updated_at": START,
    }


def _project(number: int) -> dict[str, Any]:
    return {
        "id": id_of("projects", number),
        "name": f"Project {number}",
        "description": "Where much is to be done.",
        "status": "active",
        "settings": "{}",
        "max_tasks": 2_000_000,
        "max_concurrent_tasks": 10,
        "storage_limit": "1GB",
        "created_by": id_of("users", 0),
        "created_at": START,
        "updated_at": START,
    }


def _member(number: int) -> dict[str, Any]:
    """Of every project the first user, who asks for all that is measured."""
    return {
        "project_id": id_of("projects", number),
        "user_id": id_of("users", 0),
        "role": "owner",
        "created_at": START,
    }


def _task(number: int) -> dict[str, Any]:
    created = created_at(number)
    return {
        "id": id_of("tasks", number),
        "project_id": id_of("projects", number % PROJECTS),
        "title": f"Task number {number}: mend what is broken",
        "description": "Find out why it breaks, mend it, and prove that it stays mended. " * 2,
        "status": STATUSES[number // PROJECTS % len(STATUSES)],
        "priority": number % 10,
        "progress_percentage": number % 101,
        "estimated_seconds": 3600,
        "assigned_to": id_of("users", number % USERS) if number % 7 else None,
        "created_by": id_of("users", 0),
        "tags": '["backend","urgent"]',
        "metadata": '{"command":"make test","attempts":3}',
        "auto_start": False,
        "created_at": created,
        "updated_at": created + timedelta(hours=1),
        "started_at": created + timedelta(minutes=1),
        "completed_at": created + timedelta(hours=1),
    }


def _event(number: int) -> dict[str, Any]:
    task, place = divmod(number, 3)
    known = {"title": f"Task number {task}", "status": "pending", "progress_percentage": 0}
    return {
        "seq": number + 1,
        "tx": 0,
        "id": id_of("events", number),
        "kind": EVENTS[place],
        "at": created_at(task) + timedelta(minutes=place),
        "actor_id": id_of("users", 0),
        "project_id": id_of("projects", task % PROJECTS),
        "task_id": id_of("tasks", task),
        "data": orjson.dumps(known | {"details": {"old_value": None, "new_value": place}}).decode(),
    }


def _dependency(number: int) -> dict[str, Any]:
    task, place = divmod(number, 2)
    return {
        "id": id_of("task_dependencies", number),
        "task_id": id_of("tasks", task),
        "depends_on_task_id": id_of(
            "tasks", max(task - 1 - place, 0) if task > 2 else task + 1 + place
        ),
        "dependency_type": "blocks",
        "created_at": created_at(task) + timedelta(seconds=place),
    }


def _fill_sqlite(path: str, how_many: int) -> None:
    sqlite3.register_adapter(datetime, lambda at: at.isoformat().replace("+00:00", "Z"))
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, columns, rows in _record(how_many):
            marks = ", ".join("?" * len(columns))
            names = ", ".join(columns)
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


async def _fill_postgres(url: str, how_many: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table, columns, rows in _record(how_many):
            await connection.copy_records_to_table(table, columns=columns, records=rows)
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('events', 'seq'), (SELECT max(seq) FROM events))"
        )
        # As autovacuum does by itself before long.
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
