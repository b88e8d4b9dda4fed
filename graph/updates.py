"""What subscriptions yield, and how it is told from the log of events."""

from collections.abc import Iterator
from typing import Annotated, Any

import strawberry
from sqlalchemy import Row

from db import events, tasks
from db.types import RunStatus, Stream, TaskStatus
from graph import reading
from graph.context import Info
from graph.scalars import BigInt, DateTime, Duration, Json
from graph.types import Task


@strawberry.type(description="A task has changed; these are its values since.")
class TaskUpdate:
    cursor: str = strawberry.field(description="Give it as `after` to resume behind this.")
    task_id: strawberry.ID
    kind: str = strawberry.field(description="What happened: `task.started`.")
    status: TaskStatus
    progress_percentage: int
    updated_at: DateTime

    @strawberry.field(description="The task as it is now; null when it is deleted.")
    async def task(self, info: Info) -> Task | None:
        return await reading.find(info.context, "Task", tasks.LISTING, self.task_id)


@strawberry.type(description="A task was carried out with success.")
class TaskCompleted:
    cursor: str
    task_id: strawberry.ID
    status: TaskStatus
    completed_at: DateTime
    duration: Duration | None
    exit_code: int | None


@strawberry.type(description="A task was not carried out: it failed, or took too long.")
class TaskFailed:
    cursor: str
    task_id: strawberry.ID
    code: str = strawberry.field(description="A documented error code.")
    message: str
    details: Json


@strawberry.type(description="A piece of what a run printed.")
class CommandOutput:
    command_id: strawberry.ID = strawberry.field(description="The run.")
    seq: int = strawberry.field(description="Its number; give it as `after` to resume behind it.")
    cursor: str = strawberry.field(description="The same, as text.")
    stream: Stream
    content: str = strawberry.field(description="Text; what is not UTF-8 is shown as U+FFFD.")
    timestamp: DateTime


@strawberry.type(description="A run has ended; all that it printed was yielded before.")
class CommandFinished:
    command_id: strawberry.ID
    status: RunStatus
    exit_code: int | None
    error_code: str | None
    error_message: str | None
    last_seq: int
    total_bytes: BigInt
    sha256: str | None = strawberry.field(description="Of all bytes, both streams, in `seq` order.")
    finished_at: DateTime


TaskNews = Annotated[
    TaskUpdate | TaskCompleted | TaskFailed,
    strawberry.union("TaskNews", description="What happens to tasks."),
]
ProjectNews = Annotated[
    TaskUpdate | TaskCompleted | TaskFailed | CommandOutput,
    strawberry.union("ProjectNews", description="What happens in a project."),
]
OutputNews = Annotated[
    CommandOutput | CommandFinished,
    strawberry.union("OutputNews", description="What a run prints, and then how it ended."),
]


def task_news(event: Row[Any]) -> Iterator[TaskUpdate | TaskCompleted | TaskFailed]:
    """What an event of a task says: an update, and its end when it is one.

    Who resumes behind an update hears it again if they have not heard the end that goes with it.
    """
    if not event.kind.startswith("task."):
        return
    data = event.data
    cursor = events.cursor_of(event.tx, event.seq)
    is_end = event.kind in ("task.completed", "task.failed")
    status = TaskStatus(data["status"])
    yield TaskUpdate(
        cursor=events.cursor_of(event.tx, event.seq - is_end),
        task_id=event.task_id,
        kind=event.kind,
        status=status,
        progress_percentage=data["progress_percentage"],
        updated_at=event.at,
    )
    details = data["details"]
    if event.kind == "task.completed":
        seconds = data["duration_seconds"]
        yield TaskCompleted(
            cursor=cursor,
            task_id=event.task_id,
            status=status,
            completed_at=event.at,
            duration=None if seconds is None else Duration(seconds),
            exit_code=details["exit_code"],
        )
    elif event.kind == "task.failed":
        yield TaskFailed(
            cursor=cursor,
            task_id=event.task_id,
            code=details["error_code"],
            message="Failed to execute task",
            details=Json({"error": details["error"], "exit_code": details["exit_code"]}),
        )


def printed(chunk: Row[Any]) -> CommandOutput:
    """A chunk as subscriptions yield it."""
    return CommandOutput(
        command_id=chunk.run_id,
        seq=chunk.seq,
        cursor=str(chunk.seq),
        stream=Stream(chunk.stream),
        content=chunk.content.decode(errors="replace"),
        timestamp=chunk.at,
    )


def finished(run: Row[Any]) -> CommandFinished:
    """How a run ended."""
    return CommandFinished(
        command_id=run.id,
        status=RunStatus(run.status),
        exit_code=run.exit_code,
        error_code=run.error_code,
        error_message=run.error_message,
        last_seq=run.last_seq,
        total_bytes=run.total_bytes,
        sha256=run.sha256,
        finished_at=run.finished_at,
    )
