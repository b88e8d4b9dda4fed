"""Servers as these tests need them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.postgres import fresh_database
from tests.fixtures.server import Served, serving, settings_for


@pytest.fixture
async def idle_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server without workers, on each database: what is queued stays queued."""
    async with serving(settings_for(database_url, tmp_path, worker_concurrency=0)) as served:
        yield served


@pytest_asyncio.fixture(scope="module", params=["sqlite", "postgres"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A server on each database for all tests of a file, which keep to projects of their own."""
    directory = tmp_path_factory.mktemp("shared")
    template = request.getfixturevalue(f"{request.param}_template")
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{shutil.copy(template, directory / 'test.db')}"
        else:
            postgres = request.getfixturevalue("postgres_server")
            url = await stack.enter_async_context(fresh_database(postgres, template))
        yield await stack.enter_async_context(serving(settings_for(url, directory)))
