"""Claims runs while it has free slots, carries them out, and keeps its leases meanwhile."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from typing import Any

import structlog
from sqlalchemy import Row
from structlog.typing import EventDict

from db import claims, tracing
from db.engine import Database
from db.errors import DatabaseUnavailable
from db.lifecycle import Ended, Outcome, Postponed, Released, Report
from db.types import RunStatus
from runners.adapter import EXECUTION_FAILED, NotYet
from runners.execution import Execution
from runners.journal import Entry, Journal
from runners.loop import Loop
from runners.metrics import LEASES_LOST, RESCUED, RUN_SECONDS, WAIT_SECONDS
from runners.process import Backend
from runners.stops import Stop
from runners.survivors import Identity, identify, is_alive, machine
from settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
RESCUE_SECONDS = 3.0
"""With the lease, and up to a fifth later than that: a lost run's next state comes within 25 s."""
SELF_FENCE_SECONDS = 15.0
"""Without a renewed lease for this long, our runs may be another worker's: we stop them.

That outlives six seconds without the database: before them a beat is at most a period late, and a
fifth; after them it is tried again soon.
"""
MOST_AT_ONCE = 100
"""What a turn takes of what there is to do. With more, the database and we would wait for each
other by turns; with less, what a turn costs by itself would weigh too much.
"""
LAST_WORDS_SECONDS = 5.0
"""What the record gets, when we stop, to take down how the last runs ended, and to forget us."""


_carried: ContextVar[Row[Any]] = ContextVar("run")


