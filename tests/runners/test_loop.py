"""A loop goes on after whatever goes wrong, and soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db import claims
from db.bus import Bus
from db.errors import DatabaseUnavailable
from runners.loop import Loop
from runners.worker import SELF_FENCE_SECONDS

PATIENCE_SECONDS = 10
HOUR = 3600.0
SHORT = 0.1
OUTAGE_SECONDS = 6


class Work:
    """Fails so many times; says when it has been called often enough."""

    def __init__(self, *, fails: int, enough: int) -> None:
        self.calls = 0
        self.called_enough = asyncio.Event()
        self._fails = fails
        self._enough = enough

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls == self._enough:
            self.called_enough.set()
        if self.calls <= self._fails:
            raise DatabaseUnavailable


async def test_what_has_failed_is_not_put_off_to_when_it_is_due_the_next_time() -> None:
    work = Work(fails=2, enough=3)
    async with going_on(work, HOUR), asyncio.timeout(PATIENCE_SECONDS):
        await work.called_enough.wait()


async def test_what_keeps_failing_is_tried_as_often_as_what_does_not() -> None:
    work = Work(fails=20, enough=20)
    async with going_on(work, SHORT), asyncio.timeout(PATIENCE_SECONDS):
        await work.called_enough.wait()


async def test_once_it_goes_well_again_it_is_due_as_before() -> None:
    work = Work(fails=1, enough=2)
    async with going_on(work, HOUR), asyncio.timeout(PATIENCE_SECONDS):
        await work.called_enough.wait()
        await asyncio.sleep(3 * SHORT)

    assert 2 == work.calls


def test_a_beat_comes_in_time_after_six_seconds_without_the_database() -> None:
    last_before, first_after = claims.BEAT_SECONDS * 1.2, claims.BEAT_SECONDS / 2

    assert last_before + OUTAGE_SECONDS + first_after < SELF_FENCE_SECONDS


@asynccontextmanager
async def going_on(work: Work, seconds: float) -> AsyncIterator[None]:
    """A loop that does this work."""
    loop = Loop("test", Bus(), (), seconds, work)
    loop.start()
    try:
        yield
    finally:
        await loop.stop()
