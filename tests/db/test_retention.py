"""What is forgotten after a while, and what is not."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from db import claims, lifecycle, output, retention, tasks
from db.actors import Actor
from db.clock import from_now
from db.engine import Database, Tx
from db.lifecycle import Begun, Ended, Outcome
from db.output import Chunk
from db.tables import chunks, events, metadata, projects, runs, users, waiting
from db.tables import tasks as task_rows
from db.types import Lane, Role, RunStatus, Stream
from tests.db import queues

DAY = timedelta(days=1)
LONG_AGO = from_now(-2 * 24 * 3600)


async def test_old_output_is_forgotten_and_the_run_says_so(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        run_id = await database.write(finished_run)
        fresh = await forgotten(database, "output")
        await grow_old(database)
        counted = await database.write(retention.RULES["output"].count, DAY)
        old = await forgotten(database, "output")
        left = await database.scalar(select(func.count()).select_from(chunks))
        run = await database.first(select(runs).where(runs.c.id == run_id))

    assert [0, 1, 1] == [fresh, counted, old]
    assert 0 == left
    assert run
    assert run.total_bytes == run.omitted_bytes == 5


async def test_a_tasks_newest_run_is_kept(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        await database.write(finished_run)
        again = await database.write(run_again)
        await grow_old(database)
        old = await forgotten(database, "runs")
        left = await database.rows(select(runs.c.id))

    assert 1 == old
    assert [again] == [run.id for run in left]


async def test_old_events_are_forgotten_and_their_numbers_go_on(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        await database.write(finished_run)
        fresh = await forgotten(database, "events")
        await grow_old(database)
        newest = await database.scalar(select(func.max(events.c.seq)))
        old = await forgotten(database, "events")
        left = [row.seq for row in await database.rows(select(events.c.seq))]
        await database.write(run_again)
        told = await database.rows(select(events.c.seq).order_by(events.c.seq))

    assert 0 == fresh
    assert old > 0
    assert [newest] == left
    assert told[1].seq > newest


async def test_a_deleted_project_goes_with_all_that_refers_to_it(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        await database.write(finished_run)
        await queues.carry_out(database, update(projects).values(deleted_at=LONG_AGO))
        old = await forgotten(database, "deleted_projects")
        left = {
            table.name: await database.scalar(select(func.count()).select_from(table))
            for table in metadata.sorted_tables
        }

    assert 1 == old
    assert {"users", "events", "lanes", "workers", "maintenance"} >= {
        name for name in left if left[name]
    }


async def test_what_refers_to_it_goes_first_in_small_batches(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "RUNS_AT_ONCE", 2)
    left = []
    async with queues.opened(database_url, 1) as (database,):
        await database.write(finished_run)
        for _ in range(4):
            await database.write(run_again)
        await queues.carry_out(database, update(task_rows).values(deleted_at=LONG_AGO))
        rule = retention.RULES["deleted_tasks"]
        while (count := await database.write(rule.forget_some, DAY)) is not None:
            runs_left = await database.scalar(select(func.count()).select_from(runs))
            left.append((runs_left, count))

    assert [(3, 0), (1, 0), (0, 0)] == left[:3]
    assert 2 == sum(count for _, count in left)


async def test_a_run_that_is_forgotten_has_no_place_in_the_queue(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        await database.write(queued_run)
        await queues.carry_out(database, update(projects).values(deleted_at=LONG_AGO))
        await forgotten(database, "deleted_projects")

        assert [] == await database.rows(select(waiting))


def test_every_table_that_refers_to_another_is_found() -> None:
    found = {column.table.name for column in retention._referring(task_rows)}

    assert {"task_tags", "task_dependencies", "runs", "schedules", "documents"} <= found


async def forgotten(database: Database, name: str) -> int:
    count = 0
    while (some := await database.write(retention.RULES[name].forget_some, DAY)) is not None:
        count += some
    return count


async def grow_old(database: Database) -> None:
    """Let everything have happened two days ago."""

    def unit(tx: Tx) -> None:
        tx.execute(update(runs).values(finished_at=LONG_AGO))
        tx.execute(update(events).values(at=LONG_AGO))

    await database.write(unit)


def finished_run(tx: Tx) -> str:
    """A task's run that printed five bytes and completed; another task depends on it."""
    user = queues.add_user(tx, "user")
    first, second = queues.add_tasks(tx, user, queues.add_project(tx, user, 5), 2)
    queues.add_dependencies(tx, [(second, first)])
    return _carried_out(tx, tasks.execute(tx, user, first, Lane.NORMAL, {}))


def queued_run(tx: Tx) -> None:
    """A task's run that nobody has claimed."""
    user = queues.add_user(tx, "user")
    (task_id,) = queues.add_tasks(tx, user, queues.add_project(tx, user, 5), 1)
    tasks.execute(tx, user, task_id, Lane.NORMAL, {})


def run_again(tx: Tx) -> str:
    user = tx.first(select(users))
    assert user
    run = tx.first(select(runs))
    assert run
    actor = Actor(user.id, user.username, Role.ADMIN)
    return _carried_out(tx, tasks.execute(tx, actor, run.task_id, Lane.NORMAL, {}))


def _carried_out(tx: Tx, run_id: str) -> str:
    (run,) = tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 1), 1))
    assert run.id == run_id
    tx.enact(lifecycle.record(tx, [Begun(run.id, run.fence, "boot", 1, 1)]))
    output.append(tx, run.id, run.fence, 5, [Chunk(1, Stream.STDOUT, b"12345", tx.now)])
    totals: dict[str, Any] = {"last_seq": 1, "total_bytes": 5}
    outcome = Outcome(RunStatus.COMPLETED, 0, **totals)
    tx.enact(lifecycle.record(tx, [Ended(run.id, run.fence, outcome)]))
    return run_id
