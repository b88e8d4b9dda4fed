"""Users: who has an account."""

from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from db import events
from db.actors import Actor
from db.engine import Tx
from db.errors import InvalidFormat, ResourceAlreadyExists
from db.ids import new_id
from db.tables import users
from db.types import Role
from db.validation import text


def actor_of(user: Row[Any]) -> Actor:
    return Actor(user.id, user.username, Role(user.role), user.is_premium)


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
        "email": _address(email),
        "full_name": text("full_name", full_name, longest=200) if full_name else None,
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


def record_login(tx: Tx, user_id: str) -> None:
    """Remember when the user last signed in."""
    tx.execute(update(users).where(users.c.id == user_id).values(last_login_at=tx.now))


def is_empty(tx: Tx) -> bool:
    """True as long as nobody has an account."""
    return tx.first(select(users.c.id).limit(1)) is None


def _address(email: str | None) -> str | None:
    if email is None:
        return None
    name, at, host = email.partition("@")
    if not (name and at and host) or any(character.isspace() for character in email):
        raise InvalidFormat("email", "Not an e-mail address")
    return text("email", email, longest=254)
