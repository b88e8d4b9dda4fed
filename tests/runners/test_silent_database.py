"""A worker whose connections to PostgreSQL are open and never answer."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from select import select as select_ready

import pytest

from db import claims
from db.types import RunStatus
from runners import worker as worker_module
from tests.db import queues
from tests.fixtures.proxy import Proxy, impatiently
from tests.runners.test_worker import executed, has_ended, has_started, until, working

PATIENCE_SECONDS = 20


@pytest.fixture
async def proxy(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 1.0)
    monkeypatch.setattr(worker_module, "LAST_WORDS_SECONDS", 1.0)
    async with impatiently(postgres_url, 1.0, monkeypatch) as proxy:
        yield proxy


async def test_a_worker_goes_on_by_new_connections(
    proxy: Proxy, postgres_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with (
        queues.opened(postgres_url, 1) as (database,),
        working(proxy.url, tmp_path),
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        first = await executed(database, f"until [ -e {gate} ]; do sleep 0.05; done", {})
        await until(database, first, has_started)
        proxy.freeze()
        second = await executed(database, "true", {})
        gate.touch()
        runs = [await until(database, run_id, has_ended) for run_id in (first, second)]

    assert [(RunStatus.COMPLETED, 1)] * 2 == [(run.status, run.attempt) for run in runs]


async def test_a_worker_stops_though_nothing_answers_any_more(
    proxy: Proxy, postgres_url: str, tmp_path: Path
) -> None:
    async with queues.opened(postgres_url, 1) as (database,), asyncio.timeout(PATIENCE_SECONDS):
        async with working(proxy.url, tmp_path):
            run_id = await executed(database, "exec sleep 600", {})
            run = await until(database, run_id, has_started)
            process = os.pidfd_open(run.pid)
            proxy.freeze(new_ones=True)
        ended, _, _ = select_ready([process], [], [], 0)
        os.close(process)

    assert [process] == ended
