"""Strawberry as it is usually written: resolvers, dataloaders, SQLAlchemy's ORM."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from sqlalchemy import select
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.scalars import JSON

from bench.speed import models


@strawberry.enum
class TaskStatus(Enum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@strawberry.type
class User:
    id: strawberry.ID
    username: str


@strawberry.type
class Project:
    id: strawberry.ID
    name: str


@strawberry.type
class TaskEvent:
    id: strawberry.ID
    timestamp: datetime
    kind: str
    user_id: strawberry.ID | None


@strawberry.type
class TaskDependency:
    id: strawberry.ID
    depends_on_task_id: strawberry.Private[str]

    @strawberry.field
    async def task(self, info: strawberry.Info) -> "Task":
        return shown(await info.context["loaders"].tasks.load(self.depends_on_task_id))


@strawberry.type
class Task:
    id: strawberry.ID
    title: str
    description: str | None
    status: TaskStatus
    priority: int
    progress_percentage: int
    tags: list[str]
    metadata: JSON
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    row: strawberry.Private[models.Task]

    @strawberry.field
    async def project(self, info: strawberry.Info) -> Project:
        found = await info.context["loaders"].projects.load(self.row.project_id)
        return Project(id=found.id, name=found.name)

    @strawberry.field
    async def assignee(self, info: strawberry.Info) -> User | None:
        if self.row.assigned_to is None:
            return None
        found = await info.context["loaders"].users.load(self.row.assigned_to)
        return User(id=found.id, username=found.username)

    @strawberry.field
    async def history(self, info: strawberry.Info) -> list[TaskEvent]:
        found = await info.context["loaders"].history.load(self.id)
        return [
            TaskEvent(id=event.id, timestamp=event.at, kind=event.kind, user_id=event.actor_id)
            for event in found
        ]

    @strawberry.field
    async def dependencies(self, info: strawberry.Info) -> list[TaskDependency]:
        found = await info.context["loaders"].dependencies.load(self.id)
        return [
            TaskDependency(id=one.id, depends_on_task_id=one.depends_on_task_id) for one in found
        ]


@strawberry.type
class TaskConnection:
    nodes: list[Task]


@strawberry.input
class CreateTaskInput:
    project_id: strawberry.ID
    title: str
    description: str | None = None
    priority: int = 0
    metadata: JSON


@strawberry.type
class Query:
    @strawberry.field
    async def tasks(
        self, info: strawberry.Info, first: int, at: datetime, id: strawberry.ID
    ) -> TaskConnection:
        user = await info.context["user"]()
        async with models.sessions() as session:
            found = await session.scalars(models.newest_first(user.id, at, id, first))
            return TaskConnection(nodes=[shown(row) for row in found])

    @strawberry.field
    async def task(self, info: strawberry.Info, id: strawberry.ID) -> Task | None:
        user = await info.context["user"]()
        wanted = select(models.Task).where(models.Task.id == id, models.visible_to(user.id))
        async with models.sessions() as session:
            row = await session.scalar(wanted)
            return row and shown(row)


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_task(self, info: strawberry.Info, input: CreateTaskInput) -> Task:
        user = await info.context["user"]()
        async with models.sessions() as session:
            return shown(await models.create(session, user, **vars(input)))


def shown(row: models.Task) -> Task:
    return Task(
        id=row.id,
        title=row.title,
        description=row.description,
        status=TaskStatus(row.status),
        priority=row.priority,
        progress_percentage=row.progress_percentage,
        tags=row.tags,
        metadata=row.metadata_,
        created_at=row.created_at,
        updated_at=row.updated_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        row=row,
    )


class Loaders:
    """One of each for a request."""

    def __init__(self) -> None:
        self.projects = DataLoader(one_by_id(models.Project))
        self.users = DataLoader(one_by_id(models.User))
        self.tasks = DataLoader(one_by_id(models.Task))
        self.history = DataLoader(many_by(models.Event.task_id, models.Event.seq))
        self.dependencies = DataLoader(
            many_by(models.Dependency.task_id, models.Dependency.created_at)
        )


def one_by_id(entity: Any) -> Callable[[list[str]], Awaitable[list[Any]]]:
    async def load(ids: list[str]) -> list[Any]:
        async with models.sessions() as session:
            rows = await session.scalars(select(entity).where(entity.id.in_(ids)))
            found = {row.id: row for row in rows}
        return [found.get(id_) for id_ in ids]

    return load


def many_by(key: Any, order: Any) -> Callable[[list[str]], Awaitable[list[Any]]]:
    async def load(ids: list[str]) -> list[Any]:
        found = defaultdict(list)
        async with models.sessions() as session:
            wanted = select(key.class_).where(key.in_(ids)).order_by(order)
            for row in await session.scalars(wanted):
                found[getattr(row, key.key)].append(row)
        return [found[id_] for id_ in ids]

    return load


class Served(GraphQL[Any, Any]):
    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        async def user() -> models.User:
            async with models.sessions() as session:
                return await models.user_of(session, request.headers["authorization"])

        return {"loaders": Loaders(), "user": user}


app = Served(strawberry.Schema(Query, Mutation))
