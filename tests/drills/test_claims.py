"""Eight who claim at once, for long: compared with a model, and in chaos."""

import pytest
from sqlalchemy import select

from db import claims
from db import queues as lanes
from db.tables import workers
from db.types import Lane
from tests.db import queues
from tests.db.claims_chaos import check_in_chaos
from tests.db.claims_model import check_claims
from tests.drills.aftermath import NOTHING, left_behind

CLAIMS = 4000
CHAOS_SECONDS = 20


async def test_each_of_4000_claims_of_eight_at_once_takes_exactly_the_best(
    database_url: str,
) -> None:
    await check_claims(database_url, to_claim=CLAIMS)
    await close_down(database_url)

    assert NOTHING == await left_behind(database_url)


async def test_nothing_is_run_twice_or_lost_in_20_seconds_of_chaos(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_in_chaos(database_url, CHAOS_SECONDS, monkeypatch)
    await close_down(database_url)

    assert NOTHING == await left_behind(database_url)


async def close_down(database_url: str) -> None:
    """Dismiss the workers with what they hold, and clear the lanes."""
    async with queues.opened(database_url, 1) as (database,):
        for worker in await database.rows(select(workers.c.id)):
            await database.write(claims.dismiss, worker.id)
        operator = await database.write(queues.add_user, "operator")
        for lane in Lane:
            await database.write(lanes.clear, operator, lane, confirm=True)
