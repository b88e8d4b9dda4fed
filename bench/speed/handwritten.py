"""The limit: endpoints written by hand, each for one answer, with nothing that it does not need.

They answer the same bytes as ours, to whoever comes with the same token, on the same rows.
"""

import asyncio
import os
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import jwt
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.speed.handwritten_sql import (
    ADD_DOCUMENT,
    ADD_EVENT,
    ADD_TASK,
    COUNT,
    DEPENDENCIES,
    DETAILS,
    HELD,
    HISTORY,
    IS_SQLITE,
    ITS_DEPENDENCIES,
    ITS_HISTORY,
    LIST,
    MEMBER,
    ONE,
    PAGE,
    PAGE_SIZE,
    USER,
)

URL = os.environ["DATABASE_URL"]
KEY = os.environ["JWT_SECRET"]
REMEMBERED_SECONDS = 5.0
ACTIONS = {"task.created": "created", "task.updated": "updated", "task.queued": "queued"}


class Postgres:
    """A pool; a transaction is a round trip for each of its statements."""

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(URL, min_size=1, max_size=10)

    async def rows(self, *statements: tuple[Any, ...]) -> list[Any]:
        async with self._pool.acquire() as connection:
            return [await connection.fetch(sql, *values) for sql, *values in statements]

    async def create(self, task: "Task") -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            project = await connection.fetchrow(MEMBER, task.project_id, task.actor)
            held = await connection.fetchval(HELD, task.project_id)
            check(project, held)
            for sql, values in task.statements():
                await connection.execute(sql, *values)


class Sqlite:
    """A connection of the event loop that reads, and one of a thread that writes."""

    async def open(self) -> None:
        path = URL.removeprefix("sqlite:///")
        self._reading = sqlite3.connect(path, isolation_level=None)
        self._writing = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._writing.execute("PRAGMA synchronous = FULL")
        self._writing.execute("PRAGMA foreign_keys = ON")
        self._writer = ThreadPoolExecutor(1)

    async def rows(self, *statements: tuple[Any, ...]) -> list[Any]:
        return [self._reading.execute(sql, values).fetchall() for sql, *values in statements]

    async def create(self, task: "Task") -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._create, task)

    def _create(self, task: "Task") -> None:
        ask = self._writing.execute
        ask("BEGIN IMMEDIATE")
        try:
            project = ask(MEMBER, (task.project_id, task.actor)).fetchone()
            check(project, ask(HELD, (task.project_id,)).fetchone()[0])
            for sql, values in task.statements():
                ask(sql, values)
            ask("COMMIT")
        except BaseException:
            ask("ROLLBACK")
            raise


class Task:
    """A new task of somebody, as it is written and as it is shown."""

    def __init__(self, actor: str, given: dict[str, Any]) -> None:
        self.id = str(uuid.uuid4())
        self.actor = actor
        self.project_id: str = given["projectId"]
        self.title: str = given["title"]
        self.description: str | None = given.get("description")
        self.priority: int = given.get("priority", 0)
        self.metadata = orjson.dumps(given.get("metadata", {})).decode()
        now = datetime.now(UTC)
        self.now: Any = now.isoformat().replace("+00:00", "Z") if IS_SQLITE else now
        if not 1 <= len(self.title) <= 500 or not 0 <= self.priority <= 100:
            raise ValueError("title, priority")

    def statements(self) -> Iterable[tuple[str, tuple[Any, ...]]]:
        text = f"{self.title} {self.description or ''}"
        words = orjson.dumps([text.lower(), "", ""]).decode() if IS_SQLITE else text
        details = {"initial_data": {"title": self.title, "status": "pending"}}
        known = {"title": self.title, "status": "pending", "progress_percentage": 0}
        data = orjson.dumps(known | {"details": details}).decode()
        event = (str(uuid.uuid4()), self.now, self.actor, self.project_id, self.id, data)
        yield ADD_TASK, (self.id, self.project_id, self.title, self.description, self.priority,
                         self.actor, self.metadata, self.now)  # fmt: skip
        yield ADD_DOCUMENT, (self.id, words)
        yield ADD_EVENT, event

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "status": "PENDING",
            "priority": self.priority,
            "progressPercentage": 0,
            "tags": [],
            "metadata": orjson.Fragment(self.metadata),
            "createdAt": self.now,
            "updatedAt": self.now,
            "startedAt": None,
            "completedAt": None,
        }


