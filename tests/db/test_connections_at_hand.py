"""Connections at hand: lent again and again, and left to the pool when something goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db.connections_at_hand import ConnectionsAtHand
from db.postgres import dsn

MOST = 2


@pytest.fixture
async def lender(empty_postgres_url: str) -> AsyncIterator[ConnectionsAtHand]:
    lender = ConnectionsAtHand(
        await asyncpg.create_pool(dsn(empty_postgres_url), min_size=1, max_size=MOST)
    )
    async with asyncio.timeout(20):
        yield lender
        await lender.close()


async def _process(lender: ConnectionsAtHand) -> int:
    async with lender.acquire() as connection:
        found: int = await connection.fetchval("SELECT pg_backend_pid()")
    return found


async def test_the_connection_used_last_is_lent_first(lender: ConnectionsAtHand) -> None:
    processes = {await _process(lender) for _ in range(5)}

    assert [1, 1, 1] == [len(processes), lender.size(), lender.idle()]


async def test_whoever_comes_when_all_are_lent_gets_the_next_that_is_free(
    lender: ConnectionsAtHand,
) -> None:
    async with lender.acquire(), lender.acquire():
        waiting = [asyncio.create_task(_process(lender)) for _ in range(5)]
        await asyncio.sleep(0)
        nothing_yet = [task.done() for task in waiting]
    processes = await asyncio.gather(*waiting)

    assert [False] * 5 == nothing_yet
    assert 5 == len(processes)
    assert [MOST, MOST] == [lender.size(), lender.idle()]


async def test_a_connection_that_was_cut_is_not_lent_again(lender: ConnectionsAtHand) -> None:
    async with lender.acquire() as cut, lender.acquire() as other:
        ended = asyncio.Event()
        gone = await cut.fetchval("SELECT pg_backend_pid()")
        cut.add_termination_listener(lambda _: ended.set())
        await other.execute("SELECT pg_terminate_backend($1)", gone)
        await ended.wait()

    async with lender.acquire() as first, lender.acquire() as second:
        found = [await one.fetchval("SELECT pg_backend_pid()") for one in (first, second)]

    assert MOST == len(set(found))
    assert gone not in found


async def test_a_query_that_was_left_answers_nobody_else(lender: ConnectionsAtHand) -> None:
    asked = asyncio.Event()

    async def sleep() -> None:
        async with lender.acquire() as connection:
            asked.set()
            await connection.fetchval("SELECT pg_sleep(60)")

    left = asyncio.create_task(sleep())
    await asked.wait()
    left.cancel()
    await asyncio.wait({left})

    async with lender.acquire() as first, lender.acquire() as second:
        found = [await one.fetchval(f"SELECT {n}") for n, one in enumerate((first, second))]

    assert [0, 1] == found
