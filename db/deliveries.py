"""Deliveries: the attempts to hand one event to one webhook."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    true,
    tuple_,
    update,
)

from db import batches, events, payloads, webhooks
from db.actors import Actor
from db.clock import NOW, from_now
from db.engine import Tx
from db.errors import ResourceNotFound
from db.ids import new_id
from db.listing import Filter, Listing, one_of
from db.tables import deliveries
from db.tables import events as log
from db.tables import webhooks as webhooks_table
from db.types import DeliveryStatus
from db.webhooks import IS_LIVE

WEBHOOKS_AT_ONCE = 50
EVENTS_AT_ONCE = 200
LEASE_SECONDS = 60
"""After this, what somebody took and has not settled may be taken by another."""
PAUSES_SECONDS = (10, 60, 300, 1800, 2 * 3600, 6 * 3600, 15 * 3600)
"""Before each further attempt: about a day in all."""
MOST_FAILURES = 100
LONGEST_FAILING = timedelta(days=1)
MOST_RECENT = 10
GONE = 410


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """True of deliveries to webhooks that the actor may manage."""
    theirs = select(webhooks_table.c.id).where(webhooks.LISTING.matching(actor, {}))
    return deliveries.c.webhook_id.in_(theirs)


LISTING = Listing(
    table=deliveries,
    kept=true(),
    visible_to=visible_to,
    filters={
        "webhook_id": Filter(lambda value: deliveries.c.webhook_id == value),
        "status": Filter(lambda value: one_of(deliveries.c.status, value)),
        "event": Filter(lambda value: deliveries.c.event == value),
    },
    orders={"created_at": deliveries.c.created_at},
)


@dataclass(frozen=True)
class Taken:
    """A delivery that is ours to send, until its lease runs out; `attempt` counts from 1."""

    id: str
    attempt: int
    event: str
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """How an attempt went: the status of the response, and what was wrong, if anything was."""

    status: int | None = None
    error: str | None = None


def ping(tx: Tx, actor: Actor, webhook_id: str) -> str:
    """Send a webhook something to try it; returns the id of the delivery."""
    webhook = webhooks.get_enabled(tx, actor, webhook_id)
    delivery_id = new_id()
    body = payloads.body(payloads.PING, tx.now, {"events": webhook.events}, webhook_id, delivery_id)
    _add(tx, [_row(tx, webhook_id, delivery_id, new_id(), payloads.PING, body)])
    return delivery_id


def redeliver(tx: Tx, actor: Actor, delivery_id: str) -> str:
    """Try once more, now, with the same body; returns the id, which is the same as well."""
    seen = (deliveries.c.id == delivery_id, visible_to(actor))
    found = tx.first(select(deliveries.c.webhook_id).where(*seen))
    if not found:
        raise ResourceNotFound(resource="delivery", delivery_id=delivery_id)
    webhooks.get_enabled(tx, actor, found.webhook_id)
    _set(tx, delivery_id, status=DeliveryStatus.PENDING, next_attempt_at=NOW, delivered_at=None)
    tx.hint("deliveries")
    return delivery_id


def recent(delivery: Select[Any], webhook_ids: Any) -> Select[Any]:
    """The latest deliveries of each of these webhooks, newest first."""
    newest_first = (deliveries.c.created_at.desc(), deliveries.c.id.desc())
    place = func.row_number().over(partition_by=deliveries.c.webhook_id, order_by=newest_first)
    placed = select(deliveries.c.id, place.label("place")).where(
        one_of(deliveries.c.webhook_id, webhook_ids)
    )
    found = placed.subquery()
    return (
        delivery.join(found, found.c.id == deliveries.c.id)
        .where(found.c.place <= MOST_RECENT)
        .order_by(*newest_first)
    )


def behind() -> Select[Any]:
    """A webhook that has not been told of all that happened, if there is one."""
    newest = select(log.c.tx, log.c.seq).order_by(log.c.tx.desc(), log.c.seq.desc()).limit(1)
    last = newest.subquery()
    return select(_hooks.id).where(IS_LIVE, _cursor < tuple_(last.c.tx, last.c.seq)).limit(1)


def spread(tx: Tx) -> None:
    """Make deliveries of what has happened, first for the webhooks that are furthest behind.

    A webhook's cursor moves in the same transaction: each event becomes a delivery once, however
    many try. As with every reader of the log, it stops before what is not settled.
    """
    newest = tx.first(events.latest())
    if not newest:
        return
    until = tuple_(newest.tx, newest.seq)
    late = (
        select(webhooks_table)
        .where(IS_LIVE, _cursor < until)
        .order_by(_hooks.cursor_tx, _hooks.cursor_seq)
        .limit(WEBHOOKS_AT_ONCE)
        .with_for_update(of=webhooks_table, skip_locked=True, key_share=True)
    )
    for webhook in tx.all(late):
        _tell(tx, webhook, newest)


def due(but: Collection[str], *, limit: int) -> Select[Any]:
    """The ids of webhooks that something is to be sent to now, except for these."""
    waits = exists().where(deliveries.c.webhook_id == _hooks.id, _IS_DUE)
    others = _hooks.id.not_in(list(but))
    # When they are more than that, by chance: none is always the last.
    return select(_hooks.id).where(IS_LIVE, waits, others).order_by(func.random()).limit(limit)


def take_due(tx: Tx, webhook_id: str, *, limit: int) -> list[Taken]:
    """Take what is to be sent to a webhook now, so that nobody else sends it for a while."""
    free = (
        select(deliveries, _hooks.url, _hooks.secret)
        .join(webhooks_table, _hooks.id == deliveries.c.webhook_id)
        .where(deliveries.c.webhook_id == webhook_id, _IS_DUE, IS_LIVE)
        .order_by(deliveries.c.next_attempt_at)
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
    )
    taken = [
        Taken(row.id, row.attempts + 1, row.event, row.body, row.url, row.secret)
        for row in tx.all(free)
    ]
    if taken:
        ours = deliveries.c.id.in_([each.id for each in taken])
        leased = {"attempts": deliveries.c.attempts + 1, "next_attempt_at": from_now(LEASE_SECONDS)}
        tx.execute(update(deliveries).where(ours).values(leased))
    return taken


def settle(tx: Tx, taken: Taken, answer: Answer) -> DeliveryStatus | None:
    """Write down how an attempt went, and what comes next; None for one that is not ours any more.

    Whoever has taken the delivery since will say how that went.
    """
    delivery = tx.first(_OF_IT, {"id": taken.id})
    if not delivery:
        return None
    webhook = tx.connection.execute(_LOCKED, {"id": delivery.webhook_id}).one()
    ours = {"id": taken.id, "attempt": taken.attempt}
    if not tx.first(_STILL_OURS, ours):
        return None
    seen = {"response_status": answer.status, "error": answer.error}
    if answer.error is None:
        done = {"status": DeliveryStatus.DELIVERED, "delivered_at": tx.now}
        _set(tx, taken.id, **seen, **done, next_attempt_at=None)
        _note_success(tx, webhook)
        return DeliveryStatus.DELIVERED
    status = _set_failed(tx, taken, answer, seen)
    _note_failure(tx, webhook, answer)
    return status


def _tell(tx: Tx, webhook: Row[Any], newest: Row[Any]) -> None:
    place = tuple_(log.c.tx, log.c.seq)
    news = tx.all(
        select(log)
        .where(
            place > tuple_(webhook.cursor_tx, webhook.cursor_seq),
            place <= tuple_(newest.tx, newest.seq),
            log.c.kind.in_(payloads.kinds_of(webhook.events)),
            *([log.c.project_id == webhook.project_id] if webhook.project_id else []),
        )
        .order_by(log.c.tx, log.c.seq)
        .limit(EVENTS_AT_ONCE)
    )
    _add(tx, [_of_event(tx, webhook, event) for event in news if payloads.is_told(event)])
    last = news[-1] if len(news) == EVENTS_AT_ONCE else newest
    moved = {"cursor_tx": last.tx, "cursor_seq": last.seq}
    tx.execute(update(webhooks_table).where(_hooks.id == webhook.id).values(moved))


def _of_event(tx: Tx, webhook: Row[Any], event: Row[Any]) -> dict[str, Any]:
    delivery_id, word = new_id(), payloads.WORDS[event.kind]
    body = payloads.body(word, event.at, payloads.data_of(event), webhook.id, delivery_id)
    return _row(tx, webhook.id, delivery_id, event.id, word, body)


def _row(
    tx: Tx, webhook_id: str, delivery_id: str, event_id: str, event: str, body: bytes
) -> dict[str, Any]:
    return {
        "id": delivery_id,
        "webhook_id": webhook_id,
        "event_id": event_id,
        "event": event,
        "body": body,
        "status": DeliveryStatus.PENDING,
        "created_at": tx.now,
    }


def _add(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        batches.add(tx, deliveries, rows, (("next_attempt_at", NOW),))
        tx.hint("deliveries")


def _set_failed(tx: Tx, taken: Taken, answer: Answer, seen: dict[str, Any]) -> DeliveryStatus:
    if answer.status == GONE or taken.attempt > len(PAUSES_SECONDS):
        _set(tx, taken.id, **seen, status=DeliveryStatus.FAILED, next_attempt_at=None)
        return DeliveryStatus.FAILED
    # Not all at one moment.
    pause = PAUSES_SECONDS[taken.attempt - 1] * random.uniform(0.8, 1.2)
    _set(tx, taken.id, **seen, next_attempt_at=from_now(pause))
    return DeliveryStatus.PENDING


def _note_success(tx: Tx, webhook: Row[Any]) -> None:
    if webhook.failures:
        well = {"failures": 0, "failing_since": None}
        tx.execute(update(webhooks_table).where(_hooks.id == webhook.id).values(well))


def _note_failure(tx: Tx, webhook: Row[Any], answer: Answer) -> None:
    count, since = webhook.failures + 1, webhook.failing_since or tx.now
    failing = {"failures": count, "failing_since": since}
    tx.execute(update(webhooks_table).where(_hooks.id == webhook.id).values(failing))
    if not webhook.enabled:
        return
    if answer.status == GONE:
        webhooks.switch_off(tx, webhook, "The receiver answered 410 Gone")
    elif count >= MOST_FAILURES and tx.now - since >= LONGEST_FAILING:
        webhooks.switch_off(tx, webhook, f"{count} attempts failed, one after the other")


def _set(tx: Tx, delivery_id: str, **values: Any) -> None:
    tx.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))


_hooks = webhooks_table.c
_cursor = tuple_(_hooks.cursor_tx, _hooks.cursor_seq)
# Spelled out, so that the index of the pending ones is used.
_IS_PENDING = deliveries.c.status == literal(str(DeliveryStatus.PENDING), literal_execute=True)
_IS_DUE = and_(_IS_PENDING, deliveries.c.next_attempt_at <= NOW)
_OF_IT = select(deliveries.c.webhook_id).where(deliveries.c.id == bindparam("id"))
# Before its deliveries, as whoever removes it does: so nobody waits in a circle.
_LOCKED = select(webhooks_table).where(_hooks.id == bindparam("id")).with_for_update(key_share=True)
_STILL_OURS = (
    select(deliveries.c.id)
    .where(
        deliveries.c.id == bindparam("id"),
        deliveries.c.attempts == bindparam("attempt"),
        _IS_PENDING,
        # Else it is to be sent once more, by whoever comes first: it was asked for meanwhile.
        deliveries.c.next_attempt_at > NOW,
    )
    .with_for_update()
)
