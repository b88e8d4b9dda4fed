"""How a process grows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil


@asynccontextmanager
async def growth_of(pid: int) -> AsyncIterator[list[int]]:
    """By how many bytes a process is larger, at most, than it is now."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    most = [0]

    async def look() -> None:
        while True:
            most[0] = max(most[0], process.memory_info().rss - before)
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield most
    finally:
        looking.cancel()
