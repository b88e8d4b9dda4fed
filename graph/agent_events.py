"""What an agent tells of its run, event by event, as subscriptions yield it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any

import strawberry
from sqlalchemy import Row

from db import agents, runs
from db.types import RunStatus
from graph import reading
from graph.approvals import Approval
from graph.context import Context, Info
from graph.people import User
from graph.scalars import DateTime, Json

POLL_SECONDS = 5.0
"""A hint may be lost; the record is looked at this often without one."""
EVENTS_AT_ONCE = 100


@strawberry.interface(description="Something that an agent told of its run.")
class AgentEvent:
    seq: int = strawberry.field(description="Counts from 1.")
    cursor: str = strawberry.field(description="The same, as text: give it as `after`.")
    timestamp: DateTime


@strawberry.type(description="The agent was started, perhaps once more.")
class AgentStarted(AgentEvent):
    session_id: str = strawberry.field(description="The agent's own name for the conversation.")
    model: str
    mode: str | None = strawberry.field(description="The agent's own word for what it may do.")
    tools: list[str]
    version: str | None


@strawberry.type(description="The agent said something, or somebody said something to it.")
class AgentMessage(AgentEvent):
    role: str = strawberry.field(description="`assistant`, or `user` for what people say.")
    text: str
    parent_id: str | None = strawberry.field(
        description="The tool call within which a sub-agent said it."
    )
    user_id: strawberry.ID | None

    @strawberry.field(description="Who said it; null for the agent.")
    async def user(self, info: Info) -> User | None:
        if self.user_id is None:
            return None
        found: User | None = await info.context.loaders.one("User").load(self.user_id)
        return found


@strawberry.type(description="What the agent thought.")
class AgentThought(AgentEvent):
    text: str
    parent_id: str | None


@strawberry.type(description="The agent calls a tool.")
class AgentToolCall(AgentEvent):
    call_id: str
    tool: str = strawberry.field(description="`Bash`, `Edit`, …")
    input: Json = strawberry.field(description="Long texts in it are cut.")
    parent_id: str | None = strawberry.field(description="The call within which it is made.")


@strawberry.type(description="What came of a tool call.")
class AgentToolResult(AgentEvent):
    call_id: str
    text: str = strawberry.field(description="A long one is cut.")
    is_error: bool
    parent_id: str | None


@strawberry.type(description="The agent waits for a permission.")
class AgentPermissionRequest(AgentEvent):
    approval_id: strawberry.ID

    @strawberry.field(description="What it asks for, as it stands now.")
    async def approval(self, info: Info) -> Approval:
        found: Approval = await info.context.loaders.one("Approval").load(self.approval_id)
        return found


@strawberry.type(description="The agent was told whether it may.")
class AgentPermissionAnswer(AgentEvent):
    approval_id: strawberry.ID

    @strawberry.field(description="The request and its answer.")
    async def approval(self, info: Info) -> Approval:
        found: Approval = await info.context.loaders.one("Approval").load(self.approval_id)
        return found


@strawberry.type(description="The API answered with an error, and the agent tries again.")
class AgentRetry(AgentEvent):
    attempt: int
    max_attempts: int | None
    delay_seconds: float
    http_status: int | None = strawberry.field(description="Null when there was no answer at all.")
    error: str


@strawberry.type(description="The agent has come to the end of what it was told to do.")
class AgentResult(AgentEvent):
    is_error: bool
    subtype: str = strawberry.field(description="The agent's own word for how it ended.")
    text: str
    errors: list[str]
    turns: int
    denials: Json = strawberry.field(description="The tool calls that were not permitted.")


@strawberry.type(description="The run has ended; all that its agent told was yielded before.")
class AgentRunFinished:
    run_id: strawberry.ID
    status: RunStatus
    error_code: str | None
    error_message: str | None
    finished_at: DateTime


AgentNews = Annotated[
    AgentStarted
    | AgentMessage
    | AgentThought
    | AgentToolCall
    | AgentToolResult
    | AgentPermissionRequest
    | AgentPermissionAnswer
    | AgentRetry
    | AgentResult
    | AgentRunFinished,
    strawberry.union("AgentNews", description="What an agent tells, and then how its run ended."),
]

KINDS: Mapping[str, Callable[..., Any]] = {
    "started": AgentStarted,
    "message": lambda user_id=None, parent_id=None, **rest: AgentMessage(
        user_id=user_id, parent_id=parent_id, **rest
    ),
    "thinking": AgentThought,
    "tool_call": AgentToolCall,
    "tool_result": AgentToolResult,
    "permission_request": AgentPermissionRequest,
    "permission_answer": AgentPermissionAnswer,
    "retry": AgentRetry,
    "result": lambda duration_ms=None, **rest: AgentResult(**rest),
}


async def told(context: Context, run_id: str, seq: int) -> AsyncIterator[Any]:
    """Every event of a run after `seq`, once and in order; ends when the run has.

    Raises `ResourceNotFound` once the actor may not see it.
    """
    with context.services.bus.listen(f"run:{run_id}") as listener:
        context.listening.set()
        while True:
            # Read before the events: when it is final here, they are all there.
            run = await reading.get(context, "Run", runs.LISTING, run_id)
            while rows := await _later(context, run_id, seq):
                for row in rows:
                    seq = row.seq
                    yield _shown(row)
            if run.finished_at:
                # Whoever lost sight of it meanwhile has not been told all.
                yield _ending(await reading.get(context, "Run", runs.LISTING, run_id))
                return
            await listener.wait(POLL_SECONDS)


async def _later(context: Context, run_id: str, seq: int) -> Sequence[Row[Any]]:
    """The events of a run after `seq`, as far as the actor may see it."""
    seen = reading.in_view(context, runs.LISTING, run_id).exists()
    return await context.database.rows(agents.after(run_id, seq, limit=EVENTS_AT_ONCE).where(seen))


def _shown(row: Row[Any]) -> Any:
    return KINDS[row.kind](seq=row.seq, cursor=str(row.seq), timestamp=row.at, **row.data)


def _ending(run: Row[Any]) -> AgentRunFinished:
    return AgentRunFinished(
        run_id=run.id,
        status=RunStatus(run.status),
        error_code=run.error_code,
        error_message=run.error_message,
        finished_at=run.finished_at,
    )
