"""Workers that die or freeze in mid-run: others take over in time, and nothing is done twice."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app import create_worker
from db import claims, commands, tasks
from db.engine import Database, Tx
from db.tables import chunks, runs
from db.tables import tasks as task_rows
from db.tables import workers as worker_rows
from db.types import Lane, RunStatus
from tests.db import queues
from tests.drills.aftermath import NOTHING, left_behind, processes_of
from tests.drills.workers import hurry, workers
from tests.fixtures.server import settings_for

KILLED = 10
IN_TIME_SECONDS = 25
PATIENCE_SECONDS = 90


async def test_runs_of_ten_killed_workers_get_their_next_state_in_time_and_are_not_run_twice(
    database_url: str, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    book.mkdir()
    async with (
        queues.opened(database_url, 1) as (database,),
        workers(KILLED, tmp_path, database_url, WORKER_CONCURRENCY="1") as pids,
    ):
        run_ids = await database.write(enqueued, book)
        for run_id in run_ids:
            await until(database, run_id, has_started)
        rescuer = create_worker(settings_for(database_url, tmp_path), database)
        async with rescuer.working():
            took = await asyncio.gather(*(killed(database, pid) for pid in pids))
            ended = [await until(database, run_id, has_ended) for run_id in run_ids]

    outcomes = [(run.status, run.error_code, tries_in(book, n)) for n, run in enumerate(ended)]
    again, lost = (RunStatus.COMPLETED, None, 2), (RunStatus.FAILED, "WORKER_LOST", 1)
    assert max(took) < IN_TIME_SECONDS
    # The second try of a task was never made before its first was dead, as their lock says.
    assert [again if may_retry(number) else lost for number in range(KILLED)] == outcomes
    assert NOTHING == await left_behind(database_url)


async def test_what_a_worker_says_after_its_lease_is_over_changes_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease_seconds = 5.0
    hurry(lease_seconds, monkeypatch.setattr)
    book, frozen = tmp_path / "book", tmp_path / "frozen"
    # Quiet when its worker freezes: else that may hold SQLite's lock, for all to wait for.
    wait = f"until [ -e {frozen} ]; do sleep 0.02; done"
    late = f"echo early; {wait}; while echo late; do sleep 0.01; done"
    command = f"echo begun >> {book}; [ $(wc -l < {book}) -gt 1 ] || {{ {late}; }}"
    async with (
        queues.opened(database_url, 1) as (database,),
        workers(1, tmp_path, database_url, lease_seconds, WORKER_CONCURRENCY="1") as (pid,),
    ):
        run_id = await database.write(retried_task, command, 1)
        await until(database, run_id, lambda run: run.last_seq)
        os.kill(pid, signal.SIGSTOP)
        frozen.touch()
        async with create_worker(settings_for(database_url, tmp_path), database).working():
            ended = await until(database, run_id, has_ended)
            written = await output_of(database, run_id)
            os.kill(pid, signal.SIGCONT)
            assert [] == await processes_of([run_id])
        now = await until(database, run_id, has_ended)
        still = await output_of(database, run_id)

    assert (RunStatus.COMPLETED, 2) == (ended.status, ended.attempt)
    assert ended == now
    assert written == still
    assert NOTHING == await left_behind(database_url)


def may_retry(number: int) -> bool:
    return number % 2 == 0


def tries_in(book: Path, number: int) -> int:
    return (book / f"{number}").read_text().count("begun")


def enqueued(tx: Tx, book: Path) -> list[str]:
    """Runs that never end by themselves at the first try; half of them may be tried again."""
    user = queues.add_user(tx, "user")
    run_ids = []
    for number in range(KILLED):
        page = book / f"{number}"
        command = (
            f"exec 9>>{page}.lock; flock -n 9 || exit 9; echo begun >> {page}; "
            f"[ $(wc -l < {page}) -gt 1 ] || exec sleep 600"
        )
        if may_retry(number):
            run_ids.append(retried_task(tx, command, number))
        else:
            run_ids.append(commands.execute(tx, user, command=command))
    return run_ids


def retried_task(tx: Tx, command: str, number: int) -> str:
    """The run of a fresh task that may be tried twice."""
    user = queues.add_user(tx, f"user of {number}")
    (task_id,) = queues.add_tasks(tx, user, queues.add_project(tx, user, 1), 1)
    changed = update(task_rows).where(task_rows.c.id == task_id)
    tx.execute(changed.values({"metadata": {"command": command}}))
    options = {"retry_attempts": 1, "retry_delay": 0.01}
    return tasks.execute(tx, user, task_id, Lane.NORMAL, options)


async def killed(database: Database, pid: int) -> float:
    """Kill a worker at some moment between two beats; how long its run then had no next state."""
    held = select(runs).join(worker_rows, worker_rows.c.id == runs.c.worker_id)
    run = await database.first(held.where(worker_rows.c.pid == pid))
    assert run
    await asyncio.sleep(random.uniform(0, claims.BEAT_SECONDS))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    await until(database, run.id, lambda now: now.fence != run.fence)
    return time.monotonic() - began


async def until(database: Database, run_id: str, is_so: Callable[[Any], bool]) -> Any:
    """The run, as soon as something is so of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            run = await database.first(select(runs).where(runs.c.id == run_id))
            if is_so(run):
                return run
            await asyncio.sleep(0.1)


def has_started(run: Any) -> bool:
    return run.started_at is not None


def has_ended(run: Any) -> bool:
    return run.finished_at is not None


async def output_of(database: Database, run_id: str) -> list[Any]:
    printed = select(chunks).where(chunks.c.run_id == run_id).order_by(chunks.c.seq)
    return [tuple(chunk) for chunk in await database.rows(printed)]
