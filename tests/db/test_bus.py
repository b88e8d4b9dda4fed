"""One conformance suite for every bus: hints reach whoever listens, in every process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest
from redis.asyncio import Redis

from db.bus import Bus, Listener
from db.postgres_bus import PostgresBus
from db.redis_bus import RedisBus

PATIENCE_SECONDS = 20


@dataclass
class Pair:
    """A bus as one process has it, and as another has it."""

    here: Bus
    there: Bus
    cut: Callable[[], Awaitable[None]]
    """Takes away all their connections."""


@pytest.fixture(params=["memory", "postgres", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            bus = Bus()
            made = Pair(bus, bus, _no_connections)
        elif request.param == "postgres":
            url = request.getfixturevalue("postgres_server")
            made = Pair(PostgresBus(url), PostgresBus(url), lambda: _cut_postgres(url))
        else:
            url = request.getfixturevalue("redis_url")
            made = Pair(RedisBus(url), RedisBus(url), lambda: _cut_redis(url))
        for bus in (made.here, made.there):
            await bus.open()
            stack.push_async_callback(bus.close)
        yield made


async def test_a_hint_wakes_whoever_listens_to_its_topic(pair: Pair) -> None:
    with pair.here.listen("a") as here, pair.there.listen("b", "a") as there:
        pair.here.hint(["a"])
        await woken(here)
        await woken(there)


async def test_a_hint_wakes_nobody_else(pair: Pair) -> None:
    with pair.there.listen("a") as other, pair.there.listen("last") as last:
        pair.here.hint(["b"])
        pair.here.hint(["last"])
        await woken(last)

        assert not await is_woken(other)


async def test_a_hint_before_the_wait_is_not_lost(pair: Pair) -> None:
    with pair.there.listen("a") as early, pair.there.listen("last") as last:
        pair.here.hint(["a"])
        pair.here.hint(["last"])
        await woken(last)

        assert await is_woken(early)


async def test_a_hint_counts_once(pair: Pair) -> None:
    with pair.there.listen("a") as listener, pair.there.listen("last") as last:
        pair.here.hint(["a"])
        pair.here.hint(["a", "last"])
        await woken(last)
        await woken(listener)

        assert not await is_woken(listener)


async def test_more_topics_than_fit_into_a_message_all_arrive(pair: Pair) -> None:
    topics = [f"run:{number:036}" for number in range(1000)]
    async with AsyncExitStack() as stack:
        listeners = [stack.enter_context(pair.there.listen(topic)) for topic in topics]
        pair.here.hint(topics)
        await asyncio.gather(*(woken(listener) for listener in listeners))


async def test_who_has_left_is_not_woken(pair: Pair) -> None:
    with pair.there.listen("last") as last:
        with pair.there.listen("a") as listener:
            pass
        pair.here.hint(["a"])
        pair.here.hint(["last"])
        await woken(last)

        assert not await is_woken(listener)


@pytest.mark.parametrize("pair", ["postgres", "redis"], indirect=True)
async def test_a_lost_connection_wakes_everyone_and_is_made_anew(pair: Pair) -> None:
    with pair.there.listen("a") as listener, pair.there.listen("b") as other:
        await pair.cut()
        # Hints may have been lost meanwhile: everyone looks again.
        await woken(listener)
        await woken(other)
        while not await is_woken(other):
            pair.here.hint(["b"])


async def test_a_server_that_is_not_there_is_said_at_once(postgres_server: str) -> None:
    with pytest.raises(OSError, match="1"):
        await PostgresBus("postgresql://127.0.0.1:1/x").open()
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
        await RedisBus("redis://127.0.0.1:1").open()


def test_hints_that_nobody_carries_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.bus.MOST_WAITING", 3)
    bus = PostgresBus("postgresql://127.0.0.1:1/x")
    for number in range(10):
        bus.hint([f"run:{number}"])

    assert len(bus._waiting) <= 3


async def woken(listener: Listener) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await listener.wait(2 * PATIENCE_SECONDS)


async def is_woken(listener: Listener) -> bool:
    """Whether it has heard something since it last waited; or does within a moment."""
    try:
        async with asyncio.timeout(0.05):
            await listener.wait(PATIENCE_SECONDS)
    except TimeoutError:
        return False
    return True


async def _no_connections() -> None:
    pass


async def _cut_postgres(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND datname = current_database()
            AND (query LIKE 'LISTEN%' OR query LIKE 'SET synchronous_commit%'
              OR query LIKE 'SELECT pg_notify%')
        """)
    finally:
        await connection.close()


async def _cut_redis(url: str) -> None:
    async with Redis.from_url(url) as client:
        for type_ in ("pubsub", "normal"):
            await client.client_kill_filter(_type=type_)
