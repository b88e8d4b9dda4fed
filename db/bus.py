"""Says «look again»: a hint names a topic, never what happened, so losing one loses nothing."""

import asyncio
import contextlib
import logging
import secrets
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

import orjson

log = logging.getLogger(__name__)

CHANNEL = "claude_cli_api"
LARGEST_MESSAGE = 7_000
LONGEST_PAUSE_SECONDS = 5.0
MOST_WAITING = 100_000
"""Topics; hints beyond are dropped: whoever misses one looks again by itself."""


class Listener:
    """Hears that something happened to its topics; used as a context manager."""

    def __init__(self, bus: "Bus", topics: tuple[str, ...]) -> None:
        self.topics = topics
        self._bus = bus
        self._heard = asyncio.Event()

    def __enter__(self) -> Self:
        self._bus.join(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bus.leave(self)

    def wake(self) -> None:
        """Let `wait` return, now or when it is next called."""
        self._heard.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Return at the first hint since the last call, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._heard.wait()
        self._heard.clear()


class Bus:
    """Carries hints within this process; its kin carry them to other processes as well."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = defaultdict(set)

    def listen(self, *topics: str) -> Listener:
        return Listener(self, topics)

    def hint(self, topics: Iterable[str]) -> None:
        """Wake whoever listens to one of these topics; call it from the event loop."""
        for topic in topics:
            for listener in self._listeners.get(topic, ()):
                listener.wake()

    def wake_all(self) -> None:
        """Let everyone look again: hints may have been lost."""
        self.hint(list(self._listeners))

    def join(self, listener: Listener) -> None:
        for topic in listener.topics:
            self._listeners[topic].add(listener)

    def leave(self, listener: Listener) -> None:
        for topic in listener.topics:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]

    async def open(self) -> None:
        """Start to hear other processes."""

    async def close(self) -> None:
        """Stop hearing."""


class SharedBus(Bus):
    """A bus between processes: hints made meanwhile travel together, one message at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._origin = secrets.token_hex(8)
        self._waiting: set[str] = set()
        self._filled = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def hint(self, topics: Iterable[str]) -> None:
        topics = list(topics)
        super().hint(topics)
        self._waiting.update(topics)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
        self._filled.set()

    async def open(self) -> None:
        """Start to hear other processes. Raises what keeps the first connection from it."""
        hears = asyncio.Event()
        hearing = asyncio.create_task(self._persist(self._listen, hears), name="bus hears")
        waiting = asyncio.create_task(hears.wait())
        await asyncio.wait({hearing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            waiting.cancel()
            await hearing
        carrying = asyncio.create_task(self._persist(self._carry, hears), name="bus carries")
        self._tasks = [hearing, carrying]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @abstractmethod
    async def _listen(self, hears: asyncio.Event) -> None:
        """Call `_hear` with each message, as long as the connection lasts."""

    @abstractmethod
    async def _carry(self, _hears: asyncio.Event) -> None:
        """Send what `_messages` gives, as long as the connection lasts."""

    async def _persist(
        self, work: Callable[[asyncio.Event], Awaitable[None]], hears: asyncio.Event
    ) -> None:
        """Work through every loss of the connection, once there has been one."""
        pause = 0.1
        while True:
            try:
                await work(hears)
                pause = 0.1
            except Exception as error:
                # Whatever it is, later on: a bus that has ended is missed by nobody.
                if not hears.is_set():
                    raise
                log.warning("the bus lost its connection (%s); trying again", type(error).__name__)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _messages(self) -> list[bytes]:
        await self._filled.wait()
        self._filled.clear()
        topics, self._waiting = self._waiting, set()
        return list(_packed(self._origin, sorted(topics)))

    def _hear(self, message: bytes | str) -> None:
        origin, *topics = orjson.loads(message)
        if origin != self._origin:
            super().hint(topics)


def _packed(origin: str, topics: list[str]) -> Iterable[bytes]:
    pack: list[str] = []
    size = 0
    for topic in topics:
        size += len(topic) + 3
        if size > LARGEST_MESSAGE:
            yield orjson.dumps([origin, *pack])
            pack, size = [], len(topic) + 3
        pack.append(topic)
    if pack:
        yield orjson.dumps([origin, *pack])
