"""Notifications: what an administrator tells the users, kept for those who are away."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, exists, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from db import events
from db.actors import Actor
from db.clock import NOW
from db.engine import Moment, Tx
from db.errors import Invalid, ResourceNotFound
from db.ids import new_id
from db.statements import Statement, Writing
from db.tables import notification_receipts as receipts
from db.tables import notifications, users
from db.types import NotificationLevel, Permission
from db.validation import text

TOPIC = "notifications"
LASTS = timedelta(days=7)
MOST_ACTIONS = 5
MOST_WAITING = 100
ALERTING = (NotificationLevel.WARNING, NotificationLevel.ERROR)

_INSERT: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def waiting_for(actor: Actor) -> Select[Any]:
    """What a user has been told and has not acknowledged, oldest first."""
    joined_at = select(users.c.created_at).where(users.c.id == actor.id).scalar_subquery()
    return (
        select(notifications)
        .where(
            _is_for(actor),
            notifications.c.expires_at > NOW,
            notifications.c.created_at >= joined_at,
            ~exists().where(
                receipts.c.user_id == actor.id,
                receipts.c.notification_id == notifications.c.id,
            ),
        )
        .order_by(notifications.c.created_at, notifications.c.id)
        .limit(MOST_WAITING)
    )


def notify(
    tx: Tx,
    /,
    actor: Actor,
    *,
    title: str,
    message: str,
    level: NotificationLevel = NotificationLevel.INFO,
    actions: Sequence[Mapping[str, str]] = (),
    user_id: str | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Tell a user something, or everyone; returns the notification's id.

    It is shown until it is acknowledged or expires, after seven days by default.
    """
    actor.must(Permission.ADMINISTER)
    if user_id and not tx.first(select(users.c.id).where(users.c.id == user_id)):
        raise ResourceNotFound(resource="user", user_id=user_id)
    if expires_at and expires_at <= tx.now:
        raise Invalid("expires_at", "Must be in the future")
    notification_id = new_id()
    values = {
        "id": notification_id,
        "user_id": user_id,
        "level": level,
        "title": text("title", title, shortest=1, longest=200),
        "message": text("message", message, shortest=1, longest=10_000),
        "actions": _actions(actions),
        "created_by": actor.id,
        "created_at": tx.now,
        "expires_at": expires_at or tx.now + LASTS,
    }
    tx.execute(insert(notifications), values)
    kind = "system.alert" if level in ALERTING else "system.notification"
    data = {"notification_id": notification_id, "user_id": user_id}
    told = {name: values[name] for name in ("level", "title", "message")}
    events.tell(tx, kind, actor, data=data | told)
    tx.hint(TOPIC)
    return notification_id


def remind(
    tx: Tx,
    user_id: str,
    subject_id: str,
    *,
    title: str,
    message: str,
    actions: Sequence[Mapping[str, str]],
    expires_at: datetime,
) -> None:
    """Show a user that something waits for them; it has the id of what that is."""
    values = {
        "id": subject_id,
        "user_id": user_id,
        "level": NotificationLevel.INFO,
        "title": title,
        "message": message,
        "actions": list(actions),
        "created_by": user_id,
        "created_at": tx.now,
        "expires_at": expires_at,
    }
    tx.execute(insert(notifications), values)
    tx.hint(TOPIC)


def retract(at: Moment, notification_id: str) -> Writing[None]:
    """Show it no more, to nobody."""
    yield _RETRACT, {"notification": notification_id, "now": at.now}
    at.hint(TOPIC)


def acknowledge(tx: Tx, actor: Actor, notification_id: str) -> None:
    """Note that the actor has taken notice: it is shown to them no more."""
    found = (notifications.c.id == notification_id, _is_for(actor))
    if not tx.first(select(notifications.c.id).where(*found)):
        raise ResourceNotFound(resource="notification", notification_id=notification_id)
    receipt = {
        "user_id": actor.id,
        "notification_id": notification_id,
        "acknowledged_at": tx.now,
    }
    tx.execute(_INSERT[tx.dialect_name](receipts).on_conflict_do_nothing(), receipt)


def _is_for(actor: Actor) -> Any:
    return or_(notifications.c.user_id.is_(None), notifications.c.user_id == actor.id)


def _actions(actions: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    if len(actions) > MOST_ACTIONS:
        raise Invalid("actions", f"Must be at most {MOST_ACTIONS}", maximum=MOST_ACTIONS)
    return [
        {
            name: text(f"actions.{place}.{name}", value, shortest=1, longest=2000)
            for name, value in action.items()
        }
        for place, action in enumerate(actions)
    ]


_RETRACT = Statement(
    update(notifications)
    .where(notifications.c.id == bindparam("notification"))
    .values(expires_at=bindparam("now", type_=notifications.c.expires_at.type))
)
