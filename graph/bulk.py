"""One change to many tasks."""

import strawberry

from db import bulk
from db.bulk import BulkOperation
from db.types import Permission, TaskStatus
from graph.context import Info
from graph.inputs import changes_of
from graph.permissions import can
from graph.scalars import Json
from graph.types import Task

strawberry.enum(BulkOperation, description=BulkOperation.__doc__)


@strawberry.input(description="What an operation on many tasks needs to know.")
class BulkTaskData:
    status: TaskStatus | None = strawberry.field(default=None, description="For `update_status`.")
    progress_percentage: int | None = strawberry.field(
        default=None, description="From 0 to 100; with `update_status`, if it is to be set too."
    )
    assigned_to: strawberry.Maybe[strawberry.ID | None] = strawberry.field(
        description="For `assign`: a member of the project; null for nobody."
    )
    tags: list[str] | None = strawberry.field(
        default=None, description="For `add_tags` and `remove_tags`."
    )
    priority: int | None = strawberry.field(
        default=None, description="From 0 to 100; for `set_priority`."
    )


@strawberry.type(description="Why something was not done to a task.")
class BulkError:
    task_id: strawberry.ID
    code: str = strawberry.field(description="A documented error code.")
    message: str
    details: Json


@strawberry.type(description="What came of an operation for each task.")
class BulkResult:
    operation: BulkOperation
    affected_count: int = strawberry.field(description="To how many tasks it was done.")
    successful: list[strawberry.ID] = strawberry.field(description="Those tasks.")
    failed: list[strawberry.ID] = strawberry.field(description="The others: they are as before.")
    errors: list[BulkError] = strawberry.field(description="Why it was not done to them.")

    @strawberry.field(description="The changed tasks as they are now; none when they are deleted.")
    async def tasks(self, info: Info) -> list[Task]:
        changed = [] if self.operation is BulkOperation.DELETE else self.successful
        found: list[Task] = await info.context.loaders.one("Task").load_many(changed)
        return found


@strawberry.type
class BulkMutation:
    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Change up to 500 tasks: each whole or not at all, and one that can't be "
        "changed keeps no other from it.",
    )
    async def bulk_tasks(
        self,
        info: Info,
        operation: BulkOperation,
        task_ids: list[strawberry.ID],
        data: BulkTaskData | None = None,
    ) -> BulkResult:
        outcome = await info.context.write(
            bulk.apply,
            info.context.signed_in,
            operation,
            task_ids,
            changes_of(data) if data else {},
        )
        return BulkResult(
            operation=operation,
            affected_count=len(outcome.successful),
            successful=[strawberry.ID(task_id) for task_id in outcome.successful],
            failed=[strawberry.ID(task_id) for task_id in outcome.failed],
            errors=[
                BulkError(
                    task_id=strawberry.ID(task_id),
                    code=problem.code,
                    message=problem.message,
                    details=Json(problem.details),
                )
                for task_id, problem in outcome.failed.items()
            ],
        )
