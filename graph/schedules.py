"""Schedules: tasks that are executed at the times of a cron expression."""

from typing import Any

import strawberry

from db import schedules
from db.tables import schedules as table
from db.types import Lane, Missed, Overlap, Permission
from graph import reading
from graph.context import Info
from graph.inputs import changes_of, values_of
from graph.nouns import column, computed, noun, to_one
from graph.pages import Lists
from graph.people import User
from graph.permissions import can
from graph.roots import changes, connection, got
from graph.scalars import DateTime, Json
from graph.tasks import ExecuteOptions
from graph.types import Project, Task

for word in (Overlap, Missed):
    strawberry.enum(word, name=f"Schedule{word.__name__}", description=word.__doc__)


@noun(table)
class Schedule:
    """Has a task executed again and again, at the times of a cron expression."""

    id: strawberry.ID = column(table.c.id, "UUIDv7.")
    project_id: strawberry.ID = column(table.c.project_id, "The project of its task.")
    project: Project = to_one("Project", "project_id", "The project of its task.")
    task_id: strawberry.ID = column(table.c.task_id, "The task that it executes.")
    task: Task = to_one("Task", "task_id", "The task that it executes.")
    created_by: strawberry.ID = column(table.c.created_by, "In whose name it executes the task.")
    creator: User = to_one("User", "created_by", "In whose name it executes the task.")
    cron: str = column(
        table.c.cron, "Minute, hour, day of the month, month and day of the week: `30 6 * * 1-5`."
    )
    time_zone: str = column(table.c.time_zone, "Whose clocks it goes by: `Europe/Vienna`.")
    overlap: Overlap = column(table.c.overlap, "What it does when the task is still active.")
    missed: Missed = column(table.c.missed, "What it does about times that were missed.")
    lane: Lane = column(table.c.lane, "Where its runs wait.")
    options: Json = column(table.c.options, "How the task is executed.")
    paused: bool = computed(
        lambda paused_at: paused_at is not None, ("paused_at",), "Whether it does nothing now."
    )
    next_at: DateTime | None = column(table.c.next_at, "When it is due next.")
    last_at: DateTime | None = column(table.c.last_at, "When it was due last.")
    created_at: DateTime = column(table.c.created_at, "When it was made.")
    updated_at: DateTime = column(table.c.updated_at, "When it last changed.")


@strawberry.input(description="Which schedules a list shows.")
class ScheduleFilter:
    project_id: strawberry.ID | None = None
    task_id: strawberry.ID | None = None


LISTS = Lists(Schedule, schedules.LISTING, ScheduleFilter)


@strawberry.input(description="A new schedule.")
class CreateScheduleInput:
    task_id: strawberry.ID
    cron: str = strawberry.field(description="Five fields, as cron has them: `30 6 * * 1-5`.")
    time_zone: str = strawberry.field(default="UTC", description="Such as `Europe/Vienna`.")
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.SKIP
    lane: Lane = Lane.NORMAL
    options: ExecuteOptions | None = None


@strawberry.input(description="What changes about a schedule: only what is given.")
class UpdateScheduleInput:
    cron: strawberry.Maybe[str | None]
    time_zone: strawberry.Maybe[str | None]
    overlap: strawberry.Maybe[Overlap | None]
    missed: strawberry.Maybe[Missed | None]
    lane: strawberry.Maybe[Lane | None]
    options: strawberry.Maybe[ExecuteOptions | None]
    paused: strawberry.Maybe[bool | None]


@strawberry.type(description="A schedule that was deleted.")
class DeletedSchedule:
    id: strawberry.ID
    message: str


@strawberry.type
class ScheduleQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One schedule.",
        metadata=got("Schedule", schedules.LISTING),
    )
    async def schedule(self, info: Info, id: strawberry.ID) -> Schedule | None:
        return await reading.get(info.context, "Schedule", schedules.LISTING, id)

    schedules = connection(LISTS, can(Permission.READ), "Schedules, newest first, by cursor.")


@strawberry.type
class ScheduleMutation:
    @changes(
        Schedule,
        schedules.LISTING,
        can(Permission.EXECUTE),
        "Have a task executed at the times of a cron expression.",
    )
    async def create_schedule(self, info: Info, input: CreateScheduleInput) -> str:
        chosen = _with_options(values_of(input))
        return await info.context.write(schedules.create, info.context.signed_in, **chosen)

    @changes(
        Schedule,
        schedules.LISTING,
        can(Permission.EXECUTE),
        "Change a schedule, pause it or let it go on.",
    )
    async def update_schedule(
        self, info: Info, id: strawberry.ID, input: UpdateScheduleInput
    ) -> str:
        chosen = _with_options(changes_of(input))
        await info.context.write(schedules.change, info.context.signed_in, id, chosen)
        return id

    @strawberry.mutation(
        permission_classes=can(Permission.EXECUTE),
        description="Delete a schedule; what it has started goes on.",
    )
    async def remove_schedule(self, info: Info, id: strawberry.ID) -> DeletedSchedule:
        await info.context.write(schedules.remove, info.context.signed_in, id)
        return DeletedSchedule(id=id, message="Schedule deleted successfully")


def _with_options(chosen: dict[str, Any]) -> dict[str, Any]:
    if isinstance(options := chosen.get("options"), ExecuteOptions):
        chosen["options"] = values_of(options)
    return chosen
