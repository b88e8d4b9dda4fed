"""What is kept of what a run prints."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select

from db import claims, output
from db.engine import Database, Tx
from db.tables import runs
from db.types import Lane
from runners.output import Recorder
from tests.db import queues

LIMIT = 1024 * 1024
PIECE = 10_000


async def test_the_middle_of_too_much_output_is_left_out(database_url: str) -> None:
    printed = b"".join(f"{number:9}\n".encode() for number in range(500_000))
    async with queues.opened(database_url, 1) as (database,):
        run = await database.write(claimed)
        recorder = Recorder(database, run.id, run.fence, LIMIT)
        await recorder.record(in_pieces(printed))
        kept, row = await record_of(database, run.id)

    head, tail = kept_around_the_gap(kept)
    assert printed.startswith(head)
    assert printed.endswith(tail)
    assert LIMIT * 0.8 < len(head) + len(tail) <= LIMIT
    assert (len(printed), hashlib.sha256(printed).hexdigest()) == (
        recorder.total_bytes,
        recorder.sha256,
    )
    assert len(printed) - len(head) - len(tail) == row.omitted_bytes
    assert kept[-1].seq == row.last_seq == recorder.last_seq


async def test_output_within_the_limit_has_no_gap(database_url: str) -> None:
    printed = bytes(LIMIT)
    async with queues.opened(database_url, 1) as (database,):
        run = await database.write(claimed)
        recorder = Recorder(database, run.id, run.fence, LIMIT * 2)
        await recorder.record(in_pieces(printed))
        kept, row = await record_of(database, run.id)

    assert list(range(1, row.last_seq + 1)) == [chunk.seq for chunk in kept]
    assert printed == b"".join(chunk.content for chunk in kept)
    assert 0 == row.omitted_bytes


async def test_a_second_attempt_goes_on_behind_the_first(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        run = await database.write(claimed)
        first = Recorder(database, run.id, run.fence, LIMIT)
        await first.record(in_pieces(b"one"))
        second = Recorder(database, run.id, run.fence, LIMIT)
        await second.resume(first.last_seq, first.total_bytes)
        await second.record(in_pieces(b"two"))

    assert (2, 6) == (second.last_seq, second.total_bytes)
    assert hashlib.sha256(b"onetwo").hexdigest() == second.sha256


async def test_the_hash_is_unknown_when_an_earlier_attempts_output_is_gone(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        run = await database.write(claimed)
        recorder = Recorder(database, run.id, run.fence, LIMIT)
        await recorder.resume(7, 5000)
        await recorder.record(in_pieces(b"more"))

    assert (8, 5004, None) == (recorder.last_seq, recorder.total_bytes, recorder.sha256)


async def in_pieces(printed: bytes) -> AsyncIterator[tuple[str, bytes]]:
    for start in range(0, len(printed), PIECE):
        yield "stdout", printed[start : start + PIECE]


def claimed(tx: Tx) -> Any:
    user = queues.add_user(tx, "user")
    queues.enqueue(tx, user, Lane.NORMAL)
    (run,) = tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 1), 1))
    return run


async def record_of(database: Database, run_id: str) -> tuple[Any, Any]:
    kept = await database.rows(output.after(run_id, 0, limit=100_000))
    return kept, await database.first(select(runs).where(runs.c.id == run_id))


def kept_around_the_gap(kept: Any) -> tuple[bytes, bytes]:
    """What comes before the one gap in the numbers, and what comes after it."""
    gaps = [place for place in range(1, len(kept)) if kept[place].seq != kept[place - 1].seq + 1]
    (gap,) = gaps
    return (
        b"".join(chunk.content for chunk in kept[:gap]),
        b"".join(chunk.content for chunk in kept[gap:]),
    )
