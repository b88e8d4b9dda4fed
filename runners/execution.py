"""Carries out one run: its process from before it begins until nothing of it is left."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from db import agents
from db.engine import Database
from db.lifecycle import Begun, Outcome
from db.types import RunnerName, RunStatus
from runners import claude, shell
from runners.adapter import EXECUTION_FAILED, Agent, Program, Unable
from runners.conversation import Conversation
from runners.environment import VariableRefused, allowed
from runners.fence import Fenced, written
from runners.output import Recorder
from runners.place import PlaceRefused, confined
from runners.process import Backend, Limits, Process, Spec
from runners.shell import Shell
from runners.stops import Stop
from settings import Settings


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
        self._lost = asyncio.Event()

    def stop(self, reason: Stop) -> None:
        """Have the run stopped; the first reason counts, but what is lost is lost."""
        self.stopped = reason if reason is Stop.LOST else self.stopped or reason
        self._stop_asked.set()
        if reason is Stop.LOST:
            self._lost.set()

    async def carry_out(self) -> Outcome:
        """Run it to its end; says how that was. What it prints is recorded on the way.

        Raises `NotYet` when it has to wait.
        """
        limit = self._settings.output_limit_bytes
        recorder = Recorder(self._database, self._run.id, self._run.fence, limit)
        if self._run.last_seq:
            await recorder.resume(self._run.last_seq, self._run.total_bytes)
        try:
            program = await self._program()
            process = await self._backend.spawn(self._spec(program))
        except Fenced:
            self.stop(Stop.LOST)
            return _failed(None, "The run was taken away", recorder)
        except Unable as unable:
            message, may_retry = str(unable), unable.may_retry
            return _failed(
                unable.exit_code, message, recorder, code=unable.code, may_retry=may_retry
            )
        except (OSError, ValueError) as error:
            return _failed(shell.EXIT_NOT_EXECUTABLE, f"Can't start: {error}", recorder)
        try:
            if await self._begin(process):
                await self._attend(process, program, recorder)
            return await self._outcome(await process.wait(), program, recorder)
        finally:
            await process.stop(0)
            process.discard_output()

    async def _program(self) -> Program:
        if self._run.runner == RunnerName.SHELL:
            return Shell(self._run.command)
        return await claude.prepared(self._database, self._settings, self._run)

    def _spec(self, program: Program) -> Spec:
        root = self._workspace()
        home = program.home or root
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            environment = allowed(os.environ, self._run.environment, home=home)
            return Spec(
                argv=program.argv,
                directory=confined(root, self._run.working_directory),
                environment={**environment, **program.environment},
                tag=self._run.id,
                stdin=isinstance(program, Agent),
                limits=Limits(
                    cpu_seconds=self._settings.run_cpu_seconds,
                    memory_bytes=self._settings.run_memory_bytes,
                    file_size_bytes=self._settings.run_file_size_bytes,
                ),
            )
        except (PlaceRefused, VariableRefused) as refused:
            raise Unable(shell.EXIT_NOT_EXECUTABLE, str(refused)) from None

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

    async def _attend(self, process: Process, program: Program, recorder: Recorder) -> None:
        """See it through to its end, or to the end that we put to it."""
        agent = self._conversation(program, process) if isinstance(program, Agent) else None
        pieces = agent.heard(process.output()) if agent else process.output()
        try:
            async with asyncio.TaskGroup() as group:
                besides = [
                    group.create_task(self._stop_when_due(process, agent)),
                    group.create_task(self._kill_when_lost(process)),
                ]
                if agent:
                    besides += [group.create_task(agent.speak()), group.create_task(agent.watch())]
                await recorder.record(pieces)
                await process.wait()
                for task in besides:
                    task.cancel()
        except* Fenced:
            self.stop(Stop.LOST)
            await process.stop(0)

    def _conversation(self, agent: Agent, process: Process) -> Conversation:
        patience = self._settings.approval_seconds
        return Conversation(
            self._database, self._run, agent, process, approval_seconds=patience, stop=self.stop
        )

    async def _stop_when_due(self, process: Process, agent: Conversation | None) -> None:
        """An agent is asked to end before it is made to: then it says what it has cost."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._stop_asked.wait()
        except TimeoutError:
            self.stop(Stop.TIMED_OUT)
        grace = self._settings.stop_grace_seconds
        if agent and grace:
            agent.interrupt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await process.wait()
        await process.stop(grace)

    async def _kill_when_lost(self, process: Process) -> None:
        """Others may have it soon: whatever grace it was given before is over."""
        await self._lost.wait()
        await process.stop(0)

    @property
    def _timeout_seconds(self) -> int | None:
        chosen: int | None = self._run.timeout_seconds
        return chosen or self._settings.default_timeout_seconds

    async def _outcome(self, exit_code: int, program: Program, recorder: Recorder) -> Outcome:
        match self.stopped:
            case Stop.CANCELLED | Stop.DRAINED | Stop.LOST:
                return Outcome(RunStatus.CANCELLED, exit_code, **_totals(recorder))
            case Stop.INTERRUPTED:
                ending = (RunStatus.CANCELLED, exit_code, "TASK_CANCELLED", "Interrupted")
                return Outcome(*ending, **_totals(recorder))
            case Stop.TIMED_OUT:
                message = f"Took longer than {self._timeout_seconds} s"
                return _failed(exit_code, message, recorder, code="TASK_TIMEOUT")
            case Stop.STUCK:
                message = "Was stuck: there was no sign of life any more"
                return _failed(exit_code, message, recorder, code="TASK_TIMEOUT")
        verdict = program.verdict(exit_code)
        if verdict.lost_its_session:
            await self._start_over()
        if verdict.code:
            message, may_retry = verdict.message or "", verdict.may_retry
            return _failed(exit_code, message, recorder, code=verdict.code, may_retry=may_retry)
        return Outcome(RunStatus.COMPLETED, exit_code, **_totals(recorder))

    async def _start_over(self) -> None:
        """What it was to go on with is gone; the run goes back to the queue, to begin anew."""
        self.stop(Stop.STARTED_OVER)
        try:
            await written(self._database, agents.forget_session, self._run.id, self._run.fence)
        except Fenced:
            self.stop(Stop.LOST)


def _failed(
    exit_code: int | None,
    message: str,
    recorder: Recorder,
    *,
    code: str = EXECUTION_FAILED,
    may_retry: bool = True,
) -> Outcome:
    # It may be what a process said last, and PostgreSQL stores no NUL in text.
    shown = message.replace("\0", "\ufffd")
    totals = _totals(recorder)
    return Outcome(RunStatus.FAILED, exit_code, code, shown, may_retry=may_retry, **totals)


def _totals(recorder: Recorder) -> dict[str, Any]:
    return {
        "last_seq": recorder.last_seq,
        "total_bytes": recorder.total_bytes,
        "sha256": recorder.sha256,
    }