def check(project: Any, held: int) -> None:
    """Raises PermissionError unless the actor may add a task to this project."""
    if not project or project[2] == "viewer" or project[0] == "archived" or held >= project[1]:
        raise PermissionError


database = Sqlite() if IS_SQLITE else Postgres()
remembered: dict[str, tuple[float, str]] = {}


async def actor_of(request: Request) -> str:
    """Who comes with this token: looked up again after some seconds."""
    token = request.headers["authorization"][7:]
    until, user_id = remembered.get(token, (0.0, ""))
    if until > time.monotonic():
        return user_id
    claims = jwt.decode(token, KEY, ["HS256"], options={"require": ["exp", "sub", "tv"]})
    [[user]] = await database.rows((USER, claims["sub"]))
    if user[0] != claims["tv"] or user[1]:
        raise PermissionError
    until = min(REMEMBERED_SECONDS, claims["exp"] - time.time())
    remembered[token] = (time.monotonic() + until, claims["sub"])
    return str(claims["sub"])


def scalars(row: Any) -> dict[str, Any]:
    return {
        "id": row[0],
        "title": row[1],
        "description": row[2],
        "status": row[3].upper(),
        "priority": row[4],
        "progressPercentage": row[5],
        "tags": orjson.Fragment(row[6]),
        "metadata": orjson.Fragment(row[7]),
        "createdAt": row[8],
        "updatedAt": row[9],
        "startedAt": row[10],
        "completedAt": row[11],
    }


def node(row: Any) -> dict[str, Any]:
    shown = scalars(row)
    shown["project"] = {"id": row[12], "name": row[13]}
    shown["assignee"] = row[14] and {"id": row[14], "username": row[15]}
    return shown


def answered(data: Any, options: int = orjson.OPT_UTC_Z) -> Response:
    return Response(orjson.dumps({"data": data}, option=options), media_type="application/json")


async def listed(request: Request) -> list[Any]:
    actor = await actor_of(request)
    at: Any = request.query_params["at"]
    at = at if IS_SQLITE else datetime.fromisoformat(at)
    [rows] = await database.rows((LIST, actor, at, request.query_params["id"]))
    return [node(row) for row in rows]


async def q1(request: Request) -> Response:
    return answered({"tasks": {"nodes": await listed(request)}})


async def q2(request: Request) -> Response:
    nodes = await listed(request)
    ids: Any = [shown["id"] for shown in nodes]
    ids = orjson.dumps(ids).decode() if IS_SQLITE else ids
    told, waiting = await database.rows((HISTORY, ids), (DEPENDENCIES, ids))
    history, dependencies = defaultdict(list), defaultdict(list)
    for task_id, event_id, at, kind, user_id in told:
        event = {"id": event_id, "timestamp": at, "kind": kind, "userId": user_id}
        history[task_id].append(event)
    for task_id, title, status in waiting:
        dependencies[task_id].append({"task": {"title": title, "status": status.upper()}})
    for shown in nodes:
        shown["history"] = history[shown["id"]]
        shown["dependencies"] = dependencies[shown["id"]]
    return answered({"tasks": {"nodes": nodes}})


async def q3(request: Request) -> Response:
    actor = await actor_of(request)
    [[row]] = await database.rows((ONE, actor, request.path_params["id"]))
    return answered({"task": scalars(row)})


