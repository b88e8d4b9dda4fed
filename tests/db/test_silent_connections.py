"""Connections to PostgreSQL that are open and never answer: nothing waits for them for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, text

from db.bus import Bus
from db.engine import Moment, Tx
from db.errors import DatabaseUnavailable
from db.postgres import PostgresDatabase
from db.statements import Reading, Statement, Writing
from db.tables import lanes
from tests.db.queues import opened
from tests.fixtures.proxy import Proxy, impatiently

_NAMES = select(lanes.c.name)
_ADD = Statement(insert(lanes).values(name=bindparam("name")))


@pytest.fixture
async def proxy(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    async with impatiently(postgres_url, 0.5, monkeypatch) as proxy:
        yield proxy


def adding(tx: Tx, name: str) -> None:
    tx.execute(insert(lanes), {"name": name})


def enacting(_at: Moment, name: str) -> Writing[None]:
    yield _ADD, {"name": name}


async def fetched(database: PostgresDatabase) -> Any:
    return await database.fetch(Statement(_NAMES).fetch(database.dialect, {}))


async def read(database: PostgresDatabase) -> Any:
    def reading() -> Reading[None]:
        yield Statement(_NAMES).fetch(database.dialect, {})

    return await database.read(reading)


WAYS: dict[str, Callable[[PostgresDatabase], Awaitable[Any]]] = {
    "rows": lambda database: database.rows(_NAMES),
    "fetch": fetched,
    "read": read,
    "write": lambda database: database.write(adding, "written"),
    "enact": lambda database: database.enact(enacting, "enacted"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_after_one_that_does_not_answer_all_go_on_by_new_ones(proxy: Proxy, way: str) -> None:
    database = PostgresDatabase(proxy.url, Bus())
    await database.open()
    try:
        await asyncio.gather(*(database.rows(_NAMES) for _ in range(3)), fetched(database))
        proxy.freeze()
        with pytest.raises(DatabaseUnavailable):
            await WAYS[way](database)
        for other in WAYS.values():
            await other(database)
        found = {row.name for row in await database.rows(_NAMES)}
    finally:
        await database.close()

    assert {"written", "enacted"} < found


async def test_those_that_were_free_are_ended_without_a_word(proxy: Proxy) -> None:
    database = PostgresDatabase(proxy.url, Bus())
    await database.open()
    try:
        await fetched(database)
        proxy.freeze()
        with pytest.raises(DatabaseUnavailable):
            await fetched(database)
        found = database.connections()
        await asyncio.gather(*(fetched(database) for _ in range(3)))
    finally:
        await database.close()

    assert (0, 0) == found


async def test_what_falls_silent_within_a_unit_spoils_nothing(proxy: Proxy) -> None:
    def unit(tx: Tx) -> None:
        adding(tx, "half")
        proxy.freeze()
        adding(tx, "whole")

    database = PostgresDatabase(proxy.url, Bus(), pool_size=1)
    await database.open()
    try:
        with pytest.raises(DatabaseUnavailable):
            await database.write(unit)
        found = {row.name for row in await database.rows(_NAMES)}
    finally:
        await database.close()

    assert {"high", "normal", "low"} == found


@pytest.mark.parametrize("way", WAYS)
async def test_who_no_longer_waits_for_an_answer_is_let_go(proxy: Proxy, way: str) -> None:
    database = PostgresDatabase(proxy.url, Bus())
    await database.open()
    try:
        await asyncio.gather(database.rows(_NAMES), fetched(database))
        proxy.freeze(new_ones=True)
        asking = asyncio.ensure_future(WAYS[way](database))
        await asyncio.sleep(0.1)  # It has been asked.
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    finally:
        await database.close()


async def test_a_unit_does_not_get_a_connection_that_was_ended_meanwhile(postgres_url: str) -> None:
    async with opened(postgres_url, 2) as (database, other):
        assert isinstance(database, PostgresDatabase)
        ended = asyncio.Event()
        async with database._engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(lambda _: ended.set())
            process = await connection.scalar(text("SELECT pg_backend_pid()"))
        await other.rows(text("SELECT pg_terminate_backend(:process)"), {"process": process})
        await ended.wait()
        await database.write(adding, "written")
        found = {row.name for row in await database.rows(_NAMES)}

    assert "written" in found
