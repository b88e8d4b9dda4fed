"""What the chaos of tests/drills must be able to find; here also in short."""

import pytest

from tests.db.claims_chaos import check_in_chaos, is_allowed


async def test_nothing_is_run_twice_or_lost_in_chaos(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_in_chaos(database_url, 0.5, monkeypatch)


def test_the_check_of_what_was_told_finds_what_must_not_be() -> None:
    assert is_allowed(["queued", "started", "retrying", "started", "completed"])
    assert not is_allowed(["queued", "cancelled", "started"])
    assert not is_allowed(["queued", "started", "completed", "failed"])
