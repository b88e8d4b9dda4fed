"""User sessions: what a person works on, and how, for as long as it is used."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, insert, update

from db import events, projects
from db.actors import Actor
from db.engine import Tx
from db.errors import ResourceNotFound
from db.ids import new_id
from db.listing import Filter, Listing
from db.tables import sessions
from db.types import Permission, SessionStatus
from db.validation import json_object

LISTING = Listing(
    table=sessions,
    kept=sessions.c.deleted_at.is_(None),
    visible_to=lambda actor: sessions.c.user_id == actor.id,
    filters={"project_id": Filter(lambda value: sessions.c.project_id == value)},
    orders={"created_at": sessions.c.created_at},
)


def create(
    tx: Tx,
    /,
    actor: Actor,
    *,
    lasts_seconds: int,
    project_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Open a session; returns its id. It expires `lasts_seconds` after its last use."""
    actor.must(Permission.READ)
    if project_id:
        projects.get(tx, actor, project_id)
    session_id = new_id()
    values = {
        "id": session_id,
        "project_id": project_id,
        "user_id": actor.id,
        "status": SessionStatus.ACTIVE,
        "settings": json_object("settings", {} if settings is None else settings),
        "created_at": tx.now,
        "last_accessed_at": tx.now,
        "expires_at": tx.now + timedelta(seconds=lasts_seconds),
    }
    tx.execute(insert(sessions), values)
    events.tell(
        tx,
        "session.created",
        actor,
        project_id=project_id,
        session_id=session_id,
        data={"settings": values["settings"]},
    )
    return session_id


def touch(tx: Tx, actor: Actor, session_id: str, lasts_seconds: int) -> Row[Any]:
    """Use a session: it is the actor's own, has not expired, and now lasts anew."""
    session = tx.first(
        update(sessions)
        .where(
            sessions.c.id == session_id,
            sessions.c.user_id == actor.id,
            sessions.c.deleted_at.is_(None),
            sessions.c.expires_at > tx.now,
        )
        .values(last_accessed_at=tx.now, expires_at=tx.now + timedelta(seconds=lasts_seconds))
        .returning(sessions)
    )
    if not session:
        raise ResourceNotFound(resource="session", session_id=session_id)
    return session
