"""Carries out one run: its process from before it begins until nothing of it is left."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from db.engine import Database
from db.lifecycle import Begun, Outcome
from db.tables import tasks
from db.types import RunnerName, RunStatus
from runners import claude, shell
from runners.environment import VariableRefused, allowed
from runners.output import Fenced, Recorder
from runners.place import PlaceRefused, confined
from runners.process import Backend, Process, Spec
from settings import Settings

EXECUTION_FAILED = "TASK_EXECUTION_FAILED"


class Stop(Enum):
    """Why a run was stopped. Whoever stopped it decides how it ended, not its exit code."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    DRAINED = "drained"
    LOST = "lost"


class Execution:
    """One claimed run, in the hands of this worker."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        backend: Backend,
        run: Row[Any],
        report: Callable[[Begun], Awaitable[bool]],
    ) -> None:
        self.stopped: Stop | None = None
        self._report = report
        self._database = database
        self._settings = settings
        self._backend = backend
        self._run = run
        self._stop_asked = asyncio.Event()

    def stop(self, reason: Stop) -> None:
        """Have the run stopped; the first reason counts, but what is lost is lost."""
        self.stopped = reason if reason is Stop.LOST else self.stopped or reason
        self._stop_asked.set()

    async def carry_out(self) -> Outcome:
        """Run it to its end; says how that was. What it prints is recorded on the way."""
        recorder = Recorder(self._database, self._run.id, self._run.fence)
        await recorder.resume(self._run.last_seq)
        try:
            spec, prompt = await self._prepared()
            process = await self._backend.spawn(spec)
        except _Unable as unable:
            return _failed(unable.exit_code, str(unable), recorder, may_retry=False)
        except (OSError, ValueError) as error:
            return _failed(shell.EXIT_NOT_EXECUTABLE, f"Can't start: {error}", recorder)
        try:
            if await self._begin(process):
                await self._attend(process, recorder, prompt)
            return self._outcome(await process.wait(), recorder)
        finally:
            await process.stop(0)

    async def _prepared(self) -> tuple[Spec, bytes | None]:
        if self._run.runner == RunnerName.SHELL:
            return self._spec(shell.argv(self._run.command)), None
        if not claude.is_installed():
            raise _Unable(shell.EXIT_NOT_FOUND, claude.NOT_FOUND)
        task = await self._database.first(select(tasks).where(tasks.c.id == self._run.task_id))
        assert task
        return self._spec(claude.argv(), stdin=True), claude.prompt(task.title, task.description)

    def _spec(self, argv: tuple[str, ...], *, stdin: bool = False) -> Spec:
        root = self._workspace()
        try:
            return Spec(
                argv=argv,
                directory=confined(root, self._run.working_directory),
                environment=allowed(os.environ, self._run.environment, home=root),
                tag=self._run.id,
                stdin=stdin,
            )
        except (PlaceRefused, VariableRefused) as refused:
            raise _Unable(shell.EXIT_NOT_EXECUTABLE, str(refused)) from None

    def _workspace(self) -> Path:
        """The project's own directory; commands of no project share one a user."""
        root: Path = self._settings.workspaces / self._run.bucket
        root.mkdir(parents=True, exist_ok=True)
        return root.resolve()

    async def _begin(self, process: Process) -> bool:
        """Let it begin, once the record knows which process it is."""
        identity = process.identity
        known = await self._report(
            Begun(
                self._run.id,
                self._run.fence,
                identity.boot_id,
                identity.pid,
                identity.started_ticks,
            )
        )
        if not known:
            self.stop(Stop.LOST)
        if self.stopped:
            await process.stop(0)
        else:
            process.begin()
        return self.stopped is None

    async def _attend(self, process: Process, recorder: Recorder, prompt: bytes | None) -> None:
        stopping = asyncio.create_task(self._stop_when_due(process), name="run stops")
        try:
            if prompt is not None:
                await process.write(prompt)
                process.close_stdin()
            await recorder.record(process.output())
        except Fenced:
            self.stop(Stop.LOST)
            await process.stop(0)
        except BrokenPipeError:
            await recorder.record(process.output())
        finally:
            await process.wait()
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def _stop_when_due(self, process: Process) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._stop_asked.wait()
        except TimeoutError:
            self.stop(Stop.TIMED_OUT)
        grace = 0.0 if self.stopped is Stop.LOST else self._settings.stop_grace_seconds
        await process.stop(grace)

    @property
    def _timeout_seconds(self) -> int | None:
        chosen: int | None = self._run.timeout_seconds
        return chosen or self._settings.default_timeout_seconds

    def _outcome(self, exit_code: int, recorder: Recorder) -> Outcome:
        match self.stopped:
            case Stop.CANCELLED | Stop.DRAINED | Stop.LOST:
                return Outcome(RunStatus.CANCELLED, exit_code, **_totals(recorder))
            case Stop.TIMED_OUT:
                message = f"Took longer than {self._timeout_seconds} s"
                return _failed(exit_code, message, recorder, code="TASK_TIMEOUT")
        if exit_code == 0:
            return Outcome(RunStatus.COMPLETED, 0, **_totals(recorder))
        message = shell.explain(self._run.command or claude.COMMAND, exit_code)
        return _failed(exit_code, message, recorder)


class _Unable(Exception):
    """The run can't be started, now or later."""

    def __init__(self, exit_code: int, message: str) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def _failed(
    exit_code: int,
    message: str,
    recorder: Recorder,
    *,
    code: str = EXECUTION_FAILED,
    may_retry: bool = True,
) -> Outcome:
    return Outcome(
        RunStatus.FAILED, exit_code, code, message, may_retry=may_retry, **_totals(recorder)
    )


def _totals(recorder: Recorder) -> dict[str, Any]:
    return {
        "last_seq": recorder.last_seq,
        "total_bytes": recorder.total_bytes,
        "sha256": recorder.sha256,
    }
