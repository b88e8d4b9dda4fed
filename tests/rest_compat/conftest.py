"""Servers as these tests need them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.databases import Maker
from tests.fixtures.server import Served, serving, settings_for


@pytest.fixture
async def idle_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server without workers, on each database: what is queued stays queued."""
    async with serving(settings_for(database_url, tmp_path, worker_concurrency=0)) as served:
        yield served


@pytest_asyncio.fixture(scope="module")
async def server(
    make_database: Maker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A server on each database for all tests of a file, which keep to projects of their own."""
    directory = tmp_path_factory.mktemp("server")
    async with make_database(directory) as url, serving(settings_for(url, directory)) as served:
        yield served
