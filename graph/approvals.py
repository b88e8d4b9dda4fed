"""Permission requests of agents: who asks for what, and the answers."""

from collections.abc import AsyncIterator
from enum import StrEnum

import strawberry

from db import approvals, projects
from db.events import cursor_of
from db.tables import approvals as table
from db.types import ApprovalStatus, Permission
from graph import reading, stream
from graph.context import Info
from graph.nouns import column, noun, to_one
from graph.pages import Lists
from graph.people import User
from graph.permissions import can
from graph.roots import changes, connection, got
from graph.scalars import DateTime, Json
from graph.types import Project, Run, Task

strawberry.enum(ApprovalStatus, name="ApprovalStatus", description=ApprovalStatus.__doc__)


@noun(table)
class Approval:
    """An agent's request to call a tool, and what became of it."""

    id: strawberry.ID = column(table.c.id, "UUIDv7.")
    run_id: strawberry.ID = column(table.c.run_id, "The run that waits.")
    run: Run = to_one("Run", "run_id", "The run that waits.")
    task_id: strawberry.ID | None = column(table.c.task_id, "Its task.")
    task: Task | None = to_one("Task", "task_id", "Its task.")
    project_id: strawberry.ID | None = column(table.c.project_id, "Its project.")
    project: Project | None = to_one("Project", "project_id", "Its project.")
    tool: str = column(table.c.tool, "The tool: `Bash`.")
    input: Json = column(table.c.input, "What it would be called with; very long texts are cut.")
    description: str | None = column(table.c.description, "What it is for, in the agent's words.")
    status: ApprovalStatus = column(table.c.status, "Where it stands.")
    asked_at: DateTime = column(table.c.asked_at, "When it was asked for.")
    expires_at: DateTime = column(table.c.expires_at, "When it is denied if nobody answers.")
    answered_at: DateTime | None = column(table.c.answered_at, "When it stopped being pending.")
    answered_by: strawberry.ID | None = column(table.c.answered_by, "The id of who answered.")
    answerer: User | None = to_one("User", "answered_by", "Who answered.")
    reason: str | None = column(table.c.reason, "Why; the agent is told when it is denied.")


@strawberry.enum(description="How a permission request is answered.")
class Decision(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


@strawberry.input(description="Which permission requests a list shows.")
class ApprovalFilter:
    status: list[ApprovalStatus] | None = None
    project_id: strawberry.ID | None = None
    task_id: strawberry.ID | None = None
    run_id: strawberry.ID | None = None


LISTS = Lists(Approval, approvals.LISTING, ApprovalFilter)


@strawberry.type(description="A permission was asked for, or the request was answered.")
class ApprovalUpdate:
    cursor: str = strawberry.field(description="Give it as `after` to resume behind this.")
    kind: str = strawberry.field(
        description="What happened: `approval.requested`, `approval.allowed`, `approval.denied`, "
        "`approval.expired`, `approval.withdrawn`."
    )
    approval_id: strawberry.ID
    timestamp: DateTime

    @strawberry.field(description="The request as it is now.")
    async def approval(self, info: Info) -> Approval:
        found: Approval = await info.context.loaders.one("Approval").load(self.approval_id)
        return found


@strawberry.type
class ApprovalQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One permission request.",
        metadata=got("Approval", approvals.LISTING),
    )
    async def approval(self, info: Info, id: strawberry.ID) -> Approval | None:
        found: Approval = await reading.get(info.context, "Approval", approvals.LISTING, id)
        return found

    approvals = connection(
        LISTS, can(Permission.READ), "Permission requests, newest first, by cursor."
    )


@strawberry.type
class ApprovalMutation:
    @changes(
        Approval,
        approvals.LISTING,
        can(Permission.EXECUTE),
        "Answer a permission request. The first answer counts.",
    )
    async def answer_approval(
        self, info: Info, id: strawberry.ID, decision: Decision, reason: str | None = None
    ) -> str:
        allow = decision is Decision.ALLOW
        actor = info.context.signed_in
        await info.context.write(approvals.answer, actor, id, allow=allow, reason=reason)
        return id


@strawberry.type
class ApprovalSubscription:
    @strawberry.subscription(
        permission_classes=can(Permission.READ),
        description="Permission requests and their answers, in a project or in all that you may "
        "see; behind the cursor `after`, else from now on.",
    )
    async def approval_updates(
        self, info: Info, project_id: strawberry.ID | None = None, after: str | None = None
    ) -> AsyncIterator[ApprovalUpdate]:
        if project_id is not None:
            await reading.get(info.context, "Project", projects.LISTING, project_id)
        async for event in stream.facts(info.context, after, project_id=project_id):
            if event.kind.startswith("approval."):
                info.context.forget()
                yield ApprovalUpdate(
                    cursor=cursor_of(event.tx, event.seq),
                    kind=event.kind,
                    approval_id=event.data["approval_id"],
                    timestamp=event.at,
                )
