"""The open streams of this process: counted, and ended when the server stops."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Streams:
    """uvicorn waits for open responses, so those that have no end of their own must be told."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.open = 0

    def end(self) -> None:
        """Let every stream end."""
        self.ended.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
