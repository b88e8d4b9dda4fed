"""What runs print: numbered chunks, written once, read by anyone who has a cursor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update

from db.engine import Tx
from db.listing import one_of
from db.tables import chunks, runs
from db.types import RunStatus, Stream

RECENT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Chunk:
    """A numbered piece of a run's output; it never ends within a character of valid UTF-8."""

    seq: int
    stream: Stream
    content: bytes
    at: datetime


@dataclass(frozen=True)
class Omission:
    """Chunks that are not kept: from one number to another, and their size."""

    first_seq: int
    last_seq: int
    size: int


def append(
    tx: Tx,
    run_id: str,
    fence: int,
    total_bytes: int,
    new: Sequence[Chunk],
    omitted: Omission | None = None,
) -> bool:
    """Add chunks to a run's output, and leave some out. False for a stale fence: nothing is done.

    What was added already, by a commit whose answer was lost, is not added again.
    """
    mine = (runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING)
    held = tx.first(
        update(runs)
        .where(*mine, runs.c.last_seq < new[-1].seq)
        .values(
            last_seq=new[-1].seq,
            total_bytes=total_bytes,
            omitted_bytes=runs.c.omitted_bytes + (omitted.size if omitted else 0),
        )
        .returning(runs.c.project_id)
    )
    if not held:
        return tx.first(select(runs.c.id).where(*mine)) is not None
    if omitted:
        between = chunks.c.seq.between(omitted.first_seq, omitted.last_seq)
        tx.execute(delete(chunks).where(chunks.c.run_id == run_id, between))
    rows = [
        {"run_id": run_id, "seq": chunk.seq, "stream": chunk.stream, "content": chunk.content,
         "at": chunk.at}
        for chunk in new
        if not (omitted and omitted.first_seq <= chunk.seq <= omitted.last_seq)
    ]  # fmt: skip
    if rows:
        tx.execute(insert(chunks), rows)
    tx.hint(f"run:{run_id}")
    if held.project_id:
        tx.hint(f"project:{held.project_id}")
    return True


def after(run_id: str, seq: int, *, limit: int) -> Select[Any]:
    """The chunks of a run that follow one, in order."""
    later = (chunks.c.run_id == run_id, chunks.c.seq > seq)
    return select(chunks).where(*later).order_by(chunks.c.seq).limit(limit)


def recent(chunks_of: Select[Any], run_ids: Any) -> Select[Any]:
    """The newest chunks of each of these runs, in order, up to `RECENT_BYTES` a run."""
    so_far = func.sum(func.length(chunks.c.content)).over(
        partition_by=chunks.c.run_id, order_by=chunks.c.seq.desc()
    )
    sized = chunks_of.add_columns(so_far.label("so_far")).where(one_of(chunks.c.run_id, run_ids))
    found = sized.subquery()
    return select(found).where(found.c.so_far <= RECENT_BYTES).order_by(found.c.seq)
