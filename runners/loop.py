"""What lives: sleeps until it is woken, due or told to stop, and then does its work once more."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from db.bus import Bus
from db.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

SHORTEST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 60.0


class Loop:
    """Calls `work` whenever one of its topics is hinted, and every so many seconds besides.

    What fails is tried again after a pause that grows until it is half as long as they are, or a
    minute.
    """

    def __init__(
        self,
        name: str,
        bus: Bus,
        topics: tuple[str, ...],
        seconds: float,
        work: Callable[[], Awaitable[object]],
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._listener = bus.listen(*topics)

    def start(self) -> None:
        self._task = asyncio.create_task(self._live(), name=self._name)

    def wake(self) -> None:
        """Have the work done once more, now or when it is done with what it is at."""
        self._listener.wake()

    async def stop(self) -> None:
        """Stop at once, even within the work; safe to call twice, or without a start."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _live(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        with self._listener:
            while True:
                try:
                    await self._work()
                except Exception as error:
                    # What the database refuses, it has told itself.
                    traced = not isinstance(error, DatabaseUnavailable)
                    log.exception("a loop failed and goes on", loop=self._name, exc_info=traced)
                    await asyncio.sleep(pause * random.uniform(0.8, 1))
                    pause = min(pause * 2, self._seconds / 2, LONGEST_PAUSE_SECONDS)
                else:
                    pause = SHORTEST_PAUSE_SECONDS
                    # Not all at the same moment, however many workers there are.
                    await self._listener.wait(self._seconds * random.uniform(0.8, 1.2))
