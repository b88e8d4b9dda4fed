"""A server of each kind that is held against the documentation."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.world import World
from tests.fixtures.databases import Maker
from tests.fixtures.server import Served, serving, settings_for

SLOTS = 16

MakeWorld = Callable[..., AbstractAsyncContextManager[World]]


@pytest_asyncio.fixture(scope="module")
async def server(
    make_database: Maker, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A server with a Redis, on each database, for all tests of a file."""
    directory = tmp_path_factory.mktemp("server")
    async with make_database(directory) as url:
        settings = settings_for(url, directory, redis_url=redis_server, worker_concurrency=SLOTS)
        async with serving(settings) as served:
            yield served


@pytest.fixture
async def world(server: Served) -> AsyncIterator[World]:
    """What must exist, made when it is named."""
    async with World(server) as made:
        yield made


@pytest.fixture
def make_world(sqlite_url: str, tmp_path: Path) -> MakeWorld:
    """Makes a world on a server of its own, with settings of its own."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[World]:
        chosen = settings_for(sqlite_url, tmp_path, **settings)
        async with serving(chosen) as served, World(served) as made:
            yield made

    return make
