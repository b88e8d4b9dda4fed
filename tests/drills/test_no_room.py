"""A full disk, and a database that must not be written: what is refused is said, none is lost."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from gql.transport.exceptions import TransportQueryError
from sqlalchemy import make_url, select

from db.engine import Database, Tx
from db.tables import runs
from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD, serving, settings_for
from tests.journeys.clients import CREATE_PROJECT, OUTPUT, GraphqlSocket

RUN = """mutation ($command: String!) { executeCommand(input: {command: $command}) { id } }"""
UNAVAILABLE = "DATABASE_ERROR"
DISK_BYTES = 48_000_000
LINES = 1_500_000
PATIENCE_SECONDS = 60

OF_ITS_OWN = ("unshare", "--map-root-user", "--mount", "sh", "-c")
# The disk is gone when the server is: what is on it is brought away then.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size={size} none {disk}
"$@" & server=$!
trap "kill $server" TERM
wait $server; wait $server
cp {disk}/queue.db* {kept}
"""


async def test_output_waits_while_the_disk_is_full_and_all_of_it_is_kept(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    for directory in (disk, kept):
        directory.mkdir()
    filled, gate, printed = tmp_path / "filled", tmp_path / "gate", tmp_path / "printed"
    await require_mounts(disk)
    small = ON_A_SMALL_DISK.format(size=DISK_BYTES, disk=disk, kept=kept)
    fills = (
        f"cat /dev/zero > filler; touch {filled}; "
        f"until [ -e {gate} ]; do sleep 0.02; done; rm filler"
    )
    prints = f"until [ -e {filled} ]; do sleep 0.02; done; seq 1 {LINES}; touch {printed}"
    url = f"sqlite:///{disk}/queue.db"
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        program(disk, url, wrapper=(*OF_ITS_OWN, small, "sh")) as server,
    ):
        user = GraphqlSocket(server.url)
        await user.sign_in("admin", PASSWORD)
        await user.create_project("Before")
        printing = (await user.ask(RUN, command=prints))["executeCommand"]["id"]
        filling = (await user.ask(RUN, command=fills))["executeCommand"]["id"]
        while not filled.exists():  # noqa: ASYNC110 - a command's sign
            await asyncio.sleep(0.02)
        refusal = await refused(user)
        projects = await user.ask("{ projects { totalCount } }")
        is_waiting = not printed.exists()
        gate.touch()
        await finished(user, filling)
        end = await finished(user, printing)
        await user.create_project("After")

    whole = "".join(f"{number}\n" for number in range(1, LINES + 1)).encode()
    assert UNAVAILABLE == refusal
    assert {"projects": {"totalCount": 1}} == projects
    assert is_waiting
    assert ("COMPLETED", len(whole)) == (end["status"], end["totalBytes"])
    assert hashlib.sha256(whole).hexdigest() == end["sha256"]
    assert NOTHING == await left_behind(f"sqlite:///{kept}/queue.db")


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
            refusal = await refused(user)
            projects = await user.ask("{ projects { totalCount } }")
            run = await database.first(select(runs).where(runs.c.id == run_id))
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


async def refused(user: GraphqlSocket) -> str:
    """The code with which a change is refused."""
    for number in range(100):  # What there is room for yet, is taken.
        try:
            await user.ask(CREATE_PROJECT, input={"name": f"{number}", "description": "x" * 2000})
        except TransportQueryError as refusal:
            return code_of(refusal)
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
    connection = await asyncpg.connect(elsewhere)
    try:
        name = address.database
        await connection.execute(
            f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"
        )
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
    finally:
        await connection.close()


async def require_mounts(disk: Path) -> None:
    """Skip where there can be no small disk."""
    if shutil.which(OF_ITS_OWN[0]):
        mounting = f"mount -t tmpfs none {disk}"
        tried = await asyncio.create_subprocess_exec(*OF_ITS_OWN, mounting)
        if await tried.wait() == 0:
            return
    pytest.skip("NOT TESTED with a full disk: no mount namespace can be made here")
