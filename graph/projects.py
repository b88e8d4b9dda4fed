"""Projects: read, write, and what happens in them."""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any

import strawberry

from db import cloning, projects, tasks
from db.types import Permission, ProjectStatus
from graph import reading, stream
from graph.context import Info
from graph.inputs import changes_of, values_of
from graph.pages import Lists
from graph.permissions import can
from graph.roots import changes, connection, got, page
from graph.scalars import DateTime, Json
from graph.types import Project
from graph.updates import ProjectNews, TaskNews, printed, task_news


@strawberry.enum(description="What a list of projects may be sorted by.")
class ProjectSort(StrEnum):
    NAME = "name"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


@strawberry.input(description="Which projects a list shows.")
class ProjectFilter:
    status: list[ProjectStatus] | None = None
    created_by: strawberry.ID | None = None
    search: str | None = strawberry.field(
        default=None,
        description="Words in the name or the description: `shop* AND NOT old`, `name:shop`.",
    )
    created_after: DateTime | None = None
    created_before: DateTime | None = None


LISTS = Lists(Project, projects.LISTING, ProjectFilter, ProjectSort)


@strawberry.input(description="What a project may take.")
class ResourceLimitsInput:
    max_tasks: int | None = None
    max_concurrent_tasks: int | None = None
    storage_limit: str | None = None


@strawberry.input(description="A new project.")
class CreateProjectInput:
    name: str
    description: str | None = None
    settings: Json | None = None
    resource_limits: ResourceLimitsInput | None = None


@strawberry.input(description="What changes about a project: only what is given.")
class UpdateProjectInput:
    name: strawberry.Maybe[str | None]
    description: strawberry.Maybe[str | None]
    status: strawberry.Maybe[ProjectStatus | None]
    settings: strawberry.Maybe[Json | None] = strawberry.field(
        description="Merged into what is there, key by key; null takes a key away."
    )
    resource_limits: strawberry.Maybe[ResourceLimitsInput | None]


@strawberry.input(description="What tasks are executed with; null is nothing.")
class ExecutionDefaultsInput:
    retry_attempts: int | None = strawberry.field(
        default=None, description="How often a failed one is tried again."
    )
    timeout: int | None = strawberry.field(
        default=None, description="Seconds after which it has failed."
    )


@strawberry.type(description="A project that was deleted.")
class DeletedProject:
    id: strawberry.ID
    message: str
    deleted_at: DateTime


@strawberry.type
class ProjectQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One project.",
        metadata=got("Project", projects.LISTING),
    )
    async def project(self, info: Info, id: strawberry.ID) -> Project | None:
        return await _project(info, id)

    projects = connection(LISTS, can(Permission.READ), "Projects, newest first, by cursor.")

    project_page = page(LISTS, can(Permission.READ), "Projects, newest first, by page.")


@strawberry.type
class ProjectMutation:
    @changes(Project, projects.LISTING, can(Permission.WRITE), "Open a project.")
    async def create_project(self, info: Info, input: CreateProjectInput) -> str:
        chosen = values_of(input)
        if input.resource_limits:
            chosen["resource_limits"] = values_of(input.resource_limits)
        return await info.context.write(projects.create, info.context.signed_in, **chosen)

    @changes(Project, projects.LISTING, can(Permission.WRITE), "Change a project.")
    async def update_project(self, info: Info, id: strawberry.ID, input: UpdateProjectInput) -> str:
        changes = changes_of(input)
        if isinstance(changes.get("resource_limits"), ResourceLimitsInput):
            changes["resource_limits"] = values_of(changes["resource_limits"])
        await info.context.write(projects.change, info.context.signed_in, id, changes)
        return id

    @changes(
        Project,
        projects.LISTING,
        can(Permission.WRITE),
        "Set what tasks of a project are executed with, where their options say nothing else.",
    )
    async def set_execution_defaults(
        self,
        info: Info,
        id: strawberry.ID,
        defaults: ExecutionDefaultsInput,
    ) -> str:
        await info.context.write(
            projects.set_defaults,
            info.context.signed_in,
            id,
            defaults.retry_attempts,
            defaults.timeout,
        )
        return id

    @changes(
        Project,
        projects.LISTING,
        can(Permission.WRITE),
        "Copy a project: its settings with its limits, and its tasks as if they were new.",
    )
    async def clone_project(
        self,
        info: Info,
        id: strawberry.ID,
        name: str,
        include_tasks: bool = False,
        include_settings: bool = True,
    ) -> str:
        return await info.context.write(
            cloning.clone,
            info.context.signed_in,
            id,
            name=name,
            include_tasks=include_tasks,
            include_settings=include_settings,
        )

    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Delete a project in which nothing runs.",
    )
    async def delete_project(self, info: Info, id: strawberry.ID) -> DeletedProject:
        deleted_at = await info.context.write(projects.remove, info.context.signed_in, id)
        return DeletedProject(
            id=id, message="Project deleted successfully", deleted_at=DateTime(deleted_at)
        )


@strawberry.type
class ProjectSubscription:
    @strawberry.subscription(
        permission_classes=can(Permission.READ),
        description="What happens to a task, to the tasks of a project, or to all that you may "
        "see; behind the cursor `after`, else from now on.",
    )
    async def task_updates(
        self,
        info: Info,
        project_id: strawberry.ID | None = None,
        task_id: strawberry.ID | None = None,
        after: str | None = None,
    ) -> AsyncIterator[TaskNews]:
        if project_id is not None:
            await _project(info, project_id)
        if task_id is not None:
            await reading.get(info.context, "Task", tasks.LISTING, task_id)
        async for event in stream.facts(
            info.context, after, project_id=project_id, task_id=task_id
        ):
            for news in task_news(event):
                info.context.forget()
                yield news

    @strawberry.subscription(
        permission_classes=can(Permission.READ),
        description="What happens to the tasks of a project, and what its runs print meanwhile.",
    )
    async def project_updates(
        self, info: Info, project_id: strawberry.ID, after: str | None = None
    ) -> AsyncIterator[ProjectNews]:
        await _project(info, project_id)
        async for row in stream.facts_and_output(info.context, after, project_id):
            for news in [printed(row)] if hasattr(row, "content") else task_news(row):
                info.context.forget()
                yield news


async def _project(info: Info, project_id: str) -> Any:
    return await reading.get(info.context, "Project", projects.LISTING, project_id)
