"""Records what a process prints: numbers it, hashes it, and commits it in batches."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from db import output
from db.engine import Database
from db.output import Chunk, Omission
from db.types import Stream
from runners.fence import written
from runners.metrics import OUTPUT_BYTES

BATCH_SECONDS = 0.05
CHUNK_BYTES = 64 * 1024
MOST_WAITING_BYTES = 512 * 1024


@dataclass
class _Piece:
    stream: Stream
    content: bytearray
    at: datetime


class Kept:
    """Which chunks are kept of a run that prints too much: the first ones and the newest."""

    def __init__(self, limit_bytes: int) -> None:
        self._half = limit_bytes // 2
        self._head_bytes = 0
        self._tail: deque[tuple[int, int]] = deque()
        self._tail_bytes = 0

    def add(self, seq: int, size: int) -> None:
        """Keep the chunk with this number."""
        if not self._tail and self._head_bytes + size <= self._half:
            self._head_bytes += size
        else:
            self._tail.append((seq, size))
            self._tail_bytes += size

    def omit(self) -> Omission | None:
        """Give up the oldest chunks behind the first ones, as far as there are too many."""
        given_up = []
        while self._tail_bytes > self._half:
            given_up.append(self._tail.popleft())
            self._tail_bytes -= given_up[-1][1]
        if not given_up:
            return None
        return Omission(given_up[0][0], given_up[-1][0], sum(size for _, size in given_up))


class Recorder:
    """Writes one run's output, as long as its fence holds.

    What cannot be written waits, and the process with it: nothing that it prints is lost. Of more
    than the limit the middle is left out, once whoever follows has had a chance to see it; all is
    counted and hashed.
    """

    def __init__(self, database: Database, run_id: str, fence: int, limit_bytes: int) -> None:
        self.last_seq = 0
        self.total_bytes = 0
        self._kept = Kept(limit_bytes)
        self._database = database
        self._run_id = run_id
        self._fence = fence
        self._hash: hashlib._Hash | None = hashlib.sha256()
        self._pieces: list[_Piece] = []
        self._waiting_bytes = 0
        self._begun: dict[Stream, bytes] = {}
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    @property
    def sha256(self) -> str | None:
        """The hash of all printed bytes, both streams, in the order of their numbers.

        None where the beginning is an earlier attempt's, of which not all is kept.
        """
        return self._hash.hexdigest() if self._hash else None

    async def resume(self, last_seq: int, total_bytes: int) -> None:
        """Go on behind what an earlier attempt of this run has printed."""
        while rows := await self._database.rows(
            output.after(self._run_id, self.last_seq, limit=64)
        ):
            for row in rows:
                self._count(row.seq, row.content)
        if self.total_bytes != total_bytes:
            self._hash = None
        self.last_seq, self.total_bytes = last_seq, total_bytes

    async def record(self, pieces: AsyncIterator[tuple[str, bytes]]) -> None:
        """Record everything, until the output ends. Raises `Fenced`."""
        writing = asyncio.create_task(self._write_all(), name="output is written")
        try:
            async for stream, data in pieces:
                self._add(Stream(stream), data)
                while self._waiting_bytes >= MOST_WAITING_BYTES and not writing.done():
                    self._room.clear()
                    await asyncio.wait(
                        {writing, room := asyncio.ensure_future(self._room.wait())},
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    room.cancel()
                if writing.done():
                    break
            for stream in tuple(self._begun):
                self._add(stream, b"", last=True)
            self._ended = True
            self._filled.set()
            await writing
        finally:
            writing.cancel()

    def _add(self, stream: Stream, data: bytes, *, last: bool = False) -> None:
        data = self._begun.pop(stream, b"") + data
        whole = len(data) if last else _whole(data)
        if whole < len(data):
            self._begun[stream] = data[whole:]
        if not whole:
            return
        for part in _parts(data[:whole]):
            piece = self._pieces[-1] if self._pieces else None
            if piece and piece.stream is stream and len(piece.content) + len(part) <= CHUNK_BYTES:
                piece.content += part
            else:
                self._pieces.append(_Piece(stream, bytearray(part), datetime.now(UTC)))
        self._waiting_bytes += whole
        self._filled.set()

    async def _write_all(self) -> None:
        while not (self._ended and not self._pieces):
            await self._filled.wait()
            if not self._ended and self._waiting_bytes < CHUNK_BYTES:
                await asyncio.sleep(BATCH_SECONDS)
            self._filled.clear()
            pieces, self._pieces = self._pieces, []
            self._waiting_bytes = 0
            self._room.set()
            if pieces:
                await self._write(pieces)

    async def _write(self, pieces: list[_Piece]) -> None:
        chunks = []
        for piece in pieces:
            content = bytes(piece.content)
            OUTPUT_BYTES.inc(len(content))
            self._count(self.last_seq + 1, content)
            chunks.append(Chunk(self.last_seq, piece.stream, content, piece.at))
        await written(
            self._database,
            output.append,
            self._run_id,
            self._fence,
            self.total_bytes,
            chunks,
            self._kept.omit(),
        )

    def _count(self, seq: int, content: Any) -> None:
        self.last_seq = seq
        self.total_bytes += len(content)
        self._kept.add(seq, len(content))
        if self._hash:
            self._hash.update(content)


def _parts(data: bytes) -> Iterator[bytes]:
    """What fits into a chunk each, cut between characters."""
    while len(data) > CHUNK_BYTES:
        end = _whole(data[:CHUNK_BYTES])
        yield data[:end]
        data = data[end:]
    yield data


def _whole(data: bytes) -> int:
    """How many of these bytes do not end within a character of UTF-8."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            needs = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
            return len(data) - back if needs > back else len(data)
    return len(data)