def with_run(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What is logged, with the ids of the run and the task that it belongs to; for structlog."""
    if run := _carried.get(None):
        event.setdefault("run_id", run.id)
        event.setdefault("task_id", run.task_id)
    return event


class Worker:
    """Carries out the runs of one database, several at once."""

    def __init__(self, database: Database, settings: Settings, backend: Backend) -> None:
        self._database = database
        self._settings = settings
        self.backend_name = backend.name
        self._backend = backend
        self._executions: dict[str, Execution] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._turns = Loop("worker turns", database.bus, ("runs",), POLL_SECONDS, self._take_turns)
        self._helps = Loop("worker helps", database.bus, (), POLL_SECONDS, self._help_out)
        self._journal = Journal(self._wake)
        self._fuse: asyncio.TimerHandle | None = None
        self._free = settings.worker_concurrency
        self._most_entries = MOST_AT_ONCE
        self._claims = True
        self._hands_back = False
        self.id = ""

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work for as long as the block lasts; then drain, and leave no process behind."""
        self.id = await self._enlist()
        bus = self._database.bus
        beats = Loop("worker beats", bus, (f"worker:{self.id}",), claims.BEAT_SECONDS, self._beat)
        rescues = Loop("worker rescues", bus, (), RESCUE_SECONDS, self._rescue)
        loops = (self._turns, self._helps, beats, rescues)
        self._put_off_fuse(asyncio.get_running_loop().time() + SELF_FENCE_SECONDS)
        for loop in loops:
            loop.start()
        try:
            yield
        finally:
            self.stop_claiming()
            await self._drain()
            for loop in loops:
                await loop.stop()
            with contextlib.suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._database.write(claims.dismiss, self.id)

    def stop_claiming(self) -> None:
        """Take no new runs from now on."""
        self._claims = False

    async def _enlist(self) -> str:
        """Join the workers; those of this machine that died without a word are buried first.

        Of others, also in other containers of it, nothing can be seen: their leases tell.
        """
        host, me = machine(), identify(os.getpid())
        for other in await self._database.write(claims.workers_on, host, me.boot_id):
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
        await self._database.write(claims.dismiss, worker.id)

    def _wake(self) -> None:
        self._turns.wake()
        self._helps.wake()

    async def _help_out(self) -> None:
        """Take turns beside those being taken: one is prepared while the database is at another."""
        if self._journal:
            await self._take_turns()

    async def _take_turns(self) -> None:
        """Record what the runs report and claim others in their place, until there is no more."""
        while True:
            entries = self._journal.take(self._most_entries)
            self._free += sum(entry.is_last for entry in entries)
            room = min(self._free, MOST_AT_ONCE) if self._claims else 0
            if not (entries or room):
                return
            claimed = await self._turn(entries, room)
            if len(claimed) < room and not self._journal:
                return

    async def _turn(self, entries: Sequence[Entry], room: int) -> Sequence[Row[Any]]:
        reports = [entry.report for entry in entries]
        began = asyncio.get_running_loop().time()
        self._free -= room  # It is promised to this turn: others may be taken meanwhile.
        try:
            turn = await self._database.enact(claims.turn, self.id, reports, room)
        except BaseException as error:
            back = self._put_back(entries, error)
            self._free += room - sum(entry.is_last for entry in back)
            raise
        self._most_entries = min(2 * self._most_entries, MOST_AT_ONCE)
        self._free += room - len(turn.claimed)
        for entry in entries:
            entry.answer(entry.report.run_id in turn.accepted)
        if turn.claimed and not self._fuse:  # It has burnt, and no beat was answered since.
            self._put_off_fuse(began + SELF_FENCE_SECONDS)
        for run in turn.claimed:
            WAIT_SECONDS.of(run.lane).add((run.claimed_at - run.due_at).total_seconds())
            carrying = asyncio.create_task(self._carry(run), name=f"run {run.id}")
            self._carrying.add(carrying)
            carrying.add_done_callback(self._carrying.discard)
        return turn.claimed

    def _put_back(self, entries: Sequence[Entry], error: BaseException) -> Sequence[Entry]:
        """Have them recorded later, unless the record can't take it: that is found one by one.

        What is given up is rescued when its lease is over: nobody renews it any more.
        """
        if not isinstance(error, DatabaseUnavailable | asyncio.CancelledError):
            self._most_entries = 1
            if len(entries) == 1:
                entries[0].answer(False)
                return []
        self._journal.put_back(entries)
        return entries

    async def _carry(self, run: Row[Any]) -> None:
        execution = Execution(
            self._database, self._settings, self._backend, run, self._journal.report
        )
        if earlier := self._executions.get(run.id):
            earlier.stop(Stop.LOST)  # It was taken from us, and comes back to us.
        self._executions[run.id] = execution
        if self._hands_back:
            execution.stop(Stop.DRAINED)
        _carried.set(run)
        began = asyncio.get_running_loop().time()
        try:
            if last := await self._carried_out(run, execution):
                if isinstance(last, Ended):
                    took = asyncio.get_running_loop().time() - began
                    RUN_SECONDS.of(run.runner, last.outcome.status).add(took)
                await self._journal.report(last)
            else:
                self._free += 1
                self._wake()
        finally:
            if self._executions.get(run.id) is execution:
                del self._executions[run.id]

    async def _carried_out(self, run: Row[Any], execution: Execution) -> Report | None:
        """Carry a run out; what is to be said of it then, if it is still ours."""
        try:
            with tracing.span("run", run_id=run.id, task_id=run.task_id, runner=run.runner):
                outcome = await execution.carry_out()
        except DatabaseUnavailable:
            return Released(run.id, run.fence)
        except NotYet as later:
            return Postponed(run.id, run.fence, later.seconds)
        except Exception:
            log.exception("a run was not carried out")
            await self._sweep(run.id)
            message = "The server failed to carry it out"
            outcome = Outcome(RunStatus.FAILED, None, EXECUTION_FAILED, message)
        match execution.stopped:
            case Stop.LOST:
                LEASES_LOST.inc()
                return None
            case Stop.DRAINED | Stop.STARTED_OVER:
                return Released(run.id, run.fence)
            case _:
                return Ended(run.id, run.fence, outcome)

    async def _sweep(self, run_id: str) -> None:
        """Kill what is left of a run, as soon as the machine is able to look for it."""
        while True:
            try:
                await self._backend.sweep(run_id)
            except Exception:
                log.exception("what is left of a run was not looked for; trying again")
                await asyncio.sleep(POLL_SECONDS)
            else:
                return

    async def _beat(self) -> None:
        began = asyncio.get_running_loop().time()
        watched = self._in_hand()  # What is claimed meanwhile may not be in the answer.
        try:
            async with asyncio.timeout_at(self._latest_answer(began)):
                held = await self._database.write(claims.beat, self.id, list(watched))
        except TimeoutError:
            self._database.distrust()
            raise DatabaseUnavailable from None
        self._put_off_fuse(began + SELF_FENCE_SECONDS)
        for run_id, execution in watched.items():
            if run_id not in held:
                execution.stop(Stop.LOST)
            elif held[run_id]:
                execution.stop(Stop.CANCELLED)

    def _in_hand(self) -> dict[str, Execution]:
        """What is carried out here; what we have let go is for others."""
        return {
            run_id: execution
            for run_id, execution in self._executions.items()
            if execution.stopped is not Stop.LOST
        }

    def _latest_answer(self, began: float) -> float:
        """When to give a beat up: one that the fuse overtakes would renew what we have let go."""
        latest = began + claims.BEAT_SECONDS
        return min(latest, self._fuse.when()) if self._fuse else latest

    def _put_off_fuse(self, until: float) -> None:
        if self._fuse:
            self._fuse.cancel()
        self._fuse = asyncio.get_running_loop().call_at(until, self._let_go)

    def _let_go(self) -> None:
        self._fuse = None
        log.warning("the leases were not renewed: what runs here is stopped")
        for execution in self._executions.values():
            execution.stop(Stop.LOST)

    async def _rescue(self) -> None:
        mine = self.id, list(self._in_hand())
        if rescued := await self._database.write(claims.rescue_expired, *mine):
            RESCUED.inc(rescued)
            log.warning("runs of lost workers were rescued", count=rescued)

    async def _drain(self) -> None:
        """Let what runs come to its end, for a while; then stop it and hand it back."""
        await self._carried_all(self._settings.drain_seconds)
        self._hands_back = True
        for execution in self._executions.values():
            execution.stop(Stop.DRAINED)
        # An agent is first asked to end, and then made to: it gets the grace twice.
        await self._carried_all(2 * self._settings.stop_grace_seconds + LAST_WORDS_SECONDS)
        for carrying in self._carrying:
            carrying.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        if self._fuse:
            self._fuse.cancel()

    async def _carried_all(self, seconds: float) -> None:
        """Wait until nothing is carried out any more, also of what a last turn has claimed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._carrying:
                    await asyncio.wait(self._carrying)
