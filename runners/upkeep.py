"""What has to be done now and then, by whichever process comes first: none of them leads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import structlog

from db import approvals, retention, schedules, starting
from db.engine import Database
from runners.loop import Loop
from settings import Settings

log = structlog.get_logger(__name__)

SCHEDULE_SECONDS = 2.0
START_SECONDS = 5.0
EXPIRE_SECONDS = 2.0
PRUNE_SECONDS = 3600.0
PAUSE_SECONDS = 0.05
"""Between two batches: others want to write as well."""


class Upkeep:
    """Keeps schedules, starts what is ready, ends what nobody answers, forgets what is old."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._ages = ages(settings)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Do it for as long as the block lasts."""
        bus = self._database.bus
        loops = (
            Loop("schedules are kept", bus, ("schedules",), SCHEDULE_SECONDS, self._keep),
            Loop("tasks start by themselves", bus, ("completed",), START_SECONDS, self._start),
            Loop("permission requests expire", bus, (), EXPIRE_SECONDS, self._expire),
            Loop("what is old is forgotten", bus, (), PRUNE_SECONDS, self.prune),
        )
        for loop in loops:
            loop.start()
        try:
            yield
        finally:
            for loop in loops:
                await loop.stop()

    async def prune(self) -> dict[str, int]:
        """Forget what is older than its rule allows, in small batches; how much that was."""
        forgotten = dict.fromkeys(self._ages, 0)
        for name, age in self._ages.items():
            rule = retention.RULES[name]
            while (count := await self._database.write(rule.forget_some, age)) is not None:
                forgotten[name] += count
                await asyncio.sleep(PAUSE_SECONDS)
        if any(forgotten.values()):
            log.info("old rows were removed", **forgotten)
        return forgotten

    async def prunable(self) -> dict[str, int]:
        """How much `prune` would forget."""
        return {
            name: await self._database.write(retention.RULES[name].count, age)
            for name, age in self._ages.items()
        }

    async def _keep(self) -> None:
        while await self._database.write(schedules.keep) >= schedules.MOST_AT_ONCE:
            pass

    async def _start(self) -> None:
        while await self._database.write(starting.start_ready) >= starting.MOST_AT_ONCE:
            pass

    async def _expire(self) -> None:
        if await self._database.rows(approvals.late().limit(1)):
            await self._database.write(approvals.expire)


def ages(settings: Settings) -> dict[str, timedelta]:
    """How long each kind of row is kept, of those that are not kept for ever."""
    days = {
        "output": settings.keep_output_days,
        "runs": settings.keep_runs_days,
        "deliveries": settings.keep_deliveries_days,
        "deleted_webhooks": settings.keep_deleted_days,
        "deleted_tasks": settings.keep_deleted_days,
        "deleted_projects": settings.keep_deleted_days,
        "events": settings.keep_events_days,
    }
    return {name: timedelta(days=kept) for name, kept in days.items() if kept is not None}
