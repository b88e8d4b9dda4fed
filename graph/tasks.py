"""Tasks: read, write, execute."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import strawberry

from db import tasks
from db.types import Lane, Permission, RunnerName, TaskStatus
from graph import reading, stream
from graph.context import Info
from graph.inputs import changes_of, values_of
from graph.pages import Lists
from graph.permissions import can
from graph.roots import changes, connection, got, page
from graph.runs import Execution, executed
from graph.scalars import DateTime, Duration, Json
from graph.types import Task


@strawberry.enum(description="What a list of tasks may be sorted by.")
class TaskSort(StrEnum):
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    PRIORITY = "priority"
    TITLE = "title"


@strawberry.input(description="Which tasks a list shows: those that every given filter lets in.")
class TaskFilter:
    project_id: strawberry.ID | None = None
    status: list[TaskStatus] | None = strawberry.field(
        default=None, description="One of these statuses."
    )
    assigned_to: strawberry.ID | None = None
    created_by: strawberry.ID | None = None
    priority: int | None = strawberry.field(default=None, description="At least this priority.")
    tags: list[str] | None = strawberry.field(default=None, description="At least one of these.")
    search: str | None = strawberry.field(
        default=None,
        description="Words in the title or the description: `auth* AND security`, "
        '`"exact phrase"`, `NOT draft`, `title:login`, `tags:backend`.',
    )
    created_after: DateTime | None = strawberry.field(
        default=None, description="Created then or later."
    )
    created_before: DateTime | None = strawberry.field(
        default=None, description="Created earlier than that."
    )


LISTS = Lists(Task, tasks.LISTING, TaskFilter, TaskSort)


@strawberry.input(description="A new task.")
class CreateTaskInput:
    project_id: strawberry.ID
    title: str
    description: str | None = None
    priority: int | None = strawberry.field(default=None, description="From 0 to 100.")
    estimated_duration: Duration | None = None
    assigned_to: strawberry.ID | None = strawberry.field(
        default=None, description="A member of the project."
    )
    tags: list[str] | None = None
    metadata: Json | None = strawberry.field(
        default=None, description="Free-form; `command` makes it a task for the shell runner."
    )
    auto_start: bool | None = strawberry.field(
        default=None, description="Let it start by itself once all it waits for has completed."
    )


@strawberry.input(description="What changes about a task: only what is given.")
class UpdateTaskInput:
    title: strawberry.Maybe[str | None]
    description: strawberry.Maybe[str | None]
    status: strawberry.Maybe[TaskStatus | None]
    priority: strawberry.Maybe[int | None]
    progress_percentage: strawberry.Maybe[int | None]
    estimated_duration: strawberry.Maybe[Duration | None]
    assigned_to: strawberry.Maybe[strawberry.ID | None]
    tags: strawberry.Maybe[list[str] | None]
    metadata: strawberry.Maybe[Json | None]
    auto_start: strawberry.Maybe[bool | None]


@strawberry.input(description="How a task is executed.")
class ExecuteOptions:
    timeout: int | None = strawberry.field(
        default=None, description="Seconds after which it is stopped and has failed."
    )
    retry_attempts: int | None = strawberry.field(
        default=None, description="How often it is tried again when it fails."
    )
    retry_delay: float | None = strawberry.field(
        default=None,
        description="Seconds before it is tried again, by default 1; twice as long each time.",
    )
    runner: RunnerName | None = strawberry.field(
        default=None, description="By default the shell for `metadata.command`, else Claude."
    )
    resume: bool | None = strawberry.field(
        default=None, description="Go on with the task's last conversation with its agent."
    )
    message: str | None = strawberry.field(
        default=None, description="What the agent is told besides; all it is told to go on."
    )
    model: str | None = strawberry.field(
        default=None, description="The agent's model; by default the project's, else the server's."
    )
    max_turns: int | None = strawberry.field(
        default=None, description="How often the agent's model may answer."
    )
    max_budget_usd: float | None = strawberry.field(
        default=None, description="What the run may cost; project and server may set less."
    )


@strawberry.type(description="A task that was deleted.")
class DeletedTask:
    id: strawberry.ID
    message: str
    deleted_at: DateTime


@strawberry.type(description="A task that was cancelled, and its process with it.")
class CancelledTask:
    task_id: strawberry.ID
    status: TaskStatus = strawberry.field(
        description="Cancelled, unless it came to another end at the same moment."
    )
    cancelled_at: DateTime
    reason: str | None

    @strawberry.field(description="The task.")
    async def task(self, info: Info) -> Task:
        return await _task(info, self.task_id)


@strawberry.type
class TaskQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One task.",
        metadata=got("Task", tasks.LISTING),
    )
    async def task(self, info: Info, id: strawberry.ID) -> Task | None:
        return await _task(info, id)

    tasks = connection(LISTS, can(Permission.READ), "Tasks, newest first, by cursor.")

    task_page = page(LISTS, can(Permission.READ), "Tasks, newest first, by page.")


@strawberry.type
class TaskMutation:
    @changes(Task, tasks.LISTING, can(Permission.WRITE), "Add a task to a project.")
    async def create_task(self, info: Info, input: CreateTaskInput) -> str:
        return await info.context.enact(tasks.creating, info.context.signed_in, **values_of(input))

    @changes(Task, tasks.LISTING, can(Permission.WRITE), "Change a task.")
    async def update_task(self, info: Info, id: strawberry.ID, input: UpdateTaskInput) -> str:
        await info.context.write(tasks.change, info.context.signed_in, id, changes_of(input))
        return id

    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Delete a task that is not running; its history stays.",
    )
    async def delete_task(self, info: Info, id: strawberry.ID) -> DeletedTask:
        deleted_at = await info.context.write(tasks.remove, info.context.signed_in, id)
        return DeletedTask(
            id=id, message="Task deleted successfully", deleted_at=DateTime(deleted_at)
        )

    @strawberry.mutation(
        permission_classes=can(Permission.EXECUTE), description="Put a task into its queue."
    )
    async def execute_task(
        self,
        info: Info,
        id: strawberry.ID,
        priority: Lane = Lane.NORMAL,
        options: ExecuteOptions | None = None,
    ) -> Execution:
        chosen = values_of(options) if options else {}
        return await executed(info, tasks.to_execute, info.context.signed_in, id, priority, chosen)

    @strawberry.mutation(
        permission_classes=can(Permission.EXECUTE),
        description="Execute a task again that failed or was cancelled.",
    )
    async def retry_task(self, info: Info, id: strawberry.ID) -> Execution:
        return await executed(info, tasks.to_retry, info.context.signed_in, id)

    @strawberry.mutation(
        permission_classes=can(Permission.EXECUTE),
        description="Cancel a task: what runs is stopped, with everything it started. Answers when "
        "it has ended, or when it should have.",
    )
    async def cancel_task(
        self, info: Info, id: strawberry.ID, reason: str | None = None
    ) -> CancelledTask:
        asked_at = datetime.now(UTC)
        run_id = await info.context.write(tasks.cancel, info.context.signed_in, id, reason)
        if run_id:
            await stream.settled(info.context, run_id, stream.patience(info.context))
        task = await _task(info, id)
        return CancelledTask(
            task_id=id,
            status=task.status if task.completed_at else TaskStatus.CANCELLED,
            cancelled_at=DateTime(task.completed_at or asked_at),
            reason=reason,
        )


async def _task(info: Info, task_id: str) -> Any:
    return await reading.get(info.context, "Task", tasks.LISTING, task_id)
