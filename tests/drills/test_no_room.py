"""A full disk, and a database that must not be written: what is refused is said, none is lost."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gql.transport.exceptions import TransportQueryError
from sqlalchemy import make_url, select

from db.engine import Database, Tx
from db.migrations import upgrade
from db.tables import runs
from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.directories import directory_of_ours
from tests.fixtures.postgres import execute, installations, served
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD, serving, settings_for
from tests.fixtures.small_disk import SmallDisk, small_disk
from tests.journeys.clients import CREATE_PROJECT, OUTPUT, GraphqlSocket

RUN = """mutation ($command: String!) { executeCommand(input: {command: $command}) { id } }"""
UNAVAILABLE = "DATABASE_ERROR"
END_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
DISK_BYTES = 48_000_000
LINES = 1_500_000
PATIENCE_SECONDS = 60

# Within the disk's namespace, under a name that PostgreSQL accepts: it refuses to be root.
AS_SOMEBODY = (
    *("unshare", "--map-user=65534", "--map-group=65534"),
    *("setpriv", "--pdeathsig", "INT"),
)


@dataclass
class Crowded:
    """A database on a small disk, how a server is started that finds it, and how we look at it."""

    url: str
    wrapper: tuple[str, ...]
    from_outside: Callable[[], str]


@asynccontextmanager
async def sqlite_on(disk: SmallDisk, kept: Path) -> AsyncIterator[Crowded]:
    def copied() -> str:
        for file in disk.from_outside.glob("queue.db*"):
            shutil.copy(file, kept)
        return f"sqlite:///{kept}/queue.db"

    yield Crowded(f"sqlite:///{disk.directory}/queue.db", disk.entering, copied)


@asynccontextmanager
async def postgres_on(disk: SmallDisk, _kept: Path) -> AsyncIterator[Crowded]:
    """Only its tables are there, not its log: without room for that PostgreSQL ends altogether.

    To a server it would then be away; that it is there and refuses is the harder case.
    """
    (disk.from_outside / "tables").mkdir()
    binaries = next(installations())
    with (
        directory_of_ours() as home,
        served(binaries, home, (*disk.entering, *AS_SOMEBODY)) as server,
    ):
        await execute(server, f"CREATE TABLESPACE small LOCATION '{disk.directory}/tables'")
        await execute(server, "CREATE DATABASE queue TABLESPACE small")
        url = make_url(server).set(database="queue").render_as_string()
        await asyncio.to_thread(upgrade, url)
        yield Crowded(url, (), lambda: url)


@pytest.mark.parametrize("on", [sqlite_on, postgres_on])
async def test_output_waits_while_the_disk_is_full_and_all_of_it_is_kept(
    tmp_path: Path, on: Callable[[SmallDisk, Path], AbstractAsyncContextManager[Crowded]]
) -> None:
    place, kept = tmp_path / "disk", tmp_path / "kept"
    for directory in (place, kept):
        directory.mkdir()
    filled, printed = tmp_path / "filled", tmp_path / "printed"
    prints = f"until [ -e {filled} ]; do sleep 0.02; done; seq 1 {LINES}; touch {printed}"
    with small_disk(place, DISK_BYTES) as disk:
        async with asyncio.timeout(PATIENCE_SECONDS), on(disk, kept) as crowded:
            async with program(tmp_path, crowded.url, crowded.wrapper) as server:
                user = GraphqlSocket(server.url)
                await user.sign_in("admin", PASSWORD)
                printing = (await user.ask(RUN, command=prints))["executeCommand"]["id"]
                disk.fill()
                filled.touch()
                taken, refusal = await refused(user)
                projects = await user.ask("{ projects { totalCount } }")
                await server.hear("a run waits for the database")
                is_waiting = not printed.exists()
                disk.make_room()
                end = await finished(user, printing)
                await user.create_project("After")
            left = await left_behind(crowded.from_outside())

    whole = "".join(f"{number}\n" for number in range(1, LINES + 1)).encode()
    assert UNAVAILABLE == refusal
    assert {"projects": {"totalCount": taken}} == projects
    assert is_waiting
    assert ("COMPLETED", len(whole)) == (end["status"], end["totalBytes"])
    assert hashlib.sha256(whole).hexdigest() == end["sha256"]
    assert NOTHING == left


async def test_output_waits_while_the_database_must_not_be_written(
    database_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.02; done; seq 1 1000"
    settings = settings_for(database_url, tmp_path)
    async with asyncio.timeout(PATIENCE_SECONDS), serving(settings) as server:
        user = GraphqlSocket(server.url)
        user.token = server.tokens["admin"]
        run_id = (await user.ask(RUN, command=command))["executeCommand"]["id"]
        database = server.app.services.database
        await begun(database, run_id)
        async with read_only(database, database_url):
            gate.touch()
            _, refusal = await refused(user)
            projects = await user.ask("{ projects { totalCount } }")
            run = await on_record(database, run_id)
        end = await finished(user, run_id)

    assert run
    assert UNAVAILABLE == refusal
    assert {"projects": {"totalCount": 0}} == projects
    assert ("running", 0) == (run.status, run.total_bytes)
    assert ("COMPLETED", len("".join(f"{n}\n" for n in range(1, 1001)))) == (
        end["status"],
        end["totalBytes"],
    )
    assert NOTHING == await left_behind(database_url)


async def refused(user: GraphqlSocket) -> tuple[int, str]:
    """How many changes there is room for yet, and the code with which the next is refused."""
    for number in range(100):
        try:
            await user.ask(CREATE_PROJECT, input={"name": f"{number}", "description": "x" * 2000})
        except TransportQueryError as refusal:
            return number, code_of(refusal)
    raise AssertionError("nothing was refused")


async def finished(user: GraphqlSocket, run_id: str) -> dict[str, Any]:
    """The end of a run, as whoever follows it is told; they go on trying."""
    while True:
        try:
            async for answer in user.subscribe(OUTPUT, id=run_id):
                if answer["commandOutput"]["__typename"] == "CommandFinished":
                    return dict(answer["commandOutput"])
        except TransportQueryError as error:
            if code_of(error) != UNAVAILABLE:
                raise


def code_of(error: TransportQueryError) -> str:
    return str((error.errors or [])[0]["extensions"]["code"])


async def begun(database: Database, run_id: str) -> None:
    with database.bus.listen(f"run:{run_id}") as listener:
        while not await database.scalar(select(runs.c.started_at).where(runs.c.id == run_id)):
            await listener.wait(1)


async def on_record(database: Database, run_id: str) -> Any:
    return await database.first(select(runs).where(runs.c.id == run_id))


@asynccontextmanager
async def read_only(database: Database, url: str) -> AsyncIterator[None]:
    """A database that refuses every change, for as long as the block lasts."""
    if url.startswith("sqlite"):
        connection = await database.write(_own_connection)
        connection.execute("PRAGMA query_only = ON")
        yield
        connection.execute("PRAGMA query_only = OFF")
    else:
        await _set_read_only(url, "on")
        yield
        await _set_read_only(url, "off")


def _own_connection(tx: Tx) -> sqlite3.Connection:
    connection = tx.connection.connection.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


async def _set_read_only(url: str, value: str) -> None:
    """Let all connections begin anew, as after a fail-over to a replica, or from it."""
    address = make_url(url)
    elsewhere = address.set(database="postgres").render_as_string(hide_password=False)
    name = address.database
    await execute(elsewhere, f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
    await execute(elsewhere, END_CONNECTIONS, name)
