"""Users: who has an account, and what they have done with it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, and_, case, func, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from db import events
from db.actors import Actor
from db.engine import Tx
from db.errors import (
    AccountDisabled,
    Invalid,
    InvalidFormat,
    ResourceAlreadyExists,
    ResourceNotFound,
)
from db.ids import new_id
from db.listing import Filter, Listing, contains, one_of, seconds_between
from db.patches import patched
from db.sessions import look_away
from db.tables import projects, sessions, tasks, users
from db.types import Permission, Role, TaskStatus
from db.validation import json_object, no_nulls, text

TOPIC = "users"
"""Hinted whenever what a token stands for may have changed."""

_FILTERS = {
    "search": contains(users.c.username, users.c.full_name),
    "role": Filter(lambda value: one_of(users.c.role, value)),
}
_ORDERS = {"username": users.c.username, "created_at": users.c.created_at}
PEOPLE = Listing(
    table=users,
    kept=users.c.disabled_at.is_(None),
    visible_to=lambda actor: true(),
    filters=_FILTERS,
    orders=_ORDERS,
    default_order="username",
)
ACCOUNTS = Listing(
    table=users,
    kept=true(),
    visible_to=lambda actor: true(),
    filters=_FILTERS
    | {"is_disabled": Filter(lambda value: users.c.disabled_at.is_not(None) == value)},
    orders=_ORDERS,
    default_order="username",
)


def statistics(user_ids: Any) -> Select[Any]:
    """What users have done, a row a user.

    A task was completed by whom it is assigned to, else by its creator. The login time is how long
    they had a session in use, from its opening to its last use; time in two at once counts once.
    """
    kept = tasks.c.deleted_at.is_(None)
    theirs = or_(
        tasks.c.assigned_to == users.c.id,
        and_(tasks.c.assigned_to.is_(None), tasks.c.created_by == users.c.id),
    )
    created = select(func.count()).where(tasks.c.created_by == users.c.id, kept)
    completed = select(func.count()).where(theirs, tasks.c.status == TaskStatus.COMPLETED, kept)
    opened = select(func.count()).where(
        projects.c.created_by == users.c.id, projects.c.deleted_at.is_(None)
    )
    found = {
        "tasks_created": created,
        "tasks_completed": completed,
        "projects_created": opened,
        "total_login_time": _login_time(user_ids),
    }
    return select(
        users.c.id.label("user_id"),
        *(
            counted.correlate(users).scalar_subquery().label(name)
            for name, counted in found.items()
        ),
    ).where(one_of(users.c.id, user_ids))


def actor_of(user: Row[Any]) -> Actor:
    return Actor(user.id, user.username, Role(user.role), user.is_premium)


def acting(tx: Tx, user_id: str) -> Actor:
    """In whose name is done what they asked for earlier. Raises `AccountDisabled`."""
    user = tx.first(select(users).where(users.c.id == user_id))
    assert user
    if user.disabled_at:
        raise AccountDisabled(username=user.username)
    return actor_of(user)


def create(
    tx: Tx,
    /,
    actor: Actor | None,
    *,
    username: str,
    password_hash: str,
    role: Role = Role.DEVELOPER,
    email: str | None = None,
    full_name: str | None = None,
) -> str:
    """Add a user and return the id. Raises `ResourceAlreadyExists` for a taken name or address."""
    user_id = new_id()
    values: dict[str, Any] = {
        "id": user_id,
        "username": text("username", username, shortest=1, longest=64),
        "email": _address("email", email),
        "full_name": _short("full_name", full_name),
        "password_hash": password_hash,
        "role": role,
        "preferences": {},
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    try:
        tx.execute(insert(users), values)
    except IntegrityError:
        raise ResourceAlreadyExists(resource="user", username=username) from None
    events.tell(tx, "user.created", actor, data={"user_id": user_id, "username": username})
    return user_id


def change(tx: Tx, actor: Actor, user_id: str, changes: Mapping[str, Any]) -> None:
    """Set what `changes` names of somebody's account: an administrator's work.

    Who is disabled, or gets another password, is signed out everywhere. Raises `Invalid` when no
    administrator would be left.
    """
    actor.must(Permission.ADMINISTER)
    no_nulls(changes, but=("email", "full_name", "avatar_url"))
    user = tx.first(select(users).where(users.c.id == user_id))
    if not user:
        raise ResourceNotFound(resource="user", user_id=user_id)
    values = {
        field: _CHECKS[field](field, value) if field in _CHECKS else value
        for field, value in changes.items()
        if field != "is_disabled"
    }
    if "is_disabled" in changes:
        values["disabled_at"] = (user.disabled_at or tx.now) if changes["is_disabled"] else None
    _check_an_administrator_stays(tx, user, values)
    if "password_hash" in values:
        values["token_version"] = user.token_version + 1
    _put(tx, user_id, values)
    look_away(tx, user_id)
    tx.hint(TOPIC)
    data = {"user_id": user_id, "fields": sorted(changes)}
    events.tell(tx, "user.updated", actor, data=data)


def change_password(tx: Tx, actor: Actor, password_hash: str) -> None:
    """Give oneself another password; every token from before is worth nothing any more."""
    _put(tx, actor.id, {"password_hash": password_hash, "token_version": users.c.token_version + 1})
    tx.hint(TOPIC)
    events.tell(tx, "user.password_changed", actor, data={"user_id": actor.id})


def prefer(tx: Tx, actor: Actor, preferences: Any) -> None:
    """Merge preferences into one's own: objects key by key, null takes a key away."""
    wanted = json_object("preferences", preferences)
    known = tx.scalar(select(users.c.preferences).where(users.c.id == actor.id).with_for_update())
    merged = json_object("preferences", patched(known, wanted))
    _put(tx, actor.id, {"preferences": merged})


