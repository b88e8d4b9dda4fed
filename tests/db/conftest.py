"""An open database of each kind."""

from collections.abc import AsyncIterator

import pytest

from db.engine import Database
from tests.db.queues import opened


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database, open."""
    async with opened(database_url, 1) as (database,):
        yield database
