"""The log of facts: told once, with the change that makes it true, and read without a gap."""

import asyncio
from itertools import takewhile
from operator import attrgetter

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from db import events
from db.engine import Database, Tx
from db.errors import Problem
from db.postgres import with_driver
from tests.db.queues import opened

PATIENCE_SECONDS = 20


def tell(tx: Tx, *words: str) -> None:
    for word in words:
        events.tell(tx, f"test.{word}", None, data={})


async def told(database: Database, cursor: str = events.START) -> tuple[list[str], str]:
    """What is told and settled behind a cursor, and the cursor behind that."""
    rows = await database.rows(events.after(cursor, limit=100))
    rows = list(takewhile(attrgetter("is_settled"), rows))
    if rows:
        cursor = events.cursor_of(rows[-1].tx, rows[-1].seq)
    return [row.kind.removeprefix("test.") for row in rows], cursor


async def until_told(
    database: Database, count: int, cursor: str = events.START
) -> tuple[list[str], str]:
    """The same, once there are so many: other tests' transactions on the server hold it up, too."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len((found := await told(database, cursor))[0]) < count:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.01)
    return found


async def test_facts_are_read_in_the_order_in_which_they_were_told(database: Database) -> None:
    await database.write(tell, "a", "b")
    await database.write(tell, "c")

    assert ["a", "b", "c"] == (await until_told(database, 3))[0]


async def test_a_cursor_goes_on_behind_what_was_read(database: Database) -> None:
    await database.write(tell, "a")
    _, cursor = await until_told(database, 1)
    await database.write(tell, "b")

    found, cursor = await until_told(database, 1, cursor)
    assert ["b"] == found
    assert ([], cursor) == await told(database, cursor)


async def test_what_fails_was_never_told(database: Database) -> None:
    def fail(tx: Tx) -> None:
        tell(tx, "a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(fail)

    assert [] == (await told(database))[0]


async def test_a_cursor_never_steps_over_a_transaction_that_commits_later(
    postgres_url: str,
) -> None:
    engine = create_async_engine(with_driver(postgres_url))
    async with opened(postgres_url, 1) as (database,), engine.connect() as slow:
        await slow.run_sync(lambda connection: tell(Tx(connection), "early"))
        await database.write(tell, "late")
        meanwhile, cursor = await told(database)
        latest = await database.first(events.latest())
        await slow.commit()
        afterwards, _ = await until_told(database, 2, cursor)
    await engine.dispose()

    # The late one is committed, but who read it now would never see the early one.
    assert [] == meanwhile
    assert latest is None
    assert ["early", "late"] == afterwards


async def test_a_transaction_that_is_rolled_back_holds_nothing_up(postgres_url: str) -> None:
    engine = create_async_engine(with_driver(postgres_url))
    async with opened(postgres_url, 1) as (database,), engine.connect() as slow:
        await slow.run_sync(lambda connection: tell(Tx(connection), "never"))
        await database.write(tell, "late")
        await slow.rollback()
        found, _ = await until_told(database, 1)
    await engine.dispose()

    assert ["late"] == found


async def test_a_transaction_that_only_reads_holds_nothing_up(postgres_url: str) -> None:
    engine = create_async_engine(with_driver(postgres_url))
    async with opened(postgres_url, 1) as (database,), engine.connect() as reader:
        await reader.execute(text("SELECT 1"))
        await database.write(tell, "a")
        found, _ = await until_told(database, 1)
    await engine.dispose()

    assert ["a"] == found


@pytest.mark.parametrize("cursor", ["", "1", "x-y", "1-2-3", "99999999999999999999-1"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        events.parse_cursor(cursor)

    assert "VALIDATION_INVALID_FORMAT" == refused.value.code
