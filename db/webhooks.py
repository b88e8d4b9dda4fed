"""Webhooks: who is told by HTTP of what happens in a project, or in the whole system."""

import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, func, insert, select, true, update

from db import events, projects
from db.actors import Actor
from db.addresses import check_url
from db.engine import Tx
from db.errors import (
    Invalid,
    InvalidFormat,
    ProjectAccessDenied,
    ProjectLimitExceeded,
    RequiredField,
    ResourceNotFound,
)
from db.ids import new_id
from db.listing import Filter, Listing
from db.payloads import EVENTS, OF_THE_SYSTEM
from db.tables import deliveries, members, webhooks
from db.tables import projects as projects_table
from db.types import DeliveryStatus, MemberRole, Permission
from db.validation import no_nulls, text

SHORTEST_SECRET = 16
LONGEST_SECRET = 200
MOST_OF_A_PROJECT = 50
DELETED = "The webhook was deleted"

IS_LIVE = and_(
    webhooks.c.enabled,
    webhooks.c.deleted_at.is_(None),
    ~exists().where(
        projects_table.c.id == webhooks.c.project_id, projects_table.c.deleted_at.is_not(None)
    ),
)
"""True of webhooks that are told of anything."""


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """True of webhooks of projects that the actor owns, or of any for an administrator."""
    if actor.is_admin:
        return true()
    owned = select(members.c.project_id).where(
        members.c.user_id == actor.id, members.c.role == MemberRole.OWNER
    )
    return webhooks.c.project_id.in_(owned)


LISTING = Listing(
    table=webhooks,
    kept=webhooks.c.deleted_at.is_(None),
    visible_to=visible_to,
    filters={
        "project_id": Filter(lambda value: webhooks.c.project_id == value),
        "enabled": Filter(lambda value: webhooks.c.enabled == value),
    },
    orders={"created_at": webhooks.c.created_at},
)


def create(
    tx: Tx,
    /,
    actor: Actor,
    *,
    url: str,
    project_id: str | None = None,
    events: Iterable[str] | None = None,
    secret: str | None = None,
    description: str | None = None,
    enabled: bool = True,
    allowed_hosts: Collection[str] = (),
) -> tuple[str, str]:
    """Have an address told of what happens from now on; returns the webhook's id and its secret.

    A project's are for its owners, those of the whole system for administrators. Of
    `allowed_hosts` the address may be private.
    """
    _check_owner(tx, actor, project_id)
    given = {"url": url, "events": events, "description": description, "enabled": enabled}
    webhook_id, secret = new_id(), _secret(secret)
    tx.execute(
        insert(webhooks),
        {
            **_valid(project_id, given, allowed_hosts),
            **_from_now_on(tx),
            "id": webhook_id,
            "project_id": project_id,
            "secret": secret,
            "created_by": actor.id,
            "created_at": tx.now,
            "updated_at": tx.now,
        },
    )
    _tell(tx, "webhook.created", actor, project_id, webhook_id)
    return webhook_id, secret


def change(
    tx: Tx,
    actor: Actor,
    webhook_id: str,
    changes: Mapping[str, Any],
    allowed_hosts: Collection[str] = (),
) -> None:
    """Set what `changes` names. Enabled again, it is not told of what it has missed."""
    webhook = get(tx, actor, webhook_id, changing=True)
    no_nulls(changes, but=("description",))
    values = _valid(webhook.project_id, changes, allowed_hosts)
    if values.get("enabled") and not webhook.enabled:
        values |= _from_now_on(tx)
    _set(tx, webhook_id, **values)
    _tell(tx, "webhook.updated", actor, webhook.project_id, webhook_id)


def rotate(tx: Tx, actor: Actor, webhook_id: str, secret: str | None = None) -> str:
    """Give it another secret, by which all is signed from now on; returns that."""
    webhook = get(tx, actor, webhook_id, changing=True)
    secret = _secret(secret)
    _set(tx, webhook_id, secret=secret)
    _tell(tx, "webhook.secret_rotated", actor, webhook.project_id, webhook_id)
    return secret


