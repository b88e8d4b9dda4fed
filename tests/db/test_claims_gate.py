"""The gate of PostgreSQL: who pauses or clears a lane waits for the claim that is going on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from db import claims, queues
from db.actors import Actor
from db.engine import Database, Tx
from db.postgres import with_driver
from db.types import Lane
from tests.db.queues import add_user, opened

PATIENCE_SECONDS = 20
WAITING = text("""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def gate(connection: Connection) -> None:
    tx = Tx(connection)
    tx.enact(claims.queue_up(tx))


def pause(tx: Tx, user: Actor) -> None:
    queues.pause(tx, user, Lane.NORMAL)


def clear(tx: Tx, user: Actor) -> None:
    queues.clear(tx, user, Lane.NORMAL, confirm=True)


@pytest.mark.parametrize("change", [pause, clear])
async def test_a_change_of_a_lane_waits_for_the_claim_before_it(
    postgres_url: str, change: Callable[[Tx, Actor], Any]
) -> None:
    engine = create_async_engine(with_driver(postgres_url))
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        opened(postgres_url, 1) as (database,),
        engine.connect() as claiming,
    ):
        user = await database.write(add_user, "user")
        await claiming.run_sync(gate)
        changing = asyncio.create_task(database.write(change, user))
        await until_one_waits(database)
        is_done_before = changing.done()
        await claiming.commit()
        await changing
    await engine.dispose()

    assert not is_done_before


async def until_one_waits(database: Database) -> None:
    while not await database.scalar(WAITING):  # noqa: ASYNC110 - only PostgreSQL knows
        await asyncio.sleep(0.01)
