"""Agents: what they tell, what they are told, what they may do and what they cost."""

from collections.abc import AsyncIterator

import strawberry

from db import inbox, policies, projects, runs
from db.types import AgentMode, Permission
from graph import agent_events, reading
from graph.agent_events import AgentNews
from graph.context import Info
from graph.inputs import changes_of
from graph.permissions import can
from graph.roots import changes
from graph.runs import seq_of
from graph.types import Project, Run


@strawberry.input(description="What changes about what agents may do: only what is given.")
class AgentPolicyInput:
    mode: strawberry.Maybe[AgentMode | None] = strawberry.field(
        description="Only an administrator may set BYPASS, which runs as root refuse."
    )
    allowed_tools: strawberry.Maybe[list[str] | None] = strawberry.field(
        description="Rules of what is always allowed: `Read`, `Edit(docs/**)`, `Bash(pytest *)`. "
        "Files are allowed within the project only; Bash needs a pattern."
    )
    denied_tools: strawberry.Maybe[list[str] | None] = strawberry.field(
        description="Rules of what is never allowed: `WebFetch`, `Bash(git push *)`."
    )
    model: strawberry.Maybe[str | None]
    budget_per_run_usd: strawberry.Maybe[float | None]
    budget_per_day_usd: strawberry.Maybe[float | None]
    budget_per_month_usd: strawberry.Maybe[float | None]


@strawberry.type
class AgentMutation:
    @changes(
        Run,
        runs.LISTING,
        can(Permission.EXECUTE),
        "Say something to an agent that runs; it hears it as soon as it can.",
    )
    async def send_message(self, info: Info, run_id: strawberry.ID, text: str) -> str:
        await info.context.write(inbox.send, info.context.signed_in, run_id, text)
        return run_id

    @changes(
        Run,
        runs.LISTING,
        can(Permission.EXECUTE),
        "Stop what an agent is at. It goes on with the message, if there is one; else the run "
        "ends as cancelled, and its conversation can be resumed.",
    )
    async def interrupt_run(
        self, info: Info, run_id: strawberry.ID, message: str | None = None
    ) -> str:
        await info.context.write(inbox.interrupt, info.context.signed_in, run_id, message)
        return run_id

    @changes(
        Project,
        projects.LISTING,
        can(Permission.WRITE),
        "Say what agents may do in a project by themselves, and what they may cost.",
    )
    async def set_agent_policy(
        self, info: Info, project_id: strawberry.ID, input: AgentPolicyInput
    ) -> str:
        most_usd = info.context.services.settings.claude_max_budget_usd or None
        actor, changed = info.context.signed_in, changes_of(input)
        await info.context.write(policies.change, actor, project_id, changed, most_usd=most_usd)
        return project_id


@strawberry.type
class AgentSubscription:
    @strawberry.subscription(
        permission_classes=can(Permission.READ),
        description="What an agent tells of its run: all of it behind `after`, once and in order, "
        "whether it is running or ended long ago; and then how the run ended.",
    )
    async def agent_events(
        self, info: Info, run_id: strawberry.ID, after: str | None = None
    ) -> AsyncIterator[AgentNews]:
        await reading.get(info.context, "Run", runs.LISTING, run_id)
        async for news in agent_events.told(info.context, run_id, seq_of(after)):
            info.context.forget()
            yield news
