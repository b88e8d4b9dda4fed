"""Workers that die or freeze in mid-run: others take over in time, and nothing is done twice."""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select as select_ready
from typing import Any

from sqlalchemy import NullPool, make_url, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from app import create_worker
from db import claims, commands, tasks
from db.engine import Database, Tx
from db.postgres import with_driver
from db.tables import chunks, events, leases, runs
from db.tables import tasks as task_rows
from db.tables import workers as worker_rows
from db.types import Lane, RunStatus
from tests.db import queues
from tests.drills.aftermath import NOTHING, left_behind
from tests.drills.workers import workers
from tests.fixtures.server import settings_for

KILLED = 10
IN_TIME_SECONDS = 25
OUTAGE_SECONDS = 6
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
    database_url: str, tmp_path: Path
) -> None:
    book, frozen, over = (tmp_path / name for name in ("book", "frozen", "over"))
    # Quiet when its worker freezes: else that may hold SQLite's lock, for all to wait for.
    late = f"echo early; {waiting_for(frozen)}; while echo late; do sleep 0.01; done"
    # Nor has it printed again by then: what is late has a number that is free.
    again = f"{waiting_for(over)}; echo again"
    command = f"echo begun >> {book}; if [ $(wc -l < {book}) = 1 ]; then {late}; else {again}; fi"
    async with (
        queues.opened(database_url, 1) as (database,),
        workers(1, tmp_path, database_url, WORKER_CONCURRENCY="1") as (pid,),
    ):
        run_id = await database.write(retried_task, command, 1)
        await until(database, run_id, lambda run: run.last_seq)
        os.kill(pid, signal.SIGSTOP)
        frozen.touch()
        settings = settings_for(database_url, tmp_path, worker_concurrency=1)
        async with create_worker(settings, database).working():
            before = await until(database, run_id, has_started_again)
            os.kill(pid, signal.SIGCONT)
            # The other one is busy: that it takes this means that it is done with what it lost.
            await until(database, await database.write(command_of_somebody, "true"), has_ended)
            after = await until(database, run_id, lambda _: True)
            over.touch()
            ended = await until(database, run_id, has_ended)

    assert before == after
    assert (RunStatus.COMPLETED, 2) == (ended.status, ended.attempt)
    assert b"early\nagain\n" == await printed_by(database_url, run_id)
    assert NOTHING == await left_behind(database_url)


async def test_a_worker_that_cannot_renew_its_leases_stops_its_runs_before_others_may_have_them(
    database_url: str, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    command = f"echo begun >> {book}; [ $(wc -l < {book}) -gt 1 ] || exec sleep 600"
    async with (
        queues.opened(database_url, 1) as (database,),
        workers(1, tmp_path, database_url, WORKER_CONCURRENCY="1"),
    ):
        run_id = await database.write(retried_task, command, 1)
        started = await until(database, run_id, has_started)
        process = os.pidfd_open(started.pid)
        async with nobody_else_writes(database_url):
            held = select(leases.c.until).where(leases.c.run_id == run_id)
            held_until = await database.scalar(held)
            dead, _, _ = await asyncio.to_thread(select_ready, [process], [], [], PATIENCE_SECONDS)
            died_at = datetime.now(UTC)
        os.close(process)
        ended = await until(database, run_id, has_ended)
        told = select(events.c.at).where(events.c.kind == "task.retrying")
        retried_at = await database.scalar(told)

    assert [process] == dead
    assert died_at < held_until
    assert retried_at - held_until < timedelta(seconds=IN_TIME_SECONDS - claims.LEASE_SECONDS)
    assert (RunStatus.COMPLETED, 2) == (ended.status, ended.attempt)
    assert NOTHING == await left_behind(database_url)


async def test_six_seconds_in_which_nothing_can_be_recorded_leave_alone_what_runs(
    database_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with (
        queues.opened(database_url, 1) as (database,),
        workers(KILLED, tmp_path, database_url, WORKER_CONCURRENCY="1"),
    ):
        run_ids = [
            await database.write(retried_task, waiting_for(gate), number)
            for number in range(KILLED)
        ]
        for run_id in run_ids:
            await until(database, run_id, has_started)
        async with nobody_else_writes(database_url):
            await asyncio.sleep(OUTAGE_SECONDS)
        # Whoever had let go of what runs would do so by now.
        await asyncio.sleep(2 * claims.BEAT_SECONDS)
        gate.touch()
        ended = [await until(database, run_id, has_ended) for run_id in run_ids]

    assert [(RunStatus.COMPLETED, 1)] * KILLED == [(run.status, run.attempt) for run in ended]
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


def command_of_somebody(tx: Tx, command: str) -> str:
    return commands.execute(tx, queues.add_user(tx, "somebody"), command=command)


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


def has_started_again(run: Any) -> bool:
    return has_started(run) and run.attempt == 2


def has_ended(run: Any) -> bool:
    return run.finished_at is not None


def waiting_for(sign: Path) -> str:
    return f"until [ -e {sign} ]; do sleep 0.02; done"


async def printed_by(database_url: str, run_id: str) -> bytes:
    printed = select(chunks.c.content).where(chunks.c.run_id == run_id).order_by(chunks.c.seq)
    async with queues.opened(database_url, 1) as (database,):
        return b"".join(chunk.content for chunk in await database.rows(printed))


@asynccontextmanager
async def nobody_else_writes(url: str) -> AsyncIterator[None]:
    """The lock that every change needs, for as long as the block lasts."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(url).database or "")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    else:
        engine = create_async_engine(with_driver(url), poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE runs, workers IN EXCLUSIVE MODE"))
            yield
