"""What an agent tells of its run is on record once, also where it had to be written twice."""

from typing import Any

from sqlalchemy import select

from db import agents, claims, spending
from db.engine import Database, Tx
from db.spending import Spending
from db.tables import agent_events, spendings
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


def claimed_run(tx: Tx) -> Any:
    user = queues.add_user(tx, "user")
    queues.enqueue(tx, user, Lane.NORMAL)
    (run,) = tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 1), 1))
    return run
