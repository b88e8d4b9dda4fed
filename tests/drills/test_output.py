"""Output of every kind: binary, cut within characters, of one endless line; and slow readers."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.tables import chunks, runs
from tests.db import queues
from tests.drills.aftermath import NOTHING, left_behind
from tests.drills.growth import growth_of
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import EXECUTE, OUTPUT, GraphqlEvents, GraphqlSocket

MEGABYTE = 1 << 20
LINE_BYTES = 100 * 1000 * 1000
LIMIT_BYTES = 16 * MEGABYTE
SLOW_BYTES = 50 * 1000 * 1000
MOST_GROWTH = 8 * 1000 * 1000
STALL_SECONDS = 1.5
PATIENCE_SECONDS = 120


async def test_binary_output_cut_characters_and_a_line_of_100_mb_are_taken_as_they_come(
    database_url: str, tmp_path: Path
) -> None:
    binary = os.urandom(3 * MEGABYTE)
    (tmp_path / "binary").write_bytes(binary)
    cut = "".join(f"printf '\\{byte:o}'; sleep 0.12; " for byte in "né€𝄞".encode())
    commands = {
        "binary": f"cat {tmp_path}/binary",
        "cut": cut,
        "line": f"head -c {LINE_BYTES} /dev/zero | tr '\\0' x",
    }
    async with program(tmp_path, database_url, OUTPUT_LIMIT_BYTES=str(LIMIT_BYTES)) as server:
        user = await signed_in(server.url)
        run_ids = {name: await executed(user, command) for name, command in commands.items()}
        async with asyncio.timeout(PATIENCE_SECONDS):
            for run_id in run_ids.values():
                await ended(user, run_id)
    found = {name: await on_record(database_url, run_id) for name, run_id in run_ids.items()}

    expected = {"binary": binary, "cut": "né€𝄞".encode(), "line": b"x" * LINE_BYTES}
    for name, whole in expected.items():
        run, _ = found[name]
        assert ("completed", len(whole)) == (run.status, run.total_bytes)
        assert hashlib.sha256(whole).hexdigest() == run.sha256
    assert binary == b"".join(found["binary"][1])
    assert ["n", "é", "€", "𝄞"] == [piece.decode() for piece in found["cut"][1]]
    kept = b"".join(found["line"][1])
    assert {ord("x")} == set(kept)
    assert LINE_BYTES == len(kept) + found["line"][0].omitted_bytes
    assert LIMIT_BYTES - MEGABYTE < len(kept) <= LIMIT_BYTES
    assert NOTHING == await left_behind(database_url)


async def test_the_server_does_not_grow_for_readers_that_are_slow(
    database_url: str, tmp_path: Path
) -> None:
    expected = "".join(f"{number}\n" for number in range(1, 7_000_000))[:SLOW_BYTES]
    command = f"seq 1 7000000 | head -c {SLOW_BYTES}"
    async with program(tmp_path, database_url, OUTPUT_LIMIT_BYTES=str(3 * SLOW_BYTES)) as server:
        user = await signed_in(server.url)
        run_id = await executed(user, command)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ended(user, run_id)
            # Once at full speed: what is allocated for good by then is not the slow ones' doing.
            await read(user, run_id, stall=False)
            events = GraphqlEvents(server.url)
            events.token = user.token
            async with growth_of(server.process.pid) as growth:
                texts = await asyncio.gather(
                    read(user, run_id, stall=True), read(events, run_id, stall=True)
                )

    assert [True, True] == [expected == text for text in texts]
    assert growth[0] < MOST_GROWTH
    assert NOTHING == await left_behind(database_url)


async def signed_in(url: str) -> GraphqlSocket:
    user = GraphqlSocket(url)
    await user.sign_in("admin", PASSWORD)
    return user


async def executed(user: GraphqlSocket, command: str) -> str:
    """A run of a fresh task."""
    task_id = await user.create_task(await user.create_project("Output"), "Print", command)
    return str((await user.ask(EXECUTE, id=task_id))["executeTask"]["executionId"])


async def ended(user: GraphqlSocket, run_id: str) -> None:
    async for answer in user.subscribe(
        "subscription ($id: ID!) { commandOutput(runId: $id) { __typename } }", id=run_id
    ):
        if answer["commandOutput"]["__typename"] == "CommandFinished":
            return


async def read(user: GraphqlSocket | GraphqlEvents, run_id: str, *, stall: bool) -> str:
    """All that a run has printed, by a reader that does nothing for a while when it has begun."""
    pieces: list[str] = []
    async for answer in user.subscribe(OUTPUT, id=run_id):
        if answer["commandOutput"]["__typename"] == "CommandFinished":
            break
        pieces.append(answer["commandOutput"]["content"])
        if stall and len(pieces) % 250 == 1:
            await asyncio.sleep(STALL_SECONDS)
    return "".join(pieces)


async def on_record(database_url: str, run_id: str) -> tuple[Any, list[bytes]]:
    """A run, and what is kept of its output."""
    async with queues.opened(database_url, 1) as (database,):
        run = await database.first(select(runs).where(runs.c.id == run_id))
        printed = select(chunks.c.content).where(chunks.c.run_id == run_id)
        return run, [row.content for row in await database.rows(printed.order_by(chunks.c.seq))]
