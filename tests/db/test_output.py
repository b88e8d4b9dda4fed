"""What runs print: numbered, written by whoever holds the run, read from any place on."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from db import claims, commands, output
from db.engine import Database
from db.output import Chunk
from db.tables import chunks, runs
from db.types import Stream
from tests.db import record

NOW = datetime.now(UTC)


@pytest.fixture
async def held(database: Database) -> Any:
    """A run that a worker has claimed."""
    ann = await record.person(database)
    await database.write(commands.execute, ann, command="true")
    worker = await database.write(claims.enlist, "host", "boot", 1, 1, 1)
    (run,) = await database.enact(claims.claim, worker, 1)
    return run


def pieces(first: int, *contents: bytes) -> list[Chunk]:
    return [
        Chunk(first + place, Stream.STDOUT, content, NOW) for place, content in enumerate(contents)
    ]


async def printed(database: Database, run_id: str, seq: int = 0, limit: int = 100) -> list[bytes]:
    rows = await database.rows(output.after(run_id, seq, limit=limit))
    return [row.content for row in rows]


async def test_output_is_read_from_any_place_on(database: Database, held: Any) -> None:
    await database.write(output.append, held.id, held.fence, 2, pieces(1, b"a", b"b"))
    await database.write(output.append, held.id, held.fence, 3, pieces(3, b"c"))

    assert [b"a", b"b", b"c"] == await printed(database, held.id)
    assert [b"c"] == await printed(database, held.id, seq=2)
    assert [b"a", b"b"] == await printed(database, held.id, limit=2)
    assert [] == await printed(database, held.id, seq=3)


async def test_the_run_knows_how_much_there_is(database: Database, held: Any) -> None:
    accepted = await database.write(
        output.append, held.id, held.fence, 11, pieces(1, b"hello ", b"world")
    )
    run = await database.first(select(runs).where(runs.c.id == held.id))

    assert accepted
    assert run
    assert (2, 11) == (run.last_seq, run.total_bytes)


async def test_bytes_are_kept_as_they_are(database: Database, held: Any) -> None:
    every = bytes(range(256))
    await database.write(output.append, held.id, held.fence, 256, pieces(1, every))

    assert [every] == await printed(database, held.id)


async def test_a_stale_fence_adds_nothing(database: Database, held: Any) -> None:
    accepted = await database.write(output.append, held.id, held.fence - 1, 1, pieces(1, b"a"))
    count = await database.rows(select(chunks))

    assert not accepted
    assert [] == count


async def test_whoever_follows_is_told_of_it(database: Database, held: Any) -> None:
    with database.bus.listen(f"run:{held.id}") as listener:
        await database.write(output.append, held.id, held.fence, 1, pieces(1, b"a"))
        await listener.wait(10)
        assert [b"a"] == await printed(database, held.id)


async def test_the_newest_part_is_bounded(database: Database, held: Any) -> None:
    large = [bytes([number]) * (output.RECENT_BYTES // 3) for number in range(5)]
    await database.write(output.append, held.id, held.fence, 1, pieces(1, *large))
    rows = await database.rows(output.recent(select(chunks), [held.id]))

    assert large[-3:] == [row.content for row in rows]
