"""The real Claude CLI, which speaks to a stub of the Messages API on loopback and nothing else."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.claude.stub import MODEL, Stub, stubbed
from tests.fixtures.agents import CLI, MISSING_CLI, PATIENCE_SECONDS, Office, director
from tests.fixtures.server import serving, settings_for

RealOpening = Callable[..., AbstractAsyncContextManager[Office]]


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with stubbed() as listening:
        yield listening


@pytest.fixture
def cli() -> str:
    """The path of the CLI that `make test-claude` installs."""
    if not CLI.exists() and os.environ.get("REQUIRE_CLAUDE"):
        pytest.fail(MISSING_CLI)
    if not CLI.exists():
        pytest.skip(MISSING_CLI)
    return str(CLI)


@pytest.fixture
def api(cli: str, stub: Stub) -> dict[str, str]:
    """The settings by which a server finds the CLI, and the CLI the stub."""
    return {
        "claude_command": cli,
        "claude_model": MODEL,
        "anthropic_api_key": "sk-ant-a-key-that-opens-nothing",
        "anthropic_base_url": stub.url,
    }


@pytest.fixture
def real_office(sqlite_url: str, tmp_path: Path, api: dict[str, str]) -> RealOpening:
    """Opens an office whose agents are real."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Office]:
        chosen = {"stop_grace_seconds": 5.0, **api, **settings}
        data = tmp_path / "data"
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            serving(settings_for(sqlite_url, data, **chosen)) as served,
        ):
            yield Office(served, await director(served), data / "workspaces")

    return opened
