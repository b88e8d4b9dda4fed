"""Maintenance mode: while it lasts, only administrators change anything."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, update

from db import events
from db.actors import Actor
from db.engine import Tx
from db.errors import Invalid
from db.tables import maintenance
from db.types import Permission
from db.validation import text

TOPIC = "maintenance"


def current() -> Select[Any]:
    """The row that says since when it lasts, if it does."""
    return select(maintenance)


def start(
    tx: Tx, actor: Actor, message: str | None = None, until_at: datetime | None = None
) -> None:
    """Begin it, or say anew why and how long it is meant to last."""
    actor.must(Permission.ADMINISTER)
    if until_at and until_at <= tx.now:
        raise Invalid("until", "Must be in the future")
    message = text("message", message, longest=2000) if message is not None else None
    _set(tx, since_at=tx.now, message=message, until_at=until_at, started_by=actor.id)
    until = until_at.isoformat() if until_at else None
    _tell(tx, actor, active=True, message=message, until=until)


def end(tx: Tx, actor: Actor) -> None:
    """Let everyone work again."""
    actor.must(Permission.ADMINISTER)
    _set(tx, since_at=None, message=None, until_at=None, started_by=None)
    _tell(tx, actor, active=False)


def _set(tx: Tx, **values: Any) -> None:
    tx.execute(update(maintenance).values(values))
    tx.hint(TOPIC)


def _tell(tx: Tx, actor: Actor, **data: Any) -> None:
    events.tell(tx, "system.maintenance", actor, data=data)
