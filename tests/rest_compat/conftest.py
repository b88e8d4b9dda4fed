"""Servers as these tests need them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rest_compat import ws
from tests.fixtures.server import Served, serving, settings_for
from tests.rest_compat import small
from tests.rest_compat.desk import Desk, Door


@pytest.fixture
async def idle_server(database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    """A server without workers, on each database: what is queued stays queued."""
    async with serving(settings_for(database_url, tmp_path, worker_concurrency=0)) as served:
        yield served


@pytest.fixture(scope="module")
def server(shared_server: Served) -> Served:
    """A server on each database for all tests of a file, which keep to projects of their own."""
    return shared_server


@pytest_asyncio.fixture(scope="module")
async def door() -> AsyncIterator[Door]:
    """A server for the desks of a file."""
    door = Door()
    async with small.serving(door) as door.address:
        yield door


@pytest.fixture
def desk(door: Door, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A fresh desk, whose news are of a documented kind."""
    monkeypatch.setattr(ws, "MESSAGES", {"News": "task_update"})
    door.desk = Desk(door.address)
    return door.desk
