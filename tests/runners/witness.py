"""Grows process trees that are watched: a witness knows when every process of one is gone."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runners.process import Backend, Process
from tests.runners.commands import PATIENCE_SECONDS, begun, rest

# In a script that is witnessed: says that the tree is as it is meant to be.
UP = "echo up >&9"


class Witness:
    """The reading end of a FIFO, which ends when the last process that holds it has died."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def up(self) -> None:
        """Wait until a process of the tree has said that it is up."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await self._reader.readline() == b"up\n"

    async def all_gone(self) -> bool:
        """Wait until nobody holds the FIFO; False when somebody does for too long."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._reader.read()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def witness(directory: Path) -> AsyncIterator[Witness]:
    path = directory / "witness"
    os.mkfifo(path)
    reader = asyncio.StreamReader()
    fifo = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), fifo
    )
    try:
        yield Witness(reader)
    finally:
        transport.close()


def witnessed(script: str) -> tuple[str, ...]:
    """The command for a script of which every process holds the witness open."""
    return ("sh", "-c", f"exec 9>witness; {script}")


@asynccontextmanager
async def grown(
    backend: Backend, directory: Path, script: str
) -> AsyncIterator[tuple[Process, Witness]]:
    """A tree that is up, and whose output is read; stopped at the end, if it is not by then."""
    async with witness(directory) as observer:
        process = await begun(backend, directory, *witnessed(script))
        reader = asyncio.create_task(rest(process))
        try:
            await observer.up()
            yield process, observer
        finally:
            await process.stop(grace_seconds=0)
            await reader
