"""The open streams of this process: counted, and ended when the server stops."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from db.errors import WebSocketConnectionFailed

MOST_SOCKETS_OF_A_USER = 50


class Streams:
    """uvicorn waits for open responses, so those that have no end of their own must be told."""

    def __init__(self, most_sockets_of_a_user: int = MOST_SOCKETS_OF_A_USER) -> None:
        self.ended = asyncio.Event()
        self.open = 0
        self._most = most_sockets_of_a_user
        self._sockets: Counter[str] = Counter()

    @property
    def sockets(self) -> int:
        """How many WebSockets are open whose users are known."""
        return self._sockets.total()

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

    @contextmanager
    def seat(self, user_id: str) -> Iterator[None]:
        """Hold a WebSocket for a user. Raises `WebSocketConnectionFailed` beyond the bound."""
        if self._sockets[user_id] >= self._most:
            raise WebSocketConnectionFailed("Too many connections of one user", limit=self._most)
        self._sockets[user_id] += 1
        try:
            yield
        finally:
            self._sockets[user_id] -= 1
            if not self._sockets[user_id]:
                del self._sockets[user_id]
