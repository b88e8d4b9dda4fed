"""User sessions: what a person works on, and how, for as long as it is used."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from db import events, projects
from db.actors import Actor
from db.clock import NOW
from db.engine import Tx
from db.errors import ResourceLimitExceeded, ResourceNotFound
from db.ids import new_id
from db.listing import Filter, Listing, one_of
from db.patches import patched
from db.tables import events as log
from db.tables import members, sessions, users
from db.types import Permission, Role, SessionStatus
from db.validation import json_object

MOST_ACTIVE = 100
"""How many sessions a user may have open at once."""
MOST_ACTIVITIES = 200


def status() -> ColumnElement[str]:
    """Whether a session can still be used; the clock is the database's."""
    expired = and_(sessions.c.status == SessionStatus.ACTIVE, sessions.c.expires_at <= NOW)
    return case((expired, literal(str(SessionStatus.EXPIRED))), else_=sessions.c.status)


LISTING = Listing(
    table=sessions,
    kept=sessions.c.deleted_at.is_(None),
    visible_to=lambda actor: sessions.c.user_id == actor.id,
    filters={
        "project_id": Filter(lambda value: sessions.c.project_id == value),
        "status": Filter(lambda value: one_of(status(), value)),
    },
    orders={
        "created_at": sessions.c.created_at,
        "last_accessed_at": sessions.c.last_accessed_at,
    },
)


def activity(session_ids: Any) -> Select[Any]:
    """What happened to these sessions, and what their users did in their projects meanwhile.

    The latest of each, oldest first.
    """
    opened = log.alias("opened")
    own = _told(log.c.session_id).where(one_of(log.c.session_id, session_ids))
    meanwhile = (
        _told(sessions.c.id)
        .select_from(sessions)
        .join(opened, opened.c.session_id == sessions.c.id)
        .join(log, log.c.project_id == sessions.c.project_id)
        .where(
            one_of(opened.c.session_id, session_ids),
            opened.c.kind == "session.created",
            tuple_(log.c.tx, log.c.seq) > tuple_(opened.c.tx, opened.c.seq),
            log.c.actor_id == sessions.c.user_id,
            log.c.session_id.is_(None),
        )
    )
    # Materialized: else SQLite reads all events in the order that the window wants.
    happened = own.union_all(meanwhile).cte("happened").prefix_with("MATERIALIZED")
    newest_first = (happened.c.tx.desc(), happened.c.seq.desc())
    place = func.row_number().over(partition_by=happened.c.session_id, order_by=newest_first)
    placed = select(happened, place.label("place")).subquery()
    latest = placed.c.place <= MOST_ACTIVITIES
    return select(placed).where(latest).order_by(placed.c.session_id, placed.c.place.desc())


def create(
    tx: Tx,
    /,
    actor: Actor,
    *,
    lasts_seconds: int,
    project_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Open a session; returns its id. It expires `lasts_seconds` after its last use.

    Raises `ResourceLimitExceeded` when the user has as many as may be.
    """
    actor.must(Permission.READ)
    if project_id is not None:
        projects.get(tx, actor, project_id)
    _check_room(tx, actor)
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
    _tell(tx, "session.created", actor, session_id, project_id, settings=values["settings"])
    return session_id


def touch(tx: Tx, actor: Actor, session_id: str, lasts_seconds: int) -> Row[Any]:
    """Use a session: it is the actor's own, has not expired, and now lasts anew."""
    session = tx.first(
        update(sessions)
        .where(*_own(actor, session_id), sessions.c.expires_at > tx.now)
        .values(last_accessed_at=tx.now, expires_at=tx.now + timedelta(seconds=lasts_seconds))
        .returning(sessions)
    )
    if not session:
        raise _unknown(session_id)
    return session


def revive(tx: Tx, session: Row[Any], lasts_seconds: int) -> None:
    """Use a session, also one that has expired."""
    lasts = {
        "last_accessed_at": tx.now,
        "expires_at": tx.now + timedelta(seconds=lasts_seconds),
    }
    tx.execute(update(sessions).where(sessions.c.id == session.id).values(lasts))


def change(
    tx: Tx, actor: Actor, session_id: str, settings: Mapping[str, Any], lasts_seconds: int
) -> None:
    """Merge settings into those of a session; null takes a key away. That uses it."""
    session = touch(tx, actor, session_id, lasts_seconds)
    merged = patched(session.settings, json_object("settings", settings))
    put_settings(tx, actor, session, json_object("settings", merged), "session.updated")


def put_settings(
    tx: Tx, actor: Actor, session: Row[Any], settings: Mapping[str, Any], kind: str, **more: Any
) -> None:
    """Give a session these settings, and tell it with all of them: so they can be restored."""
    tx.execute(update(sessions).where(sessions.c.id == session.id).values(settings=settings))
    _tell(tx, kind, actor, session.id, session.project_id, settings=settings, **more)


def remove(tx: Tx, actor: Actor, session_id: str) -> datetime:
    """Close a session for good, expired or not; returns when."""
    session = get(tx, actor, session_id)
    closed = {"status": SessionStatus.CLOSED, "deleted_at": tx.now}
    tx.execute(update(sessions).where(sessions.c.id == session_id).values(closed))
    _tell(tx, "session.deleted", actor, session_id, session.project_id)
    return tx.now


def get(tx: Tx, actor: Actor, session_id: str) -> Row[Any]:
    """The actor's own session, also when it has expired."""
    session = tx.first(select(sessions).where(*_own(actor, session_id)))
    if not session:
        raise _unknown(session_id)
    return session


def look_away(tx: Tx, user_id: str) -> None:
    """Have no project in view of a user's sessions any more that the user may not see."""
    theirs = select(members.c.project_id).where(members.c.user_id == user_id)
    sees_all = select(users.c.id).where(users.c.id == user_id, users.c.role == Role.ADMIN)
    hidden = sessions.c.user_id == user_id, sessions.c.project_id.not_in(theirs), ~sees_all.exists()
    tx.execute(update(sessions).where(*hidden).values(project_id=None))


def _own(actor: Actor, session_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        sessions.c.id == session_id,
        sessions.c.user_id == actor.id,
        sessions.c.deleted_at.is_(None),
    )


def _unknown(session_id: str) -> ResourceNotFound:
    return ResourceNotFound(resource="session", session_id=session_id)


def _check_room(tx: Tx, actor: Actor) -> None:
    mine = LISTING.count(actor, {"status": [SessionStatus.ACTIVE]})
    if tx.scalar(mine) >= MOST_ACTIVE:
        raise ResourceLimitExceeded(resource="session", limit=MOST_ACTIVE)


def _told(session_id: ColumnElement[str]) -> Select[Any]:
    return select(
        session_id.label("session_id"),
        log.c.id,
        log.c.tx,
        log.c.seq,
        log.c.at.label("timestamp"),
        log.c.kind,
        log.c.data,
        log.c.actor_id.label("user_id"),
        events.actor_name(log.c.actor_id).label("user_name"),
        log.c.task_id,
        log.c.data["title"].as_string().label("task_title"),
    )


def _tell(
    tx: Tx, kind: str, actor: Actor, session_id: str, project_id: str | None, **data: Any
) -> None:
    events.tell(tx, kind, actor, project_id=project_id, session_id=session_id, data=data)
