"""Servers as these tests need them."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.postgres import fresh_database
from tests.fixtures.server import Served, serving, settings_for

Maker = Callable[[Path], AbstractAsyncContextManager[str]]


@pytest.fixture
async def idle_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server without workers, on each database: what is queued stays queued."""
    async with serving(settings_for(database_url, tmp_path, worker_concurrency=0)) as served:
        yield served


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def make_database(request: pytest.FixtureRequest) -> Maker:
    """Makes a migrated database in a directory, once of each kind."""
    template = request.getfixturevalue(f"{request.param}_template")
    if request.param == "sqlite":
        return lambda where: nullcontext(f"sqlite:///{shutil.copy(template, where / 'test.db')}")
    postgres = request.getfixturevalue("postgres_server")
    return lambda _: fresh_database(postgres, template)


@pytest_asyncio.fixture(scope="module")
async def server(
    make_database: Maker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A server on each database for all tests of a file, which keep to projects of their own."""
    directory = tmp_path_factory.mktemp("server")
    async with make_database(directory) as url, serving(settings_for(url, directory)) as served:
        yield served
