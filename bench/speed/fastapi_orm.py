"""FastAPI as it is usually written: SQLAlchemy's ORM, and pydantic models of the answers."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from bench.speed import models


class Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class User(Shown):
    id: str
    username: str


class Project(Shown):
    id: str
    name: str


class Event(Shown):
    id: str
    at: datetime = Field(serialization_alias="timestamp")
    kind: str
    actor_id: str | None = Field(serialization_alias="userId")


class Other(Shown):
    title: str
    status: str


class Dependency(Shown):
    task: Other


class Task(Shown):
    id: str
    title: str
    description: str | None
    status: str
    priority: int
    progress_percentage: int
    tags: list[str]
    metadata_: dict[str, Any] = Field(serialization_alias="metadata")
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class ListedTask(Task):
    project: Project
    assignee: User | None


class ToldTask(ListedTask):
    history: list[Event]
    dependencies: list[Dependency]


class NewTask(BaseModel):
    project_id: str = Field(alias="projectId")
    title: str = Field(min_length=1, max_length=500)
    description: str | None = None
    priority: int = Field(default=0, ge=0, le=100)
    metadata: dict[str, Any] = {}


async def opened() -> AsyncIterator[AsyncSession]:
    async with models.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(opened)]


async def signed_in(session: Session, authorization: Annotated[str, Header()]) -> models.User:
    return await models.user_of(session, authorization)


Actor = Annotated[models.User, Depends(signed_in)]

app = FastAPI()


@app.get("/q1")
async def q1(session: Session, actor: Actor, at: datetime, id: str) -> list[ListedTask]:
    wanted = models.newest_first(actor.id, at, id, 50).options(
        joinedload(models.Task.project), joinedload(models.Task.assignee)
    )
    return list(await session.scalars(wanted))  # type: ignore[arg-type]


@app.get("/q2")
async def q2(session: Session, actor: Actor, at: datetime, id: str) -> list[ToldTask]:
    wanted = models.newest_first(actor.id, at, id, 50).options(
        joinedload(models.Task.project),
        joinedload(models.Task.assignee),
        selectinload(models.Task.history),
        selectinload(models.Task.dependencies).joinedload(models.Dependency.task),
    )
    return list(await session.scalars(wanted))  # type: ignore[arg-type]


@app.get("/q3/{id}")
async def q3(session: Session, actor: Actor, id: str) -> Task:
    wanted = select(models.Task).where(models.Task.id == id, models.visible_to(actor.id))
    return (await session.scalars(wanted)).one()  # type: ignore[return-value]


@app.post("/m1")
async def m1(session: Session, actor: Actor, new: NewTask) -> Task:
    return await models.create(session, actor, **vars(new))  # type: ignore[return-value]