def remove(tx: Tx, actor: Actor, webhook_id: str) -> None:
    """Delete a webhook softly, but for its secret; what it has not been told of, it never is."""
    webhook = get(tx, actor, webhook_id)
    _set(tx, webhook_id, deleted_at=tx.now, enabled=False, secret="")
    tx.execute(
        update(deliveries)
        .where(deliveries.c.webhook_id == webhook_id, deliveries.c.status == DeliveryStatus.PENDING)
        .values(status=DeliveryStatus.FAILED, next_attempt_at=None, error=DELETED)
    )
    _tell(tx, "webhook.removed", actor, webhook.project_id, webhook_id)


def switch_off(tx: Tx, webhook: Row[Any], reason: str) -> None:
    """Send it nothing more, until somebody enables it."""
    _set(tx, webhook.id, enabled=False, disabled_reason=reason)
    _tell(tx, "webhook.disabled", None, webhook.project_id, webhook.id, reason=reason)


def get(tx: Tx, actor: Actor, webhook_id: str, *, changing: bool = False) -> Row[Any]:
    """The webhook, if the actor may manage it; `changing` what is not read-only."""
    actor.must(Permission.WRITE)
    of_it = (webhooks.c.id == webhook_id, LISTING.kept, visible_to(actor))
    webhook = tx.first(select(webhooks).where(*of_it).with_for_update(key_share=True))
    if not webhook:
        raise ResourceNotFound(resource="webhook", webhook_id=webhook_id)
    if changing and webhook.project_id:
        projects.get_active(tx, actor, webhook.project_id)
    return webhook


def get_enabled(tx: Tx, actor: Actor, webhook_id: str) -> Row[Any]:
    """The webhook, to send it something. Raises `Invalid` when it is switched off."""
    webhook = get(tx, actor, webhook_id, changing=True)
    if not webhook.enabled:
        raise Invalid("enabled", "The webhook is disabled", disabled_reason=webhook.disabled_reason)
    return webhook


def _check_owner(tx: Tx, actor: Actor, project_id: str | None) -> None:
    if project_id is None:
        actor.must(Permission.ADMINISTER)
        return
    actor.must(Permission.WRITE)
    project = projects.get_active(tx, actor, project_id)
    if not (actor.is_admin or project.role == MemberRole.OWNER):
        raise ProjectAccessDenied(project_id=project_id, role=project.role)
    projects.lock(tx, project_id)
    count = select(func.count()).where(webhooks.c.project_id == project_id, LISTING.kept)
    if tx.scalar(count) >= MOST_OF_A_PROJECT:
        raise ProjectLimitExceeded(project_id=project_id, max_webhooks=MOST_OF_A_PROJECT)


def _valid(
    project_id: str | None, values: Mapping[str, Any], allowed_hosts: Collection[str]
) -> dict[str, Any]:
    found = dict(values)
    if "url" in found:
        check_url("url", found["url"], allowed_hosts)
    if "events" in found:
        found["events"] = _events(project_id, found["events"])
    if found.get("description") is not None:
        text("description", found["description"], longest=2000)
    return found


def _events(project_id: str | None, words: Iterable[str] | None) -> list[str]:
    possible = [event for event in EVENTS if project_id is None or event not in OF_THE_SYSTEM]
    if words is None:
        return possible
    wanted = set(words)
    if not wanted:
        raise RequiredField("events", "Name at least one")
    if strays := sorted(wanted.difference(possible)):
        issue = f"Not an event that it can be told of: {strays[0][:64]}"
        raise InvalidFormat("events", issue, possible=possible)
    return [event for event in possible if event in wanted]


def _secret(given: str | None) -> str:
    if given is None:
        return secrets.token_urlsafe(32)
    return text("secret", given, shortest=SHORTEST_SECRET, longest=LONGEST_SECRET)


def _from_now_on(tx: Tx) -> dict[str, Any]:
    newest = tx.first(events.latest())
    tx_number, seq = (newest.tx, newest.seq) if newest else events.parse_cursor(events.START)
    known = {"cursor_tx": tx_number, "cursor_seq": seq}
    return known | {"disabled_reason": None, "failures": 0, "failing_since": None}


def _set(tx: Tx, webhook_id: str, **values: Any) -> None:
    tx.execute(
        update(webhooks).where(webhooks.c.id == webhook_id).values(**values, updated_at=tx.now)
    )
    tx.hint("webhooks", "deliveries")


def _tell(
    tx: Tx, kind: str, actor: Actor | None, project_id: str | None, webhook_id: str, **details: Any
) -> None:
    events.tell(tx, kind, actor, project_id=project_id, data={"webhook_id": webhook_id, **details})
