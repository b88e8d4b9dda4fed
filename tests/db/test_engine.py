"""Units of work: whole or not at all, told only when committed, together where they can."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from db import sqlite
from db.bus import Bus
from db.engine import Database, Moment, Tx
from db.errors import DatabaseUnavailable
from db.postgres import PostgresDatabase
from db.sqlite import SqliteDatabase
from db.statements import Part, Reading, Statement, Writing
from db.tables import lanes
from tests.db.queues import opened

UNITS = 20


class Recorder(Bus):
    """A bus that remembers what was hinted."""

    def __init__(self) -> None:
        super().__init__()
        self.hinted: list[set[str]] = []

    def hint(self, topics: Iterable[str]) -> None:
        self.hinted.append(set(topics))


class Mishap(Exception):
    """What goes wrong in a unit."""


def add(tx: Tx, name: str) -> str:
    tx.execute(insert(lanes), {"name": name})
    tx.hint(f"lane:{name}")
    return name


def add_and_fail(tx: Tx, name: str) -> None:
    add(tx, name)
    raise Mishap


async def added(database: Database) -> set[str]:
    """The lanes that were not there from the start."""
    rows = await database.rows(select(lanes.c.name))
    return {row.name for row in rows} - {"high", "normal", "low"}


async def test_a_unit_is_committed_when_its_result_is_there(database: Database) -> None:
    result = await database.write(add, "new")

    assert "new" == result
    assert {"new"} == await added(database)


async def test_a_unit_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(Mishap):
        await database.write(add_and_fail, "new")

    assert set() == await added(database)


async def test_a_unit_that_fails_spares_those_that_wait_with_it(database: Database) -> None:
    units = [add if number % 3 else add_and_fail for number in range(UNITS)]
    results = await asyncio.gather(
        *(database.write(unit, f"{number}") for number, unit in enumerate(units)),
        return_exceptions=True,
    )

    expected = {f"{number}" for number in range(UNITS) if number % 3}
    assert expected == await added(database)
    assert expected == {result for result in results if isinstance(result, str)}
    assert UNITS - len(expected) == sum(isinstance(result, Mishap) for result in results)


async def test_hints_are_published_after_the_unit_and_not_for_one_that_fails(
    database: Database,
) -> None:
    database.bus = recorder = Recorder()
    seen_within: list[list[set[str]]] = []

    def unit(tx: Tx) -> None:
        add(tx, "new")
        seen_within.append(list(recorder.hinted))

    await database.write(unit)
    with pytest.raises(Mishap):
        await database.write(add_and_fail, "other")

    assert [[]] == seen_within
    assert [{"lane:new"}] == recorder.hinted


async def test_what_is_hinted_can_be_read_by_everyone(sqlite_url: str) -> None:
    path = make_url(sqlite_url).database or ""
    found: list[int] = []

    class Looker(Bus):
        def hint(self, topics: Iterable[str]) -> None:
            with sqlite3.connect(path) as other:
                found.append(other.execute("SELECT count(*) FROM lanes").fetchone()[0])

    database = SqliteDatabase(Path(path), Looker())
    await database.open()
    try:
        await database.write(add, "new")
    finally:
        await database.close()

    assert [4] == found


async def test_units_that_wait_together_share_one_commit(sqlite_url: str) -> None:
    commits: list[Connection] = []
    note = commits.append
    begun, go_on = threading.Event(), threading.Event()

    def block(tx: Tx) -> None:
        begun.set()
        go_on.wait()

    database = SqliteDatabase(Path(make_url(sqlite_url).database or ""), Bus())
    await database.open()
    try:
        blocking = asyncio.create_task(database.write(block))
        await asyncio.to_thread(begun.wait)
        event.listen(Engine, "commit", note)
        waiting = [asyncio.create_task(database.write(add, f"{n}")) for n in range(UNITS)]
        await asyncio.sleep(0)  # Each of them has begun to wait.
        go_on.set()
        await asyncio.gather(blocking, *waiting)
        assert UNITS == len(await added(database))
    finally:
        event.remove(Engine, "commit", note)
        await database.close()

    # That of the blocking unit, and one for all that waited for it.
    assert 2 == len(commits)


async def test_a_unit_whose_caller_has_gone_while_it_waited_is_not_carried_out(
    sqlite_url: str,
) -> None:
    async with opened(sqlite_url, 2) as (database, other):
        holds, may_end = threading.Event(), threading.Event()

        def hold(_: Tx) -> None:
            holds.set()
            may_end.wait()

        holding = asyncio.create_task(other.write(hold))
        await asyncio.to_thread(holds.wait)
        writing = asyncio.create_task(database.write(add, "late"))
        await asyncio.sleep(0)
        writing.cancel()
        may_end.set()
        await holding
        await database.write(add, "next")
        found = await added(database)

    assert writing.cancelled()
    assert {"next"} == found


async def test_units_whose_transaction_is_lost_are_not_said_to_be_committed(
    sqlite_url: str,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block(tx: Tx) -> None:
        begun.set()
        go_on.wait()

    def lose_all(tx: Tx) -> None:
        # As SQLite does by itself when the disk is full, or cannot be read.
        driver = tx.connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    database = SqliteDatabase(Path(make_url(sqlite_url).database or ""), Bus())
    await database.open()
    try:
        blocking = asyncio.create_task(database.write(block))
        await asyncio.to_thread(begun.wait)
        before = asyncio.create_task(database.write(add, "before"))
        losing = asyncio.create_task(database.write(lose_all))
        after = asyncio.create_task(database.write(add, "after"))
        await asyncio.sleep(0)  # Each of them has begun to wait.
        go_on.set()
        found = await asyncio.gather(before, losing, after, return_exceptions=True)
        await blocking
        next_one = await database.write(add, "next")
        kept = await added(database)
    finally:
        await database.close()

    assert [DatabaseUnavailable] * 3 == [type(each) for each in found]
    assert "next" == next_one
    assert {"next"} == kept


async def test_what_the_database_refuses_is_a_problem(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        await database.write(lambda tx: tx.execute(text("SELECT * FROM nowhere")))
    with pytest.raises(DatabaseUnavailable):
        await database.rows(text("SELECT * FROM nowhere"))


async def test_a_unit_that_could_not_be_serialised_is_tried_again(postgres_url: str) -> None:
    tries: list[int] = []

    def unlucky(tx: Tx) -> str:
        tries.append(1)
        name = add(tx, f"try {len(tries)}")
        if len(tries) < 3:
            tx.execute(text("DO $$ BEGIN RAISE serialization_failure; END $$"))
        return name

    database = PostgresDatabase(postgres_url, Bus())
    await database.open()
    try:
        result = await database.write(unlucky)
        found = await added(database)
    finally:
        await database.close()

    assert "try 3" == result
    assert {"try 3"} == found


async def test_a_unit_that_is_cancelled_leaves_nothing_and_spoils_no_connection(
    postgres_url: str,
) -> None:
    def linger(tx: Tx, begun: asyncio.Event, sleep: Callable[[Tx], object]) -> None:
        add(tx, "lingering")
        begun.set()
        sleep(tx)

    ways: list[Callable[[Tx], object]] = [
        lambda tx: tx.execute(select(func.pg_sleep(60))),
        lambda tx: tx.run(Statement(select(func.pg_sleep(60)))),
    ]
    database = PostgresDatabase(postgres_url, Bus(), pool_size=1)
    await database.open()
    try:
        for number, sleep in enumerate(ways):
            begun = asyncio.Event()
            writing = asyncio.create_task(database.write(linger, begun, sleep))
            await begun.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await database.write(add, f"{number}")
        found = await added(database)
    finally:
        await database.close()

    assert {"0", "1"} == found


async def test_two_units_that_change_the_same_row_do_so_one_after_the_other(
    database: Database,
) -> None:
    def lengthen(tx: Tx) -> None:
        one = lanes.c.name == "high"
        reason = tx.scalar(select(lanes.c.paused_reason).where(one).with_for_update()) or ""
        tx.execute(update(lanes).where(one).values(paused_reason=reason + "x"))

    await asyncio.gather(*(database.write(lengthen) for _ in range(UNITS)))

    reason = await database.scalar(select(lanes.c.paused_reason).where(lanes.c.name == "high"))
    assert "x" * UNITS == reason


_ADD = Statement(insert(lanes).values(name=bindparam("name")))
_ADD_AND_NO_MORE = Statement(insert(lanes).values(name=bindparam("name")), Part.IS_ALL)


def adding(_at: Moment, *names: str, fails: bool = False) -> Writing[None]:
    for name in names:
        yield _ADD, {"name": name}
    if fails:
        raise Mishap


def adding_what_follows_all(_at: Moment) -> Writing[None]:
    yield _ADD_AND_NO_MORE, {"name": "all"}
    yield _ADD, {"name": "more"}


async def test_a_writing_that_fails_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(Mishap):
        await database.enact(adding, "one", "two", fails=True)
    with pytest.raises((DatabaseUnavailable, IntegrityError)):
        await database.enact(adding, "three", "high")
    await database.enact(adding, "four", "five")

    assert {"four", "five"} == await added(database)


async def test_nothing_follows_all_that_a_writing_writes(postgres_url: str) -> None:
    async with opened(postgres_url, 1) as (database,):
        with pytest.raises(AssertionError):
            await database.enact(adding_what_follows_all)

        assert {"all"} == await added(database)


async def test_a_read_goes_on_by_a_new_connection_when_its_own_was_ended(
    postgres_url: str,
) -> None:
    async with opened(postgres_url, 2) as (database, other):
        await _read_in_each_way(database)
        await other.rows(_END_OTHERS)

        assert [["high", "low", "normal"]] * 3 == await _read_in_each_way(database)


async def test_without_a_free_connection_the_database_is_unavailable(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url, Bus(), pool_size=1)
    database._engine.pool._timeout = 0.01  # type: ignore[attr-defined]
    await database.open()
    async with database._engine.connect(), database._engine.connect():
        with pytest.raises(DatabaseUnavailable):
            await database.rows(_NAMES)
        with pytest.raises(DatabaseUnavailable):
            await database.write(add, "new")
    await database.close()


@pytest.mark.parametrize(("most_ticks", "expected"), [(0, 2), (1_000_000, 0)])
async def test_what_takes_long_is_read_in_a_thread(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, most_ticks: int, expected: int
) -> None:
    monkeypatch.setattr(sqlite, "TICK_STEPS", 1)
    monkeypatch.setattr(sqlite, "QUICK_TICKS", most_ticks)
    threads: list[int] = []
    monkeypatch.setattr(sqlite, "_rows_of", noting(threads, sqlite._rows_of))
    async with opened(sqlite_url, 1) as (database,):
        found = await _read_in_each_way(database)

    assert [["high", "low", "normal"]] * 3 == found
    assert expected == len(threads)
    assert threading.get_ident() not in threads


def noting(threads: list[int], read: Callable[..., Any]) -> Callable[..., Any]:
    """The same, which notes in which thread it is called."""

    def noted(*args: Any) -> Any:
        threads.append(threading.get_ident())
        return read(*args)

    return noted


async def _read_in_each_way(database: Database) -> list[list[str]]:
    fetch = Statement(_NAMES).fetch(database.dialect, {})

    def reading() -> Reading[list[str]]:
        return [name for (name,) in (yield fetch)]

    return [
        [row.name for row in await database.rows(_NAMES)],
        [name for (name,) in await database.fetch(fetch)],
        await database.read(reading),
    ]


_NAMES = select(lanes.c.name).order_by(lanes.c.name)
_END_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
