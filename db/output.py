"""What runs print: numbered chunks, written once, read by anyone who has a cursor."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, select, update

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


def append(tx: Tx, run_id: str, fence: int, total_bytes: int, new: Iterable[Chunk]) -> bool:
    """Add chunks to a run's output. False for a stale fence: then nothing is added."""
    rows = [
        {"run_id": run_id, "seq": chunk.seq, "stream": chunk.stream, "content": chunk.content,
         "at": chunk.at}
        for chunk in new
    ]  # fmt: skip
    held = tx.first(
        update(runs)
        .where(runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING)
        .values(last_seq=rows[-1]["seq"], total_bytes=total_bytes)
        .returning(runs.c.project_id)
    )
    if not held:
        return False
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