async def m1(request: Request) -> Response:
    task = Task(await actor_of(request), orjson.loads(await request.body()))
    await database.create(task)
    return answered({"createTask": task.shown()})


async def page(request: Request) -> Response:
    actor = await actor_of(request)
    number = int(request.query_params["page"])
    rows, [[total]] = await database.rows((PAGE, actor, PAGE_SIZE * (number - 1)), (COUNT, actor))
    pages = -(-total // PAGE_SIZE)
    link = "/api/tasks/?page={}&page_size=50".format
    return in_envelope({
        "items": [
            {
                "id": row[0],
                "title": row[1],
                "status": row[2],
                "priority": row[3],
                "progress_percentage": row[4],
                "assigned_to": row[5],
                "created_at": to_the_second(row[6]),
                "updated_at": to_the_second(row[7]),
            }
            for row in rows
        ],
        "total": total,
        "page": number,
        "page_size": PAGE_SIZE,
        "pages": pages,
        "has_next": number < pages,
        "has_previous": number > 1,
        "pagination": {
            "total": total,
            "page": number,
            "page_size": PAGE_SIZE,
            "pages": pages,
            "links": {
                "first": link(1),
                "previous": link(number - 1) if number > 1 else None,
                "next": link(number + 1) if number < pages else None,
                "last": link(pages),
            },
        },
    })  # fmt: skip


async def details(request: Request) -> Response:
    actor, task_id = await actor_of(request), request.path_params["id"]
    [row], dependencies, history = await database.rows(
        (DETAILS, actor, task_id), (ITS_DEPENDENCIES, task_id), (ITS_HISTORY, task_id)
    )
    return in_envelope({
        "id": row[0],
        "title": row[1],
        "description": row[2],
        "project_id": row[3],
        "status": row[4],
        "priority": row[5],
        "progress_percentage": row[6],
        "estimated_duration": duration(row[7]),
        "actual_duration": duration(seconds_between(row[12], row[13])),
        "assigned_to": row[8],
        "created_by": row[9],
        "created_at": to_the_second(row[10]),
        "updated_at": to_the_second(row[11]),
        "started_at": to_the_second(row[12]),
        "completed_at": to_the_second(row[13]),
        "tags": orjson.Fragment(row[14]),
        "metadata": orjson.Fragment(row[15]),
        "dependencies": [
            {
                "id": id_,
                "depends_on_task_id": other,
                "dependency_type": kind,
                "task": {"title": title, "status": status},
            }
            for id_, other, kind, title, status in dependencies
        ],
        "history": [
            {
                "timestamp": to_the_second(at),
                "action": ACTIONS.get(kind, "status_changed"),
                "old_value": old and orjson.Fragment(old),
                "new_value": new and orjson.Fragment(new),
                "user_id": user_id,
            }
            for at, kind, old, new, user_id in history
        ],
    })  # fmt: skip


def in_envelope(data: Any) -> Response:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = {"timestamp": now, "request_id": str(uuid.uuid4()), "version": "1.0.0"}
    body = orjson.dumps(
        {"data": data, "error": None, "meta": meta},
        option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS,
    )
    return Response(body, media_type="application/json")


def to_the_second(at: Any) -> Any:
    return f"{at[:19]}Z" if at and IS_SQLITE else at


def seconds_between(start: Any, end: Any) -> int | None:
    if start is None:
        return None
    if IS_SQLITE:
        start, end = datetime.fromisoformat(start), end and datetime.fromisoformat(end)
    return int(((end or datetime.now(UTC)) - start).total_seconds())


def duration(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


@asynccontextmanager
async def opened(_: Starlette) -> AsyncIterator[None]:
    await database.open()
    yield


app = Starlette(
    routes=[
        Route("/q1", q1),
        Route("/q2", q2),
        Route("/q3/{id}", q3),
        Route("/m1", m1, methods=["POST"]),
        Route("/api/tasks/", page),
        Route("/api/tasks/{id}", details),
    ],
    lifespan=opened,
)
