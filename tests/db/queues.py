"""A queue to claim from: projects with limits, tasks that wait for each other, runs of users."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Executable, insert, make_url, update

from db import runs
from db.actors import Actor
from db.bus import Bus
from db.engine import Database, Tx
from db.ids import new_id
from db.postgres import PostgresDatabase
from db.sqlite import SqliteDatabase
from db.tables import projects, task_dependencies, tasks, users, waiting
from db.tables import runs as runs_table
from db.types import Lane, ProjectStatus, Role, RunnerName, TaskStatus


@asynccontextmanager
async def opened(url: str, how_many: int) -> AsyncIterator[list[Database]]:
    """So many databases of one URL, each with connections of its own."""
    async with AsyncExitStack() as stack:
        databases = []
        for _ in range(how_many):
            database = _database(url)
            await database.open()
            stack.push_async_callback(database.close)
            databases.append(database)
        yield databases


def add_user(tx: Tx, username: str) -> Actor:
    actor = Actor(new_id(), username, Role.ADMIN)
    values = {"password_hash": "", "preferences": {}, "role": actor.role, "username": username}
    at = {"created_at": tx.now, "updated_at": tx.now}
    tx.execute(insert(users), {"id": actor.id, **values, **at})
    return actor


def add_project(
    tx: Tx, actor: Actor, limit: int, status: ProjectStatus = ProjectStatus.ACTIVE
) -> str:
    project_id = new_id()
    values = {
        "id": project_id,
        "name": "Queue",
        "status": status,
        "settings": {},
        "max_tasks": 1_000_000,
        "max_concurrent_tasks": limit,
        "storage_limit": "1GB",
        "created_by": actor.id,
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(insert(projects), values)
    return project_id


def add_tasks(tx: Tx, actor: Actor, project_id: str, how_many: int) -> list[str]:
    """So many tasks of a project that run `true`."""
    rows = [
        {
            "id": new_id(),
            "project_id": project_id,
            "title": f"Task {number}",
            "status": TaskStatus.PENDING,
            "priority": 0,
            "progress_percentage": 0,
            "created_by": actor.id,
            "tags": [],
            "metadata": {"command": "true"},
            "created_at": tx.now,
            "updated_at": tx.now,
        }
        for number in range(how_many)
    ]
    tx.execute(insert(tasks), rows)
    return [str(row["id"]) for row in rows]


def add_dependencies(tx: Tx, pairs: Sequence[tuple[str, str]]) -> None:
    """Let the first of each pair wait for the second."""
    common = {"dependency_type": "blocks", "created_at": tx.now}
    rows = [
        {"id": new_id(), "task_id": task, "depends_on_task_id": other, **common}
        for task, other in pairs
    ]
    tx.execute(insert(task_dependencies), rows)


def enqueue(tx: Tx, actor: Actor, lane: Lane, rank: int | None = None, **rest: Any) -> str:
    """Put a run into its lane, at a rank of the test's choice; its task is pending then."""
    run_id = runs.enqueue(tx, actor, command="true", runner=RunnerName.SHELL, lane=lane, **rest)
    if task_id := rest.get("task_id"):
        queued = {"status": TaskStatus.PENDING, "active_run_id": run_id}
        tx.execute(update(tasks).where(tasks.c.id == task_id).values(queued))
    if rank is not None:
        tx.execute(update(runs_table).where(runs_table.c.id == run_id).values(rank=rank))
        tx.execute(update(waiting).where(waiting.c.run_id == run_id).values(rank=rank))
    return run_id


async def carry_out(database: Database, statement: Executable) -> None:
    """One statement that changes something, as a transaction."""

    def unit(tx: Tx) -> None:
        tx.execute(statement)

    await database.write(unit)


def _database(url: str) -> Database:
    if url.startswith("sqlite"):
        return SqliteDatabase(Path(make_url(url).database or ""), Bus())
    return PostgresDatabase(url, Bus(), pool_size=2)
