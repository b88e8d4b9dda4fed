"""What an agent tells of its run is on record once, also where it had to be written twice."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.util import await_only

from db import agents, claims, lifecycle, policies, spending
from db.engine import Database, Tx
from db.lifecycle import Released
from db.spending import Grant, Spending
from db.tables import agent_events, agent_policies, runs, spendings
from db.types import Lane
from tests.db import queues


async def test_an_event_that_is_written_again_is_told_once(database: Database) -> None:
    """As when the answer to the commit was lost."""
    run = await database.write(claimed_run)
    held = [
        await database.write(agents.tell, run.id, run.fence, seq, "message", {"text": str(seq)})
        for seq in (1, 1, 2)
    ]
    events = await database.rows(select(agent_events).order_by(agent_events.c.seq))

    assert [True, True, True] == held
    assert [(1, {"text": "1"}), (2, {"text": "2"})] == [(row.seq, row.data) for row in events]


async def test_an_event_of_a_run_that_is_somebody_elses_is_not_told(database: Database) -> None:
    run = await database.write(claimed_run)

    assert not await database.write(agents.tell, run.id, run.fence - 1, 1, "message", {})
    assert [] == await database.rows(select(agent_events))


async def test_what_was_spent_is_counted_once(database: Database) -> None:
    run = await database.write(claimed_run)
    first, second = [[Spending("a model", 1, 2, 3, 4, micros)] for micros in (5, 6)]
    for spent in (first, first, second):
        assert await database.write(spending.record, run.id, run.fence, spent)
    found = await database.rows(select(spendings.c.cost_micros))

    assert [5, 6] == sorted(row.cost_micros for row in found)


async def test_what_was_granted_is_held_by_no_run_that_waits(database: Database) -> None:
    """Two that wait would keep it from each other for ever."""
    run = await database.write(claimed_run)
    await database.write(spending.grant, run.id, run.fence, 10)
    await database.enact(lifecycle.record, [Released(run.id, run.fence)])
    found = await database.first(select(runs))

    assert found
    assert ("queued", None) == (found.status, found.granted_micros)


async def test_what_others_spend_meanwhile_is_granted_to_nobody_else(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_by_others = spending._held_by_others
    async with queues.opened(postgres_url, 2) as (database, other):
        first, second = await database.write(runs_on_a_budget)
        await database.write(spending.grant, first.id, first.fence, 10)
        spent = [Spending("a model", 1, 1, 1, 1, 6)]

        def after_some_was_spent(tx: Tx, run: Any) -> int:
            await_only(other.write(spending.record, first.id, first.fence, spent))
            return held_by_others(tx, run)

        monkeypatch.setattr(spending, "_held_by_others", after_some_was_spent)
        grant = await database.write(spending.grant, second.id, second.fence, 6)

    assert Grant(must_wait=True) == grant


def runs_on_a_budget(tx: Tx) -> Sequence[Any]:
    """Two claimed runs of a project that may spend ten a day."""
    user = queues.add_user(tx, "user")
    project_id = queues.add_project(tx, user, 5)
    stamp = {"updated_at": tx.now, "updated_by": user.id}
    budget = {**policies.UNSET, "micros_per_day": 10}
    tx.execute(insert(agent_policies), {"project_id": project_id, **budget, **stamp})
    for _ in range(2):
        queues.enqueue(tx, user, Lane.NORMAL, project_id=project_id)
    return tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 2), 2))


def claimed_run(tx: Tx) -> Any:
    user = queues.add_user(tx, "user")
    queues.enqueue(tx, user, Lane.NORMAL)
    (run,) = tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 1), 1))
    return run
