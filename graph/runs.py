"""Runs: executions of tasks, and commands of their own."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import strawberry

from db import commands, queueing, runs
from db.errors import InvalidFormat
from db.queueing import Queued
from db.statements import Writing
from db.types import Lane, Permission, RunStatus
from graph import reading, stream
from graph.context import Info
from graph.inputs import values_of
from graph.pages import Lists
from graph.permissions import can
from graph.roots import changes, connection, got
from graph.scalars import DateTime, Json
from graph.types import Run, Task
from graph.updates import OutputNews, finished, printed

_SEQ = re.compile(r"\d{1,9}", re.ASCII)
WAIT_FOR_START_SECONDS = 2.0


@strawberry.input(description="Which runs a list shows.")
class RunFilter:
    status: list[RunStatus] | None = None
    project_id: strawberry.ID | None = None
    task_id: strawberry.ID | None = None
    user_id: strawberry.ID | None = None
    commands_only: bool | None = strawberry.field(
        default=None, description="Only commands of their own, or only executions of tasks."
    )


LISTS = Lists(Run, runs.LISTING, RunFilter)


@strawberry.input(description="A command for the shell.")
class ExecuteCommandInput:
    command: str
    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="Run it in this project's directory, within its limits."
    )
    working_directory: str | None = strawberry.field(
        default=None, description="Below the workspace; nothing outside is reached by it."
    )
    timeout: int | None = strawberry.field(default=None, description="In seconds.")
    environment: Json | None = strawberry.field(
        default=None, description="Further variables, name to text."
    )
    stream_output: bool | None = strawberry.field(
        default=None, description="For information: output can always be followed."
    )


@strawberry.type(description="A task in its queue.")
class Execution:
    task_id: strawberry.ID
    execution_id: strawberry.ID = strawberry.field(description="The id of its run.")
    status: RunStatus
    queue_position: int = strawberry.field(description="1 for the next of its lane.")
    estimated_start_time: DateTime
    retry_attempt: int = strawberry.field(description="1 for the first execution of the task.")

    @strawberry.field(description="The run.")
    async def run(self, info: Info) -> Run:
        found: Run = await info.context.loaders.one("Run").load(self.execution_id)
        return found

    @strawberry.field(description="The task.")
    async def task(self, info: Info) -> Task:
        found: Task = await info.context.loaders.one("Task").load(self.task_id)
        return found


async def executed(info: Info, prepare: Callable[..., Writing[Queued]], *args: Any) -> Execution:
    """Enqueue the run that is prepared, and say where in the queue it then is."""
    most = info.context.services.settings.queue_max_size
    place = await info.context.enact(queueing.place, most, prepare, *args)
    return Execution(
        task_id=strawberry.ID(place.task_id),
        execution_id=strawberry.ID(place.run_id),
        status=RunStatus.QUEUED,
        queue_position=place.position,
        estimated_start_time=DateTime(place.estimated_start_at),
        retry_attempt=place.number,
    )


def seq_of(after: str | None) -> int:
    """The number that a cursor is; 0 without one. Raises `InvalidFormat`."""
    if not after:
        return 0
    if not _SEQ.fullmatch(after):
        raise InvalidFormat("after", "Not a cursor of this output")
    return int(after)


@strawberry.type
class RunQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One run.",
        metadata=got("Run", runs.LISTING),
    )
    async def run(self, info: Info, id: strawberry.ID) -> Run | None:
        return await _run(info, id)

    runs = connection(LISTS, can(Permission.READ), "Runs, newest first, by cursor.")


@strawberry.type
class RunMutation:
    @changes(
        Run,
        runs.LISTING,
        can(Permission.EXECUTE),
        "Run a shell command. Answers when it has begun, or after two seconds.",
    )
    async def execute_command(
        self, info: Info, input: ExecuteCommandInput, priority: Lane = Lane.HIGH
    ) -> str:
        chosen = values_of(input)
        chosen.pop("stream_output", None)
        chosen["timeout_seconds"] = chosen.pop("timeout", None)
        most = info.context.services.settings.queue_max_size
        run_id = await info.context.write(
            queueing.bounded,
            most,
            commands.execute,
            info.context.signed_in,
            priority=priority,
            **chosen,
        )
        await stream.settled(info.context, run_id, WAIT_FOR_START_SECONDS, begun=True)
        return run_id

    @changes(
        Run,
        runs.LISTING,
        can(Permission.EXECUTE),
        "Cancel a run. Answers when it has ended, or when it should have.",
    )
    async def cancel_run(self, info: Info, id: strawberry.ID, reason: str | None = None) -> str:
        await info.context.write(commands.cancel, info.context.signed_in, id, reason)
        await stream.settled(info.context, id, stream.patience(info.context))
        return id


@strawberry.type
class RunSubscription:
    @strawberry.subscription(
        permission_classes=can(Permission.READ),
        description="What a run prints: all of it behind `after`, once and in order, whether it "
        "is running or ended long ago; and then how it ended.",
    )
    async def command_output(
        self, info: Info, run_id: strawberry.ID, after: str | None = None
    ) -> AsyncIterator[OutputNews]:
        await _run(info, run_id)
        async for row in stream.output_of(info.context, run_id, seq_of(after)):
            info.context.forget()
            yield printed(row) if hasattr(row, "run_id") else finished(row)


async def _run(info: Info, run_id: str) -> Any:
    return await reading.get(info.context, "Run", runs.LISTING, run_id)
