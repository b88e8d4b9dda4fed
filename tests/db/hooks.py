"""Webhooks of somebody's project, and the deliveries that wait for them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from db import deliveries, events, webhooks
from db.actors import Actor
from db.clock import from_now
from db.deliveries import Taken
from db.engine import Database
from db.tables import deliveries as delivery_rows
from db.tables import events as log
from db.tables import webhooks as rows
from tests.db import queues, record

URL = "https://example.org/hook"
PATIENCE_SECONDS = 20


async def project_of(database: Database) -> tuple[Actor, str]:
    """Ann, and a project that she owns."""
    ann = await record.person(database)
    return ann, await record.project(database, ann)


async def hook(database: Database, who: Actor, **words: Any) -> str:
    made = await database.write(webhooks.create, who, **{"url": URL} | words)
    return made[0]


async def one_delivery(database: Database) -> str:
    """The id of a webhook that one delivery waits for."""
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id)
    await record.task(database, ann, project_id)
    await spread(database, 1)
    return webhook_id


async def spread(database: Database, count: int) -> Sequence[Any]:
    """The deliveries, once there are so many: other transactions on the server hold them up."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found := await all_deliveries(database)) < count:
            await database.write(deliveries.spread)
            await asyncio.sleep(0.005)
    assert count == len(found)
    return found


async def settled(database: Database) -> None:
    """Wait until no open transaction can precede what has been told."""
    newest = select(events.settled()).select_from(log).order_by(log.c.tx.desc(), log.c.seq.desc())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await database.scalar(newest.limit(1)):  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.005)


async def all_deliveries(database: Database) -> Sequence[Any]:
    in_order = (delivery_rows.c.created_at, delivery_rows.c.id)
    return await database.rows(select(delivery_rows).order_by(*in_order))


async def stored(database: Database, webhook_id: str) -> Any:
    return await database.first(select(rows).where(rows.c.id == webhook_id))


async def take(database: Database, webhook_id: str, limit: int = 8) -> list[Taken]:
    return await database.write(deliveries.take_due, webhook_id, limit=limit)


async def make_due(database: Database) -> None:
    await queues.carry_out(database, update(delivery_rows).values(next_attempt_at=from_now(-1)))
