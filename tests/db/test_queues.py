"""Queues as the record has them: counts, percentiles, and what happens to many runs at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, func, select, update

from db import events, queueing, queues, runs, tasks
from db.actors import Actor
from db.claims import claim, enlist
from db.engine import Database, Tx
from db.errors import Invalid, QueueFull, TaskAlreadyRunning
from db.tables import events as log
from db.tables import runs as table
from db.tables import tasks as task_rows
from db.tables import waiting, workers
from db.types import Lane, Role, RunnerName
from tests.db.queues import add_project, add_tasks, add_user, enqueue, opened

NOW = datetime.now(UTC)


def put(tx: Tx, actor: Actor, lane: Lane) -> str:
    """A command that waits."""
    return enqueue(tx, actor, lane)


def ended(tx: Tx, actor: Actor, lane: Lane, status: str, waited: float, took: float) -> None:
    """A run that ended a second ago."""
    run_id = enqueue(tx, actor, lane)
    finished_at = tx.now - timedelta(seconds=1)
    started_at = finished_at - timedelta(seconds=took)
    moments = {
        "finished_at": finished_at,
        "started_at": started_at,
        "claimed_at": started_at,
        "enqueued_at": started_at - timedelta(seconds=waited),
    }
    tx.execute(update(table).where(table.c.id == run_id).values(status=status, **moments))
    tx.execute(delete(waiting).where(waiting.c.run_id == run_id))


def tasks_queued(tx: Tx, actor: Actor, lane: Lane, how_many: int) -> list[str]:
    """So many tasks of one project, queued; their ids."""
    project_id = add_project(tx, actor, limit=10)
    task_ids = add_tasks(tx, actor, project_id, how_many)
    for task_id in task_ids:
        enqueue(tx, actor, lane, task_id=task_id, project_id=project_id)
    return task_ids


async def read_metrics(database: Database, *, by_lane: bool) -> dict[str, Any]:
    since = NOW - timedelta(hours=1)
    rows = await database.rows(queues.metrics(since, by_lane=by_lane))
    return {row.lane: row for row in rows}


async def test_overview_counts_each_lane(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        worker = await database.write(enlist, "host", "boot", 1, 1, 8)
        await database.write(put, actor, Lane.HIGH)
        await database.enact(claim, worker, 1)
        for lane in (Lane.HIGH, Lane.LOW, Lane.LOW):
            await database.write(put, actor, lane)
        for status in ("completed", "completed", "failed"):
            await database.write(ended, actor, Lane.NORMAL, status, 0.0, 0.5)
        rows = await database.rows(queues.overview())
        found = await database.first(queues.workforce())

    assert {"high": (1, 1, 0), "normal": (0, 0, 2), "low": (2, 0, 0)} == {
        row.name: (row.size, row.processing, row.completed_today) for row in rows
    }
    assert (1, 0, 1) == found


async def test_a_worker_that_is_gone_does_not_count(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        await database.write(enlist, "host", "boot", 1, 1, 8)
        await database.write(
            lambda tx: tx.execute(update(workers).values(seen_at=NOW - timedelta(hours=1)))
        )
        found = await database.first(queues.workforce())

    assert (0, 0, 0) == found


async def test_metrics_are_exact_percentiles(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        for second in range(1, 101):
            status = "failed" if second <= 25 else "completed"
            await database.write(ended, actor, Lane.HIGH, status, 101.0 - second, second * 2.0)
        await database.write(ended, actor, Lane.LOW, "cancelled", 1000.0, 1000.0)
        by_lane = await read_metrics(database, by_lane=True)
        (total,) = (await read_metrics(database, by_lane=False)).values()

    high = by_lane["high"]
    assert (100, 75, 25, 0) == (high.finished, high.completed, high.failed, high.cancelled)
    assert [50, 95, 99, 100] == [
        pytest.approx(value, abs=0.01)
        for value in (high.wait_p50, high.wait_p95, high.wait_p99, high.wait_longest)
    ]
    assert [100, 190, 198, 200] == [
        pytest.approx(value, abs=0.01)
        for value in (high.run_p50, high.run_p95, high.run_p99, high.run_longest)
    ]
    assert 50.5 == pytest.approx(high.wait_average, abs=0.01)
    assert {"high", "low"} == by_lane.keys()
    assert (101, 1) == (total.finished, total.cancelled)
    assert 1000 == pytest.approx(total.run_longest, abs=0.01)


async def test_a_run_that_was_cancelled_while_it_waited_has_no_times(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        await database.write(put, actor, Lane.HIGH)
        await database.write(ended, actor, Lane.HIGH, "completed", 4.0, 2.0)
        await database.write(queues.clear, actor, Lane.HIGH, confirm=True)
        high = (await read_metrics(database, by_lane=True))["high"]

    assert (2, 1) == (high.finished, high.cancelled)
    assert 4 == pytest.approx(high.wait_p99, abs=0.01)
    assert 2 == pytest.approx(high.run_p50, abs=0.01)


async def test_performance_is_that_of_the_last_ten_minutes(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        nothing = await database.first(queues.performance())
        for status, took in (("completed", 4.0), ("completed", 6.0), ("failed", 8.0)):
            await database.write(ended, actor, Lane.HIGH, status, 0.0, took)
        await database.write(ended, actor, Lane.HIGH, "cancelled", 0.0, 1000.0)
        performance = await database.first(queues.performance())

    assert (0, None, None) == nothing
    assert performance
    assert 0.3 == pytest.approx(performance.tasks_per_minute)
    assert 6 == pytest.approx(performance.average_processing_time, abs=0.01)
    assert 2 / 3 == pytest.approx(performance.success_rate)


async def test_clear_cancels_what_waits_and_tells_each_task(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        task_ids = await database.write(tasks_queued, actor, Lane.LOW, 5)
        other = await database.write(put, actor, Lane.HIGH)
        count = await database.write(queues.clear, actor, Lane.LOW, confirm=True)
        found = await database.rows(select(task_rows.c.id, task_rows.c.status))
        told = await database.rows(
            select(log.c.task_id, log.c.data).where(log.c.kind == "task.cancelled")
        )
        high = await database.first(select(table.c.status).where(table.c.id == other))

    assert 5 == count
    assert dict.fromkeys(task_ids, "cancelled") == {row.id: row.status for row in found}
    assert sorted(task_ids) == sorted(row.task_id for row in told)
    assert {"The queue was cleared"} == {row.data["details"]["error"] for row in told}
    assert high
    assert "queued" == high.status


async def test_clear_needs_to_be_confirmed(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        await database.write(put, actor, Lane.LOW)
        with pytest.raises(Invalid):
            await database.write(queues.clear, actor, Lane.LOW, confirm=False)


async def test_who_is_no_administrator_clears_only_what_is_theirs(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        admin = await database.write(add_user, "admin")
        other = await database.write(add_user, "other")
        developer = Actor(other.id, "other", Role.DEVELOPER)
        await database.write(tasks_queued, admin, Lane.LOW, 3)
        await database.write(put, developer, Lane.LOW)
        count = await database.write(queues.clear, developer, Lane.LOW, confirm=True)

    assert 1 == count


async def test_a_paused_lane_is_not_claimed_until_it_is_resumed(database_url: str) -> None:
    async with opened(database_url, 2) as (one, two):
        actor = await one.write(add_user, "admin")
        worker = await two.write(enlist, "host", "boot", 1, 1, 8)
        run_id = await one.write(put, actor, Lane.HIGH)
        await one.write(queues.pause, actor, Lane.HIGH, "Maintenance window")
        paused = await two.enact(claim, worker, 8)
        lane = next(row for row in await two.rows(queues.overview()) if row.name == "high")
        await one.write(queues.resume, actor, Lane.HIGH)
        resumed = await two.enact(claim, worker, 8)

    assert [] == paused
    assert "Maintenance window" == lane.paused_reason
    assert [run_id] == [run.id for run in resumed]


async def test_a_task_that_is_prioritised_overtakes(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        task_ids = await database.write(tasks_queued, actor, Lane.LOW, 3)
        await database.write(tasks_queued, actor, Lane.NORMAL, 1)
        outcome = await database.write(queues.prioritise, actor, task_ids[2:], Lane.HIGH)
        worker = await database.write(enlist, "host", "boot", 1, 1, 8)
        claimed = await database.enact(claim, worker, 1)
        told = await database.first(
            select(log.c.data, log.c.task_id).where(log.c.kind == "task.prioritized")
        )

    assert task_ids[2:] == outcome.successful
    assert task_ids[2:] == [run.task_id for run in claimed]
    assert told
    assert ("low", "high") == (
        told.data["details"]["old_value"],
        told.data["details"]["new_value"],
    )
    assert "prioritized" == events.action_of("task.prioritized", told.data)


async def test_a_task_that_runs_is_not_prioritised(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        running, waiting = await database.write(tasks_queued, actor, Lane.LOW, 2)
        worker = await database.write(enlist, "host", "boot", 1, 1, 8)
        await database.enact(claim, worker, 1)
        tried = [running, waiting, "unknown"]
        outcome = await database.write(queues.prioritise, actor, tried, Lane.HIGH)

    assert [waiting] == outcome.successful
    assert {running: TaskAlreadyRunning.code, "unknown": "TASK_NOT_FOUND"} == {
        task_id: problem.code for task_id, problem in outcome.failed.items()
    }


async def test_a_lane_that_is_full_takes_no_more(database_url: str) -> None:
    def enqueue_within_two(tx: Tx, lane: Lane) -> str:
        words: dict[str, Any] = {"command": "true", "runner": RunnerName.SHELL, "lane": lane}
        return queueing.bounded(tx, 2, runs.enqueue, actor, **words)

    async with opened(database_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        for _ in range(2):
            await database.write(enqueue_within_two, Lane.HIGH)
        with pytest.raises(QueueFull) as full:
            await database.write(enqueue_within_two, Lane.HIGH)
        await database.write(enqueue_within_two, Lane.LOW)
        sizes = {row.name: row.size for row in await database.rows(queues.overview())}

    assert {"queue": "high", "max_size": 2} == full.value.details
    assert {"high": 2, "normal": 0, "low": 1} == sizes


@pytest.mark.parametrize("most", [0, 3])
async def test_a_lane_is_never_fuller_than_it_may_be_however_many_come_at_once(
    database_url: str, most: int
) -> None:
    async with opened(database_url, 2) as databases:
        actor = await databases[0].write(add_user, "user")
        project = await databases[0].write(add_project, actor, 1)
        task_ids = await databases[0].write(add_tasks, actor, project, 12)

        async def execute(number: int, task_id: str) -> object:
            return await databases[number % 2].enact(
                queueing.place, most, tasks.to_execute, actor, task_id, Lane.NORMAL, {}
            )

        def command(tx: Tx) -> str:
            words: dict[str, Any] = {"command": "true", "runner": RunnerName.SHELL}
            return queueing.bounded(tx, most, runs.enqueue, actor, lane=Lane.NORMAL, **words)

        answers = await asyncio.gather(
            *(execute(number, task_id) for number, task_id in enumerate(task_ids)),
            *(databases[number % 2].write(command) for number in range(6)),
            return_exceptions=True,
        )
        waiting = await databases[0].scalar(select(func.count()).select_from(table))

    refused = [answer for answer in answers if isinstance(answer, QueueFull)]
    assert (most, 18 - most) == (waiting, len(refused))


async def test_clearing_takes_a_few_statements_however_many_wait(sqlite_url: str) -> None:
    """One for each table, not some for each run: others need the writer meanwhile."""
    statements: list[str] = []

    def clear(tx: Tx, actor: Actor) -> int:
        event.listen(
            tx.connection, "before_cursor_execute", lambda *args: statements.append(args[2])
        )
        return queues.clear(tx, actor, Lane.LOW, confirm=True)

    async with opened(sqlite_url, 1) as (database,):
        actor = await database.write(add_user, "admin")
        await database.write(tasks_queued, actor, Lane.LOW, 500)
        cleared = await database.write(clear, actor)

    assert 500 == cleared
    assert len(statements) < 10
