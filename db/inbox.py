"""What people say to an agent while it runs, until the agent has taken it."""

from enum import Enum
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from db import events, projects, runs
from db.actors import Actor
from db.engine import Tx
from db.errors import Invalid, ResourceNotFound
from db.tables import agent_inputs as inputs
from db.tables import runs as table
from db.types import InputKind, Permission, RunnerName, RunStatus
from db.validation import text

LONGEST_MESSAGE = 100_000


class Inbox(Enum):
    """Whether an agent still takes messages."""

    OPEN = "open"
    CLOSED = "closed"


def send(tx: Tx, actor: Actor, run_id: str, message: str) -> None:
    """Say something to the agent of a run. Raises `Invalid` when it does not listen any more."""
    run = _listening(tx, actor, run_id)
    _put(tx, actor, run, InputKind.MESSAGE, _message("text", message))


def interrupt(tx: Tx, actor: Actor, run_id: str, message: str | None = None) -> None:
    """Stop what an agent is at; with a message it goes on with that, else the run ends.

    Raises `Invalid` when it is not at anything.
    """
    run = _listening(tx, actor, run_id)
    if run.status != RunStatus.RUNNING:
        raise Invalid("run_id", "The run has not begun yet", status=run.status)
    said = None if message is None else _message("message", message)
    _put(tx, actor, run, InputKind.INTERRUPT, said)


def waiting(run_id: str) -> Select[Any]:
    """What was said and is not taken, in order."""
    unread = (inputs.c.run_id == run_id, inputs.c.taken_at.is_(None))
    return select(inputs).where(*unread).order_by(inputs.c.seq)


def take(tx: Tx, run_id: str, fence: int, seq: int) -> bool:
    """Note that the agent has got it. False for a stale fence."""
    if not _held(tx, run_id, fence):
        return False
    got = (inputs.c.run_id == run_id, inputs.c.seq == seq)
    tx.execute(update(inputs).where(*got).values(taken_at=tx.now))
    return True


def close(tx: Tx, run_id: str, fence: int) -> Inbox | None:
    """Take nothing more, unless something waits; None for a stale fence."""
    if not _held(tx, run_id, fence):
        return None
    if tx.first(waiting(run_id).limit(1)):
        return Inbox.OPEN
    tx.execute(update(table).where(table.c.id == run_id).values(inbox_closed_at=tx.now))
    return Inbox.CLOSED


def _listening(tx: Tx, actor: Actor, run_id: str) -> Row[Any]:
    actor.must(Permission.EXECUTE)
    run = tx.first(
        select(table).where(table.c.id == run_id, runs.visible_to(actor)).with_for_update()
    )
    if not run:
        raise ResourceNotFound(resource="run", run_id=run_id)
    if run.project_id:
        projects.get(tx, actor, run.project_id, changing=True)
    if run.runner == RunnerName.SHELL:
        raise Invalid("run_id", "A shell command can't be talked to")
    if run.finished_at or run.inbox_closed_at:
        raise Invalid("run_id", "The run has come to its end", status=run.status)
    return run


def _put(tx: Tx, actor: Actor, run: Row[Any], kind: InputKind, message: str | None) -> None:
    last = tx.scalar(select(func.max(inputs.c.seq)).where(inputs.c.run_id == run.id)) or 0
    row = {"run_id": run.id, "seq": last + 1, "kind": kind, "text": message}
    tx.execute(insert(inputs), row | {"user_id": actor.id, "at": tx.now})
    events.tell(
        tx,
        f"agent.{'messaged' if kind is InputKind.MESSAGE else 'interrupted'}",
        actor,
        project_id=run.project_id,
        task_id=run.task_id,
        run_id=run.id,
        data={"text": message},
    )
    tx.hint(f"inbox:{run.id}")


def _held(tx: Tx, run_id: str, fence: int) -> Row[Any] | None:
    held = (table.c.id == run_id, table.c.fence == fence, table.c.status == RunStatus.RUNNING)
    return tx.first(select(table.c.id).where(*held).with_for_update())


def _message(field: str, value: str) -> str:
    return text(field, value, shortest=1, longest=LONGEST_MESSAGE)
