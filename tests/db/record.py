"""People, projects and tasks, made by the rules."""

from typing import Any

from sqlalchemy import select

from db import projects, tasks, users
from db.actors import Actor
from db.engine import Database
from db.tables import tasks as task_rows
from db.types import MemberRole, Role


async def person(
    database: Database, username: str = "ann", role: Role = Role.DEVELOPER, **more: Any
) -> Actor:
    """Somebody with an account."""
    user_id = await database.write(
        users.create, None, username=username, password_hash="", role=role, **more
    )
    return Actor(user_id, username, role)


async def project(database: Database, owner: Actor, **words: Any) -> str:
    """The id of a project of somebody's."""
    return await database.write(projects.create, owner, **{"name": "P"} | words)


async def member(database: Database, project_id: str, who: Actor, role: MemberRole) -> None:
    """Put somebody into a project."""
    await database.write(projects.add_member, project_id, who.id, role)


async def task(database: Database, actor: Actor, project_id: str, **words: Any) -> str:
    """The id of a task in a project."""
    return await database.write(
        tasks.create, actor, project_id=project_id, **{"title": "T"} | words
    )


async def stored(database: Database, task_id: str) -> Any:
    """A task as it is."""
    return await database.first(select(task_rows).where(task_rows.c.id == task_id))
