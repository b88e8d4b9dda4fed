"""Permission requests: what agents ask to be allowed, who answered and how."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    insert,
    literal_column,
    select,
    true,
    update,
)

from db import events, notifications, projects
from db.actors import Actor
from db.adding import named
from db.clock import NOW, from_now
from db.engine import Moment, Tx
from db.errors import Invalid, ResourceNotFound
from db.ids import new_id
from db.listing import Filter, Listing, one_of
from db.statements import Statement, Writing
from db.tables import approvals, runs
from db.types import ApprovalStatus, Permission, RunStatus
from db.validation import text

LONGEST_REMINDER = 1000
EXPIRED = "Nobody answered in time"
WITHDRAWN = "The agent does not ask any more"


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """True of requests in projects that the actor may see."""
    return projects.visible_to(actor, approvals.c.project_id)


LISTING = Listing(
    table=approvals,
    kept=true(),
    visible_to=visible_to,
    filters={
        "status": Filter(lambda value: one_of(approvals.c.status, value)),
        "project_id": Filter(lambda value: approvals.c.project_id == value),
        "task_id": Filter(lambda value: approvals.c.task_id == value),
        "run_id": Filter(lambda value: approvals.c.run_id == value),
    },
    orders={"asked_at": approvals.c.asked_at},
    default_order="asked_at",
)


@dataclass(frozen=True)
class Request:
    """What an agent asks: to call this tool with this input.

    `request_id` is the agent's own name for the question; `shown` is the input as people see it.
    """

    request_id: str
    tool: str
    input: Mapping[str, Any]
    shown: Mapping[str, Any]
    description: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same call, however often it is asked for."""
        call = orjson.dumps([self.tool, self.input], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(call).hexdigest()


def ask(
    tx: Tx, run_id: str, fence: int, request: Request, seconds: float, asking: Collection[str]
) -> Row[Any] | None:
    """Record a request, which expires after some seconds; None for a stale fence.

    When an agent that was started once more asks for what it had asked for before, it is the same
    request, which may have been answered meanwhile. Not one of `asking`, the ids of what this very
    agent has asked for: it may want the same twice.
    """
    run = _held(tx, run_id, fence)
    if run is None:
        return None
    if earlier := _asked_before(tx, run_id, request, asking):
        again = update(approvals).where(approvals.c.id == earlier.id)
        return tx.first(again.values(request_id=request.request_id).returning(approvals))
    values = {
        "id": new_id(),
        "run_id": run_id,
        "task_id": run.task_id,
        "project_id": run.project_id,
        "tool": request.tool,
        "input": dict(request.shown),
        "description": request.description,
        "fingerprint": request.fingerprint,
        "request_id": request.request_id,
        "status": ApprovalStatus.PENDING,
        "asked_at": tx.now,
    }
    expiring = insert(approvals).values(expires_at=from_now(seconds)).returning(approvals)
    asked = tx.first(expiring, values)
    assert asked
    events.tell_all(tx, [_fact("requested", None, asked)])
    _remind(tx, run.user_id, asked)
    return asked


def answer(
    tx: Tx, actor: Actor, approval_id: str, *, allow: bool, reason: str | None = None
) -> None:
    """Allow or deny a request. Raises `Invalid` when it has been answered or has expired."""
    actor.must(Permission.EXECUTE)
    asked = tx.first(
        select(approvals)
        .where(approvals.c.id == approval_id, visible_to(actor))
        .with_for_update(of=approvals)
    )
    if not asked:
        raise ResourceNotFound(resource="approval", approval_id=approval_id)
    projects.get(tx, actor, asked.project_id, changing=True)
    if asked.status != ApprovalStatus.PENDING or asked.expires_at <= tx.now:
        status = asked.status if asked.status != ApprovalStatus.PENDING else ApprovalStatus.EXPIRED
        raise Invalid("id", "The request is not pending any more", status=status)
    said = None if reason is None else text("reason", reason, longest=2000)
    status = ApprovalStatus.ALLOWED if allow else ApprovalStatus.DENIED
    tx.enact(_decide(tx, [asked], status, actor, said))


def decided(run_id: str) -> Select[Any]:
    """The requests of a run that were answered, or have expired, without its agent knowing."""
    news = (~_IS_PENDING, approvals.c.delivered_at.is_(None))
    return select(approvals).where(approvals.c.run_id == run_id, *news)


def deliver(tx: Tx, run_id: str, fence: int, approval_id: str) -> bool:
    """Note that the agent knows the answer. False for a stale fence."""
    if not _held(tx, run_id, fence):
        return False
    told = update(approvals).where(approvals.c.id == approval_id)
    tx.execute(told.values(delivered_at=tx.now))
    return True


def withdraw(tx: Tx, run_id: str, fence: int, request_id: str) -> bool:
    """The agent does not ask any more. False for a stale fence."""
    if not _held(tx, run_id, fence):
        return False
    asked = (approvals.c.run_id == run_id, approvals.c.request_id == request_id)
    pending = tx.all(_pending(*asked))
    tx.enact(_decide(tx, pending, ApprovalStatus.WITHDRAWN, None, WITHDRAWN))
    return True


def late() -> Select[Any]:
    """The requests whose time is over."""
    return select(approvals.c.id).where(_IS_PENDING, approvals.c.expires_at <= NOW)


def expire(tx: Tx) -> None:
    """Let requests expire whose time is over, which is as if denied."""
    overdue = tx.all(_pending(approvals.c.expires_at <= NOW))
    tx.enact(_decide(tx, overdue, ApprovalStatus.EXPIRED, None, EXPIRED))


def close(at: Moment, run_ids: Iterable[str]) -> Writing[None]:
    """Nobody waits for the answers of these runs any more: they have ended."""
    asked = yield _PENDING_OF, {"runs": list(run_ids)}
    yield from _decide(at, asked, ApprovalStatus.WITHDRAWN, None, WITHDRAWN)


def _held(tx: Tx, run_id: str, fence: int) -> Row[Any] | None:
    held = (runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING)
    return tx.first(select(runs).where(*held))


def _asked_before(
    tx: Tx, run_id: str, request: Request, asking: Collection[str]
) -> Row[Any] | None:
    same = (
        approvals.c.run_id == run_id,
        approvals.c.fingerprint == request.fingerprint,
        approvals.c.id.not_in(asking),
    )
    open_ = (ApprovalStatus.PENDING, ApprovalStatus.ALLOWED, ApprovalStatus.DENIED)
    return tx.first(
        select(approvals)
        .where(*same, approvals.c.delivered_at.is_(None), approvals.c.status.in_(open_))
        .order_by(approvals.c.asked_at)
        .limit(1)
    )


def _pending(*which: ColumnElement[bool]) -> Select[Any]:
    found = select(approvals).where(_IS_PENDING, *which).order_by(approvals.c.id)
    return found.with_for_update(skip_locked=True)


def _decide(
    at: Moment,
    asked: Sequence[Row[Any]],
    status: ApprovalStatus,
    actor: Actor | None,
    reason: str | None,
) -> Writing[None]:
    answer = {"status": status, "answered_at": at.now, "reason": reason}
    answer["answered_by"] = actor.id if actor else None
    for approval in asked:
        yield _ANSWER, named(approvals, {"id": approval.id, **answer})
        yield from events.telling(at, [_fact(status, actor, approval, reason=reason)])
        yield from notifications.retract(at, approval.id)
        at.hint(f"inbox:{approval.run_id}")


def _remind(tx: Tx, user_id: str, asked: Row[Any]) -> None:
    """Tell who started the run; everyone else with access follows the events."""
    call = orjson.dumps(asked.input).decode()
    notifications.remind(
        tx,
        user_id,
        asked.id,
        title=f"An agent asks to use {asked.tool}",
        message=call if len(call) <= LONGEST_REMINDER else f"{call[:LONGEST_REMINDER]}…",
        actions=[
            {"label": "Allow", "action": "allow", "url": f"/approvals/{asked.id}"},
            {"label": "Deny", "action": "deny", "url": f"/approvals/{asked.id}"},
        ],
        expires_at=asked.expires_at,
    )


def _fact(word: str, actor: Actor | None, approval: Row[Any], **more: Any) -> events.Fact:
    return events.Fact(
        kind=f"approval.{word}",
        actor=actor,
        project_id=approval.project_id,
        task_id=approval.task_id,
        run_id=approval.run_id,
        data={"approval_id": approval.id, "tool": approval.tool, **more},
    )


# Spelled out, so that the index of the pending ones is used.
_IS_PENDING = approvals.c.status == literal_column(f"'{ApprovalStatus.PENDING}'")
_PENDING_OF = Statement(_pending(one_of(approvals.c.run_id, bindparam("runs"))))
_ANSWER = Statement(
    update(approvals)
    .where(approvals.c.id == bindparam("approvals_id"))
    .values(
        {
            name: bindparam(f"approvals_{name}", type_=approvals.c[name].type)
            for name in ("status", "answered_at", "answered_by", "reason")
        }
    )
)
