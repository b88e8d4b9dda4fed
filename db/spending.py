"""What agents cost: recorded as it is spent, added up, and held within budgets."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Row,
    Select,
    bindparam,
    case,
    cast,
    func,
    insert,
    select,
    update,
)

from db import policies
from db.analytics import day_of
from db.engine import Moment, Tx
from db.errors import BudgetSpent
from db.ids import new_id
from db.listing import one_of
from db.policies import MICROS
from db.statements import Part, Statement, Writing
from db.tables import leases, runs, spendings
from db.types import RunStatus

NOTHING = {
    "turns": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_tokens": 0,
    "cost_usd": 0.0,
}
NOTHING_OF_A_RUN = {**NOTHING, "model": None}


@dataclass(frozen=True)
class Spending:
    """What one model took for a part of a run; `cost_micros` is the agent's own estimate."""

    model: str
    turns: int
    input_tokens: int
    output_tokens: int
    cache_tokens: int
    cost_micros: int
    id: str = field(default_factory=new_id, compare=False)


@dataclass(frozen=True)
class Grant:
    """What a run may spend, in millionths of a dollar; None is as much as it wants.

    It has to wait while others that run may still need what is left of the project's budget.
    """

    micros: int | None = None
    must_wait: bool = False


def of_runs(run_ids: Any) -> Select[Any]:
    """What each of these runs has cost, and the model it spoke to last."""
    model = select(runs.c.agent_model).where(runs.c.id == spendings.c.run_id).scalar_subquery()
    return _totals("run_id", run_ids).add_columns(func.max(model).label("model"))


def of_tasks(task_ids: Any) -> Select[Any]:
    return _totals("task_id", task_ids)


def of_projects(project_ids: Any) -> Select[Any]:
    return _totals("project_id", project_ids)


def of_users(user_ids: Any) -> Select[Any]:
    return _totals("user_id", user_ids)


def by_day_and_model(project_id: str, first_day: str) -> Select[Any]:
    """What a project has cost on each day (UTC) with each model, where anything was spent."""
    day = day_of(spendings.c.at).label("day")
    since = datetime.fromisoformat(first_day).replace(tzinfo=UTC)
    return (
        select(day, spendings.c.model, *_sums())
        .where(spendings.c.project_id == project_id, spendings.c.at >= since)
        .group_by(day, spendings.c.model)
        .order_by(day, spendings.c.model)
    )


def record(tx: Tx, run_id: str, fence: int, spent: Iterable[Spending]) -> bool:
    """Add what a run has cost since the last time. False for a stale fence.

    What was added already, by a commit whose answer was lost, is not added again.
    """
    run = _held(tx, run_id, fence)
    if run is None:
        return False
    whose = {name: run._mapping[name] for name in ("task_id", "project_id", "user_id")}
    rows = [{"run_id": run_id, "at": tx.now, **whose, **asdict(part)} for part in spent]
    if rows and not tx.first(select(spendings.c.id).where(spendings.c.id == rows[0]["id"])):
        tx.execute(insert(spendings), rows)
        tx.hint(f"run:{run_id}")
    return True


def check(at: Moment, project_id: str) -> Writing[None]:
    """Raises `BudgetSpent` when nothing is left of a project's budget of the day or the month."""
    for policy in (yield _POLICY, {"project": project_id}):
        yield from _left(at, policy)


def grant(tx: Tx, run_id: str, fence: int, most_micros: int | None) -> Grant | None:
    """Grant a run what it may spend: at most `most_micros`, and what its project has left.

    None for a stale fence. Raises `BudgetSpent` when nothing is left.
    """
    run = _held(tx, run_id, fence)
    if run is None:
        return None
    policy = tx.first(policies.of(run.project_id).with_for_update())
    spent = int(tx.scalar(_spent(spendings.c.run_id == run_id)))
    given = _own(run, spent, most_micros, policy)
    if policy:
        # In this order: what others spend between the two looks counts twice, and not never.
        held = _held_by_others(tx, run)
        left = tx.enact(_left(tx, policy))
        if left is not None:
            given = left if given is None else min(given, left)
            if left - held < given:
                return Grant(must_wait=True)
    granted = None if given is None else spent + given
    tx.execute(update(runs).where(runs.c.id == run_id).values(granted_micros=granted))
    return Grant(given)


def _own(run: Row[Any], spent: int, most_micros: int | None, policy: Row[Any] | None) -> int | None:
    """What is left of the run's own budget: the smallest that anybody has set."""
    wanted = run.options.get("max_budget_usd")
    limits = [
        most_micros,
        policy.micros_per_run if policy else None,
        policies.micros("max_budget_usd", wanted) if wanted else None,
    ]
    if not (given := [limit for limit in limits if limit is not None]):
        return None
    budget = min(given)
    if spent >= budget:
        raise BudgetSpent(f"The run's budget of {_usd(budget)} is spent", run_id=run.id)
    return budget - spent


def _left(at: Moment, policy: Row[Any]) -> Writing[int | None]:
    """What is left of the project's budgets, by the UTC calendar."""
    midnight = at.now.replace(hour=0, minute=0, second=0, microsecond=0)
    budgets = (
        ("day", policy.micros_per_day, midnight),
        ("month", policy.micros_per_month, midnight.replace(day=1)),
    )
    found = []
    for period, budget, since in budgets:
        if budget is None:
            continue
        [[spent]] = yield _SPENT_SINCE, {"project": policy.project_id, "since": since}
        found.append(budget - int(spent))
        if found[-1] <= 0:
            message = f"The project's budget of {_usd(budget)} a {period} is spent"
            raise BudgetSpent(message, project_id=policy.project_id, period=period)
    return min(found, default=None)


def _held_by_others(tx: Tx, run: Row[Any]) -> int:
    """What runs of the same project have been granted and have not spent yet."""
    spent = _spent(spendings.c.run_id == runs.c.id).scalar_subquery()
    unspent = runs.c.granted_micros - spent
    held = (
        select(func.coalesce(func.sum(case((unspent > 0, unspent), else_=0)), 0))
        .join_from(leases, runs, runs.c.id == leases.c.run_id)
        .where(
            leases.c.bucket == run.project_id,
            runs.c.granted_micros.is_not(None),
            runs.c.id != run.id,
        )
    )
    return int(tx.scalar(held))


def _spent(*which: ColumnElement[bool]) -> Select[Any]:
    return select(func.coalesce(func.sum(spendings.c.cost_micros), 0)).where(*which)


def _usd(micros: int) -> str:
    return f"${micros / MICROS:.2f}"


def _held(tx: Tx, run_id: str, fence: int) -> Row[Any] | None:
    held = (runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING)
    return tx.first(select(runs).where(*held))


def _totals(whose: str, ids: Any) -> Select[Any]:
    column = spendings.c[whose]
    return select(column, *_sums()).where(one_of(column, ids)).group_by(column)


def _sums() -> tuple[ColumnElement[Any], ...]:
    counted = (
        cast(func.sum(spendings.c[name]), BigInteger).label(name)
        for name in ("turns", "input_tokens", "output_tokens", "cache_tokens")
    )
    cost = cast(func.sum(spendings.c.cost_micros), Float) / MICROS
    return *counted, cost.label("cost_usd")


_POLICY = Statement(policies.of(bindparam("project")), Part.READS)
_SPENT_SINCE = Statement(
    _spent(spendings.c.project_id == bindparam("project"), spendings.c.at >= bindparam("since")),
    Part.READS,
)