def record_login(tx: Tx, user_id: str) -> None:
    """Remember when the user last signed in."""
    tx.execute(update(users).where(users.c.id == user_id).values(last_login_at=tx.now))


def is_empty(tx: Tx) -> bool:
    """True as long as nobody has an account."""
    return tx.first(select(users.c.id).limit(1)) is None


def _put(tx: Tx, user_id: str, values: Mapping[str, Any]) -> None:
    changed = update(users).where(users.c.id == user_id).values(**values, updated_at=tx.now)
    try:
        tx.execute(changed)
    except IntegrityError:
        raise ResourceAlreadyExists(resource="user", email=values.get("email")) from None


def _check_an_administrator_stays(tx: Tx, user: Row[Any], values: Mapping[str, Any]) -> None:
    enabled = users.c.disabled_at.is_(None)
    others = select(users.c.id).where(users.c.role == Role.ADMIN, enabled, users.c.id != user.id)
    stays = values.get("role", user.role) == Role.ADMIN and not values.get("disabled_at")
    if user.role == Role.ADMIN and not stays and not tx.first(others.with_for_update()):
        raise Invalid("role", "The last administrator stays one")


def _login_time(user_ids: Any) -> Select[Any]:
    """Of one user of the outer statement, in seconds."""
    earlier = func.max(sessions.c.last_accessed_at).over(
        partition_by=sessions.c.user_id,
        order_by=(sessions.c.created_at, sessions.c.id),
        rows=(None, -1),
    )
    spans = (
        select(
            sessions.c.user_id,
            sessions.c.created_at.label("start"),
            sessions.c.last_accessed_at.label("end"),
            earlier.label("covered"),
        )
        .where(one_of(sessions.c.user_id, user_ids))
        .subquery()
    )
    start = case((spans.c.covered > spans.c.start, spans.c.covered), else_=spans.c.start)
    seconds = case((spans.c.end > start, seconds_between(start, spans.c.end)), else_=0.0)
    return select(func.coalesce(func.sum(seconds), 0.0)).where(spans.c.user_id == users.c.id)


def _address(field: str, email: str | None) -> str | None:
    if email is None:
        return None
    name, at, host = email.partition("@")
    if not (name and at and host) or any(character.isspace() for character in email):
        raise InvalidFormat(field, "Not an e-mail address")
    return text(field, email, longest=254)


def _short(field: str, value: str | None) -> str | None:
    return text(field, value, longest=200) if value else None


def _link(field: str, value: str | None) -> str | None:
    if not value:
        return None
    if not value.startswith(("https://", "http://")):
        raise InvalidFormat(field, "Must begin with https://")
    return text(field, value, longest=2000)


_CHECKS = {"email": _address, "full_name": _short, "avatar_url": _link}
