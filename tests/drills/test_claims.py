"""Eight who claim at once, for long: compared with a model, and in chaos."""

import pytest

from tests.db.claims_chaos import check_in_chaos
from tests.db.claims_model import check_claims

CLAIMS = 4000
CHAOS_SECONDS = 20


async def test_each_of_4000_claims_of_eight_at_once_takes_exactly_the_best(
    database_url: str,
) -> None:
    await check_claims(database_url, to_claim=CLAIMS)


async def test_nothing_is_run_twice_or_lost_in_20_seconds_of_chaos(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_in_chaos(database_url, CHAOS_SECONDS, monkeypatch)
