"""A few claims of eight at once, compared with the model's; tests/drills makes thousands."""

from tests.db.claims_model import check_claims


async def test_every_claim_of_eight_at_once_takes_exactly_the_best(database_url: str) -> None:
    await check_claims(database_url, to_claim=30)
