"""The tables as SQLAlchemy's ORM maps them, for those who are measured with it."""

import os
import uuid
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
from sqlalchemy import ForeignKey, func, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import JSON, Text, TypeDecorator

URL = os.environ["DATABASE_URL"]
KEY = os.environ["JWT_SECRET"]
IS_SQLITE = URL.startswith("sqlite")


class Moment(TypeDecorator[datetime]):
    """An aware time; on SQLite a text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(Text() if IS_SQLITE else TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Any) -> Any:
        return value.isoformat().replace("+00:00", "Z") if value and IS_SQLITE else value

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON().with_variant(JSONB(), "postgresql"),
                           list[str]: JSON().with_variant(JSONB(), "postgresql"),
                           datetime: Moment}  # fmt: skip


class User(Base):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str]
    token_version: Mapped[int]
    disabled_at: Mapped[datetime | None]


class Project(Base):
    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str]
    max_tasks: Mapped[int]
    deleted_at: Mapped[datetime | None]


class Member(Base):
    __tablename__ = "project_members"
    project_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: str(uuid.uuid4()))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="pending")
    priority: Mapped[int]
    progress_percentage: Mapped[int] = mapped_column(default=0)
    assigned_to: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_by: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(default=list)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    project: Mapped[Project] = relationship()
    assignee: Mapped[User | None] = relationship()
    history: Mapped[list["Event"]] = relationship(order_by="Event.seq")
    dependencies: Mapped[list["Dependency"]] = relationship(
        foreign_keys="Dependency.task_id", order_by="Dependency.created_at"
    )


class Dependency(Base):
    __tablename__ = "task_dependencies"
    id: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"))
    depends_on_task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"))
    created_at: Mapped[datetime]
    task: Mapped[Task] = relationship(foreign_keys=[depends_on_task_id])


class Event(Base):
    __tablename__ = "events"
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(default=lambda: str(uuid.uuid4()))
    kind: Mapped[str]
    at: Mapped[datetime]
    actor_id: Mapped[str | None]
    project_id: Mapped[str | None]
    task_id: Mapped[str | None] = mapped_column(ForeignKey("tasks.id"))
    data: Mapped[dict[str, Any]]


class Document(Base):
    __tablename__ = "documents"
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str]
    words: Mapped[str] = mapped_column(Text if IS_SQLITE else TSVECTOR)


engine = create_async_engine(
    URL.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:"),
    pool_size=10,
    json_serializer=lambda value: orjson.dumps(value).decode(),
    json_deserializer=orjson.loads,
)
sessions = async_sessionmaker(engine, expire_on_commit=False)


def visible_to(user_id: str) -> Any:
    """True of tasks that are kept, in projects of this user."""
    mine = select(Member.project_id).where(Member.user_id == user_id)
    return Task.deleted_at.is_(None) & Task.project_id.in_(mine)


def newest_first(user_id: str, at: datetime, id_: str, size: int) -> Any:
    """The tasks that follow a place."""
    return (
        select(Task)
        .where(visible_to(user_id), tuple_(Task.created_at, Task.id) < (at, id_))
        .order_by(Task.created_at.desc(), Task.id.desc())
        .limit(size)
    )


async def user_of(session: AsyncSession, authorization: str) -> User:
    """Who comes with this token."""
    claims = jwt.decode(
        authorization[7:], KEY, ["HS256"], options={"require": ["exp", "sub", "tv"]}
    )
    user = await session.get_one(User, claims["sub"])
    if user.token_version != claims["tv"] or user.disabled_at:
        raise PermissionError
    return user


async def create(
    session: AsyncSession,
    user: User,
    project_id: str,
    title: str,
    description: str | None,
    priority: int,
    metadata: dict[str, Any],
) -> Task:
    """A task, what it is found by and its event, in one transaction."""
    member = await session.get_one(Member, (project_id, user.id))
    project = await session.get_one(Project, project_id)
    kept = (Task.project_id == project_id) & Task.deleted_at.is_(None)
    held = await session.scalar(select(func.count()).select_from(Task).where(kept))
    if member.role == "viewer" or project.status == "archived" or held >= project.max_tasks:
        raise PermissionError
    now = datetime.now(UTC)
    task = Task(
        id=str(uuid.uuid4()),
        project_id=project_id,
        title=title,
        description=description,
        priority=priority,
        metadata_=metadata,
        created_by=user.id,
        created_at=now,
        updated_at=now,
    )
    text = f"{title} {description or ''}"
    words: Any = orjson.dumps([text.lower(), "", ""]).decode()
    if not IS_SQLITE:
        words = func.to_tsvector("simple", text)
    initial = {"initial_data": {"title": title, "status": "pending"}}
    data = {"title": title, "status": "pending", "progress_percentage": 0, "details": initial}
    event = Event(
        kind="task.created", at=now, actor_id=user.id, project_id=project_id, task_id=task.id,
        data=data,
    )  # fmt: skip
    session.add_all([task, Document(id=task.id, words=words), event])
    await session.commit()
    return task
