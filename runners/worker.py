"""Claims runs while it has free slots, carries them out, and keeps its leases meanwhile."""

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import AsyncIterator
from typing import Any

import structlog
from sqlalchemy import Row

from db import claims, lifecycle
from db.engine import Database
from db.errors import DatabaseUnavailable
from db.lifecycle import Outcome
from runners.execution import Execution, Stop
from runners.loop import Loop
from runners.process import Backend
from runners.survivors import Identity, identify, is_alive
from settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
RESCUE_SECONDS = 5.0
SELF_FENCE_SECONDS = 15.0
"""Without a renewed lease for this long, our runs may be another worker's: we stop them."""
RETRY_SECONDS = 0.5


class Worker:
    """Carries out the runs of one database, several at once."""

    def __init__(self, database: Database, settings: Settings, backend: Backend) -> None:
        self._database = database
        self._settings = settings
        self._backend = backend
        self._executions: dict[str, Execution] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._renewed_at = 0.0
        self.id = ""

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work for as long as the block lasts; then drain, and leave no process behind."""
        self.id = await self._enlist()
        bus = self._database.bus
        loops = [
            Loop("worker claims", bus, ("runs",), POLL_SECONDS, self._claim),
            Loop("worker beats", bus, (f"worker:{self.id}",), claims.BEAT_SECONDS, self._beat),
            Loop("worker rescues", bus, (), RESCUE_SECONDS, self._rescue),
        ]
        claiming, beating, rescuing = loops
        self._renewed_at = time.monotonic()
        for loop in loops:
            loop.start()
        try:
            yield
        finally:
            await claiming.stop()
            await self._drain()
            await beating.stop()
            await rescuing.stop()
            with contextlib.suppress(DatabaseUnavailable):
                await self._database.write(claims.dismiss, self.id)

    async def _enlist(self) -> str:
        """Join the workers; those of this machine that died without a word are buried first."""
        host, me = platform.node(), identify(os.getpid())
        for other in await self._database.write(claims.workers_on, host):
            if not is_alive(Identity(other.boot_id, other.pid, other.pid_started)):
                await self._bury(other)
        return await self._database.write(
            claims.enlist,
            host,
            me.boot_id,
            me.pid,
            me.started_ticks,
            self._settings.worker_concurrency,
        )

    async def _bury(self, worker: Row[Any]) -> None:
        for run in await self._database.write(claims.runs_of, worker.id):
            await self._backend.sweep(run.id)
        await self._database.write(claims.rescue_of, worker.id)
        await self._database.write(claims.dismiss, worker.id)

    async def _claim(self) -> None:
        while free := self._settings.worker_concurrency - len(self._carrying):
            claimed = await self._database.write(claims.claim, self.id, free)
            for run in claimed:
                carrying = asyncio.create_task(self._carry(run), name=f"run {run.id}")
                self._carrying.add(carrying)
                carrying.add_done_callback(self._carried)
            if len(claimed) < free:
                return

    def _carried(self, carrying: "asyncio.Task[None]") -> None:
        self._carrying.discard(carrying)
        self._database.bus.hint(["runs"])
        if not carrying.cancelled() and (error := carrying.exception()):
            log.error("a run was not carried out", exc_info=error)

    async def _carry(self, run: Row[Any]) -> None:
        execution = Execution(self._database, self._settings, self._backend, run)
        self._executions[run.id] = execution
        try:
            outcome = await execution.carry_out()
        finally:
            del self._executions[run.id]
        await self._conclude(run, execution, outcome)

    async def _conclude(self, run: Row[Any], execution: Execution, outcome: Outcome) -> None:
        """Record how a run ended; as long as its lease lasts when the database is not there."""
        while execution.stopped is not Stop.LOST:
            try:
                if execution.stopped is Stop.DRAINED:
                    await self._database.write(lifecycle.release, run.id, run.fence)
                else:
                    await self._database.write(lifecycle.finish, run.id, run.fence, outcome)
            except DatabaseUnavailable:
                if time.monotonic() - self._renewed_at > SELF_FENCE_SECONDS:
                    return
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _beat(self) -> None:
        try:
            held = await self._database.write(claims.beat, self.id)
        except DatabaseUnavailable:
            if time.monotonic() - self._renewed_at > SELF_FENCE_SECONDS:
                for execution in self._executions.values():
                    execution.stop(Stop.LOST)
            raise
        self._renewed_at = time.monotonic()
        for run_id, execution in self._executions.items():
            if run_id not in held:
                execution.stop(Stop.LOST)
            elif held[run_id]:
                execution.stop(Stop.CANCELLED)

    async def _rescue(self) -> None:
        if rescued := await self._database.write(claims.rescue_expired):
            log.warning("runs of lost workers were rescued", count=rescued)

    async def _drain(self) -> None:
        """Let what runs come to its end, for a while; then stop it and hand it back."""
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=self._settings.drain_seconds)
        for execution in self._executions.values():
            execution.stop(Stop.DRAINED)
        await asyncio.gather(*self._carrying, return_exceptions=True)
