"""Servers as these tests need them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.server import Served, serving, settings_for


@pytest.fixture
async def idle_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server without workers, on each database: what is queued stays queued."""
    async with serving(settings_for(database_url, tmp_path, worker_concurrency=0)) as served:
        yield served


@pytest.fixture(scope="module")
def server(shared_server: Served) -> Served:
    """A server on each database for all tests of a file, which keep to projects of their own."""
    return shared_server
