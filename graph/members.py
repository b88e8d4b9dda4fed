"""Who works in a project."""

import strawberry

from db import members, projects
from db.types import MemberRole, Permission
from graph.context import Info
from graph.permissions import can
from graph.roots import changes
from graph.types import Project


@strawberry.type
class MemberMutation:
    @changes(
        Project, projects.LISTING, can(Permission.WRITE), "Let a user into a project that you own."
    )
    async def add_project_member(
        self,
        info: Info,
        project_id: strawberry.ID,
        user_id: strawberry.ID,
        role: MemberRole = MemberRole.EDITOR,
    ) -> str:
        await info.context.write(members.add, info.context.signed_in, project_id, user_id, role)
        return project_id

    @changes(
        Project,
        projects.LISTING,
        can(Permission.WRITE),
        "Give a member of a project that you own another role; the last owner keeps theirs.",
    )
    async def change_project_member(
        self,
        info: Info,
        project_id: strawberry.ID,
        user_id: strawberry.ID,
        role: MemberRole,
    ) -> str:
        await info.context.write(members.change, info.context.signed_in, project_id, user_id, role)
        return project_id

    @strawberry.mutation(
        permission_classes=can(Permission.READ),
        description="Show a member out of a project that you own, or leave it yourself; the last "
        "owner stays. Answers with the id of the user.",
    )
    async def remove_project_member(
        self, info: Info, project_id: strawberry.ID, user_id: strawberry.ID
    ) -> strawberry.ID:
        await info.context.write(members.remove, info.context.signed_in, project_id, user_id)
        return user_id
