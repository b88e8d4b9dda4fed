"""What tasks wait for."""

import strawberry

from db import dependencies
from db.types import DependencyType, Permission
from graph.context import Info
from graph.permissions import can
from graph.roots import changes
from graph.scalars import DateTime
from graph.types import TaskDependency


@strawberry.type(description="A dependency that was deleted.")
class DeletedDependency:
    id: strawberry.ID
    message: str
    deleted_at: DateTime


@strawberry.type
class DependencyMutation:
    @changes(
        TaskDependency,
        dependencies.LISTING,
        can(Permission.WRITE),
        "Let a task depend on another of its project, but never on itself in the end.",
    )
    async def add_dependency(
        self,
        info: Info,
        task_id: strawberry.ID,
        depends_on_task_id: strawberry.ID,
        dependency_type: DependencyType = DependencyType.BLOCKS,
    ) -> str:
        return await info.context.write(
            dependencies.add, info.context.signed_in, task_id, depends_on_task_id, dependency_type
        )

    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Let a task no longer depend on another.",
    )
    async def remove_dependency(
        self, info: Info, task_id: strawberry.ID, id: strawberry.ID
    ) -> DeletedDependency:
        deleted_at = await info.context.write(
            dependencies.remove, info.context.signed_in, task_id, id
        )
        return DeletedDependency(
            id=id, message="Dependency deleted successfully", deleted_at=DateTime(deleted_at)
        )
