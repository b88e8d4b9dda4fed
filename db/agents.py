"""What an agent tells of its run: its conversation, its events and how far it is."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, select, update

from db import policies, spending, standing
from db.engine import Moment, Tx
from db.errors import Invalid
from db.inbox import LONGEST_MESSAGE
from db.statements import Part, Statement, Writing
from db.tables import agent_events, runs
from db.types import RunStatus
from db.validation import text, whole_number

MOST_TURNS = 10_000


def after(run_id: str, seq: int, *, limit: int) -> Select[Any]:
    """The events of a run that follow one, in order."""
    later = (agent_events.c.run_id == run_id, agent_events.c.seq > seq)
    return select(agent_events).where(*later).order_by(agent_events.c.seq).limit(limit)


def session_for(at: Moment, task: Row[Any], options: Mapping[str, Any]) -> Writing[str | None]:
    """Check what an agent is asked for a run; the conversation that it is to go on with, if any.

    Raises `Invalid`, and `BudgetSpent` when its project has nothing left to spend.
    """
    if options.get("max_turns") is not None:
        whole_number("options.max_turns", options["max_turns"], least=1, most=MOST_TURNS)
    if options.get("max_budget_usd") is not None:
        policies.micros("options.max_budget_usd", options["max_budget_usd"])
    if options.get("message") is not None:
        text("options.message", options["message"], shortest=1, longest=LONGEST_MESSAGE)
    policies.model("options.model", options.get("model"))
    yield from spending.check(at, task.project_id)
    if not options.get("resume"):
        return None
    for newest in (yield _LAST_SESSION, {"task": task.id}):
        return str(newest.agent_session_id)
    raise Invalid("options.resume", "The task has no conversation to go on with")


def tell(tx: Tx, run_id: str, fence: int, seq: int, kind: str, data: Mapping[str, Any]) -> bool:
    """Add an event to a run's. False for a stale fence: then nothing is added.

    What was added already, by a commit whose answer was lost, is not added again.
    """
    held = _held(run_id, fence)
    counted = update(runs).where(*held, runs.c.agent_event_seq < seq).values(agent_event_seq=seq)
    if tx.execute(counted).rowcount == 0:
        return tx.first(select(runs.c.id).where(*held)) is not None
    event = {"run_id": run_id, "seq": seq, "kind": kind, "data": dict(data)}
    tx.execute(insert(agent_events), event | {"at": tx.now})
    tx.hint(f"run:{run_id}")
    return True


def identify(tx: Tx, run_id: str, fence: int, session_id: str, model: str) -> bool:
    """Remember the agent's own name for its conversation; from now on it hears what is sent."""
    values = {"agent_session_id": session_id, "agent_model": model, "inbox_closed_at": None}
    return _change(tx, run_id, fence, values) is not None


def forget_session(tx: Tx, run_id: str, fence: int) -> bool:
    """The agent does not know its conversation any more: the next one is new."""
    return _change(tx, run_id, fence, {"agent_session_id": None}) is not None


def advance(tx: Tx, run_id: str, fence: int, percentage: int) -> bool:
    """Say how far the run's task is."""
    held = tx.first(select(runs).where(*_held(run_id, fence)))
    if held is None:
        return False
    if held.task_id:
        standing.record_progress(tx, held, percentage)
    return True


def _change(tx: Tx, run_id: str, fence: int, values: Mapping[str, Any]) -> Row[Any] | None:
    return tx.first(update(runs).where(*_held(run_id, fence)).values(values).returning(runs))


def _held(run_id: str, fence: int) -> tuple[Any, ...]:
    return runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING


_LAST_SESSION = Statement(
    select(runs.c.agent_session_id)
    .where(runs.c.task_id == bindparam("task"), runs.c.agent_session_id.is_not(None))
    .order_by(runs.c.number.desc())
    .limit(1),
    Part.READS,
)
