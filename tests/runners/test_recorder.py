"""How output becomes chunks: whole characters, in order, and nothing that is not ours any more."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from db import claims, commands, lifecycle, output
from db.engine import Database
from db.errors import DatabaseUnavailable
from db.lifecycle import Ended, Outcome
from db.types import RunStatus
from runners import fence
from runners.fence import Fenced
from runners.output import CHUNK_BYTES, MOST_WAITING_BYTES, Recorder
from tests.db import record
from tests.db.queues import opened

LIMIT = 64 * 1024 * 1024
TEXT = "aé€😀 ﷺ\n" * 3


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url, 1) as (database,):
        yield database


@pytest.fixture
async def run(database: Database) -> Any:
    """A run that a worker has claimed."""
    ann = await record.person(database)
    await database.write(commands.execute, ann, command="true")
    worker = await database.write(claims.enlist, "host", "boot", 1, 1, 1)
    (claimed,) = await database.enact(claims.claim, worker, 1)
    return claimed


async def printed(*pieces: tuple[str, bytes]) -> AsyncIterator[tuple[str, bytes]]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


async def kept(database: Database, run: Any) -> Sequence[Any]:
    return await database.rows(output.after(run.id, 0, limit=10_000))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_a_chunk_never_ends_within_a_character(
    database: Database, run: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As small as one character may need.
    monkeypatch.setattr("runners.output.CHUNK_BYTES", 4)
    data = TEXT.encode()
    pieces = [("stdout", data[place : place + size]) for place in range(0, len(data), size)]
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    await recorder.record(printed(*pieces))
    chunks = await kept(database, run)

    assert TEXT == "".join(chunk.content.decode() for chunk in chunks)
    assert len(chunks) > 5
    assert list(range(1, len(chunks) + 1)) == [chunk.seq for chunk in chunks]


async def test_what_is_no_text_is_kept_to_the_last_byte(database: Database, run: Any) -> None:
    data = bytes(range(256)) * 3 + "€".encode()[:2]
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    await recorder.record(printed(("stdout", data[:400]), ("stdout", data[400:])))
    chunks = await kept(database, run)

    assert data == b"".join(chunk.content for chunk in chunks)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (
        recorder.total_bytes,
        recorder.sha256,
    )


async def test_streams_keep_their_characters_apart(database: Database, run: Any) -> None:
    first, second = "€".encode()[:1], "€".encode()[1:]
    pieces = [("stdout", first), ("stderr", b"x"), ("stdout", second), ("stderr", b"y")]
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    await recorder.record(printed(*pieces))
    chunks = [(chunk.stream, chunk.content.decode()) for chunk in await kept(database, run)]

    assert [("stderr", "x"), ("stdout", "€"), ("stderr", "y")] == chunks


async def test_a_large_piece_becomes_chunks_that_are_cut_between_characters(
    database: Database, run: Any
) -> None:
    text = "x" + "€" * 100_000
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    await recorder.record(printed(("stdout", text.encode())))
    chunks = await kept(database, run)

    assert text == "".join(chunk.content.decode() for chunk in chunks)
    assert max(len(chunk.content) for chunk in chunks) <= CHUNK_BYTES


async def test_much_output_becomes_few_large_chunks(database: Database, run: Any) -> None:
    data = b"0123456789" * 100_000
    pieces = [("stdout", data[place : place + 1000]) for place in range(0, len(data), 1000)]
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    await recorder.record(printed(*pieces))
    chunks = await kept(database, run)

    assert data == b"".join(chunk.content for chunk in chunks)
    assert max(len(chunk.content) for chunk in chunks) <= CHUNK_BYTES
    assert len(chunks) < 3 * len(data) // CHUNK_BYTES


async def test_a_run_that_was_taken_from_us_gets_nothing_more(database: Database, run: Any) -> None:
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    await recorder.record(printed(("stdout", b"ours\n")))
    ended = Ended(run.id, run.fence, Outcome(RunStatus.COMPLETED, 0))
    await database.enact(lifecycle.record, [ended])
    with pytest.raises(Fenced):
        await recorder.record(printed(*[("stdout", b"late\n")] * 100))

    assert [b"ours\n"] == [chunk.content for chunk in await kept(database, run)]


async def test_the_process_waits_while_the_database_is_away(
    database: Database, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "RETRY_SECONDS", 0.01)
    back, taken = asyncio.Event(), 0
    original = database.write

    async def write(*arguments: Any, **words: Any) -> Any:
        if not back.is_set():
            raise DatabaseUnavailable
        return await original(*arguments, **words)

    async def much() -> AsyncIterator[tuple[str, bytes]]:
        nonlocal taken
        for _ in range(100):
            taken += CHUNK_BYTES
            yield "stdout", b"x" * CHUNK_BYTES

    monkeypatch.setattr(database, "write", write)
    recorder = Recorder(database, run.id, run.fence, LIMIT)
    recording = asyncio.create_task(recorder.record(much()))
    while taken < MOST_WAITING_BYTES:  # noqa: ASYNC110 - the recorder tells nobody
        await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0.01)
    held_back = taken
    back.set()
    await recording

    # What is being written, and what waits behind it.
    assert held_back <= 2 * MOST_WAITING_BYTES + CHUNK_BYTES
    assert 100 * CHUNK_BYTES == recorder.total_bytes
    assert recorder.total_bytes == sum(len(chunk.content) for chunk in await kept(database, run))
