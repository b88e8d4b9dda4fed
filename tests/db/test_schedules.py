"""Schedules: when they are due, and what they do then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db import claims, lifecycle, projects, schedules, tasks
from db.actors import Actor
from db.clock import from_now
from db.engine import Database, Tx
from db.errors import InvalidFormat, ResourceNotFound
from db.lifecycle import Begun, Ended, Outcome
from db.tables import events, runs, users
from db.tables import projects as project_rows
from db.tables import schedules as table
from db.types import Missed, Overlap, ProjectStatus, RunStatus
from tests.db import queues

SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def test_a_schedule_keeps_to_the_clocks_of_its_time_zone() -> None:
    winter = schedules.next_after(datetime(2026, 1, 1, tzinfo=UTC), "0 9 * * *", "Europe/Vienna")
    summer = schedules.next_after(datetime(2026, 7, 1, tzinfo=UTC), "0 9 * * *", "Europe/Vienna")

    assert datetime(2026, 1, 1, 8, tzinfo=UTC) == winter
    assert datetime(2026, 7, 1, 7, tzinfo=UTC) == summer


def test_a_time_that_clocks_leave_out_comes_right_after_the_gap() -> None:
    missing = schedules.next_after(SPRING, "30 2 * * *", "Europe/Vienna")

    assert datetime(2026, 3, 29, 1, tzinfo=UTC) == missing


def test_a_time_that_comes_twice_is_kept_once() -> None:
    first = schedules.next_after(AUTUMN, "30 2 * * *", "Europe/Vienna")
    assert first
    second = schedules.next_after(first, "30 2 * * *", "Europe/Vienna")
    assert second

    assert timedelta(hours=24) <= second - first <= timedelta(hours=25)


def test_a_time_that_comes_twice_is_over_once_it_has_been() -> None:
    """Where it is half past two for the second time, and where that is just to come."""
    moments = [datetime(2026, 10, 25, 1, minute, tzinfo=UTC) for minute in (10, 30, 50)]
    found = [schedules.next_after(moment, "30 2 * * *", "Europe/Vienna") for moment in moments]

    assert [datetime(2026, 10, 26, 1, 30, tzinfo=UTC)] * 3 == found


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "0 0 31 2 *", "@daily"])
async def test_what_is_no_cron_expression_is_refused(sqlite_url: str, cron: str) -> None:
    async with queues.opened(sqlite_url, 1) as (database,):
        with pytest.raises(InvalidFormat) as refused:
            await scheduled(database, cron=cron)

    assert "cron" == refused.value.details["field"]


async def test_a_time_zone_that_is_unknown_is_refused(sqlite_url: str) -> None:
    async with queues.opened(sqlite_url, 1) as (database,):
        with pytest.raises(InvalidFormat) as refused:
            await scheduled(database, time_zone="Europe/Nowhere")

    assert "time_zone" == refused.value.details["field"]


async def test_a_schedule_that_is_due_executes_its_task_once(database_url: str) -> None:
    async with queues.opened(database_url, 2) as (database, other):
        _, schedule_id = await scheduled(database)
        await due(database, schedule_id)
        kept = [await database.write(schedules.keep), await other.write(schedules.keep)]
        schedule = await database.first(select(table).where(table.c.id == schedule_id))
        found = await database.rows(select(runs))

    assert [1, 0] == kept
    assert [RunStatus.QUEUED] == [run.status for run in found]
    assert schedule
    assert schedule.next_at > datetime.now(UTC)


async def test_a_schedule_is_kept_once_where_our_clock_is_behind(database_url: str) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)

    def keep(tx: Tx) -> int:
        tx.now = minute - timedelta(seconds=0.5)
        return schedules.keep(tx)

    async with queues.opened(database_url, 1) as (database,):
        _, schedule_id = await scheduled(database, cron="* * * * *", missed=Missed.RUN_ONCE)
        at = update(table).where(table.c.id == schedule_id).values(next_at=minute)
        await queues.carry_out(database, at)
        await database.write(keep)
        schedule = await database.first(select(table))

    assert schedule
    assert minute + timedelta(minutes=1) == schedule.next_at


async def test_a_paused_schedule_does_nothing(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        user, schedule_id = await scheduled(database)
        await database.write(schedules.change, user, schedule_id, {"paused": True})
        await due(database, schedule_id)

        assert 0 == await database.write(schedules.keep)


async def test_overlap_skip_lets_the_active_run_be(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        await kept_while_running(database, Overlap.SKIP)
        kinds = await told(database)

    assert ["schedule.created", "schedule.kept", "schedule.skipped"] == kinds


async def test_overlap_queue_executes_it_again_when_the_active_run_has_ended(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        run = await kept_while_running(database, Overlap.QUEUE)
        before = await database.write(schedules.keep)
        await database.enact(lifecycle.record, [ended(run)])
        after = await database.write(schedules.keep)
        found = await database.rows(select(runs).order_by(runs.c.number))

    assert [0, 1] == [before, after]
    assert [RunStatus.COMPLETED, RunStatus.QUEUED] == [run.status for run in found]


async def test_what_two_schedules_of_a_task_owe_is_made_up_for_one_after_the_other(
    database_url: str,
) -> None:
    def owe_another(tx: Tx) -> None:
        user = queues.add_user(tx, "another")
        schedules.create(tx, user, task_id=run.task_id, cron="0 7 * * *", overlap=Overlap.QUEUE)
        tx.execute(update(table).values(owed_at=tx.now))

    def carry_out_next(tx: Tx) -> None:
        (next_run,) = tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 1), 1))
        tx.enact(lifecycle.record(tx, [ended(next_run)]))

    async with queues.opened(database_url, 1) as (database,):
        run = await kept_while_running(database, Overlap.QUEUE)
        await database.write(owe_another)
        await database.enact(lifecycle.record, [ended(run)])
        for _ in range(2):
            await database.write(schedules.keep)
            await database.write(carry_out_next)
        found = await database.rows(select(runs.c.status))

    assert [RunStatus.COMPLETED] * 3 == [found_run.status for found_run in found]


async def test_overlap_replace_cancels_the_active_run_first(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        run = await kept_while_running(database, Overlap.REPLACE)
        asked = await database.first(select(runs).where(runs.c.id == run.id))
        await database.enact(lifecycle.record, [ended(run, RunStatus.CANCELLED)])
        await database.write(schedules.keep)
        found = await database.rows(select(runs).order_by(runs.c.number))

    assert asked
    assert asked.cancel_asked_at
    assert [RunStatus.CANCELLED, RunStatus.QUEUED] == [run.status for run in found]


async def test_a_schedule_cancels_nothing_in_the_name_of_who_may_not(database_url: str) -> None:
    """Of who may not execute the task any more either."""
    async with queues.opened(database_url, 1) as (database,):
        run = await kept_while_running(database, Overlap.REPLACE, is_disabled=True)
        asked = await database.first(select(runs).where(runs.c.id == run.id))
        failed = await database.first(select(events).where(events.c.kind == "schedule.failed"))
        schedule = await database.first(select(table))

    assert asked
    assert failed
    assert schedule
    assert (None, None) == (asked.cancel_asked_at, schedule.owed_at)
    assert "AUTH_ACCOUNT_DISABLED" == failed.data["error_code"]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [(Missed.SKIP, "schedule.missed"), (Missed.RUN_ONCE, "schedule.kept")],
)
async def test_what_was_missed_is_skipped_or_made_up_for_once(
    database_url: str, missed: Missed, expected: str
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        _, schedule_id = await scheduled(database, missed=missed)
        await due(database, schedule_id, seconds_ago=7200)
        await database.write(schedules.keep)
        again = await database.write(schedules.keep)
        kinds = await told(database)

    assert ["schedule.created", expected] == kinds
    assert 0 == again


async def test_a_schedule_that_cannot_execute_its_task_says_so_and_goes_on(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        _, schedule_id = await scheduled(database, status=ProjectStatus.ARCHIVED)
        await due(database, schedule_id)
        await database.write(schedules.keep)
        event = await database.first(select(events).where(events.c.kind == "schedule.failed"))

    assert event
    assert "PROJECT_ARCHIVED" == event.data["error_code"]


async def test_a_schedule_that_was_removed_is_gone(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        user, schedule_id = await scheduled(database)
        await database.write(schedules.remove, user, schedule_id)

        with pytest.raises(ResourceNotFound):
            await database.write(schedules.remove, user, schedule_id)


async def test_schedules_go_with_their_task(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        user, _ = await scheduled(database)
        (task_id,) = (await database.rows(select(table.c.task_id)))[0]
        await database.write(tasks.remove, user, task_id)

        assert [] == await database.rows(select(table))


async def test_schedules_go_with_their_project(database_url: str) -> None:
    async with queues.opened(database_url, 1) as (database,):
        user, _ = await scheduled(database)
        (project_id,) = (await database.rows(select(table.c.project_id)))[0]
        await database.write(projects.remove, user, project_id)

        assert [] == await database.rows(select(table))


async def scheduled(
    database: Database, *, status: ProjectStatus = ProjectStatus.ACTIVE, **rest: Any
) -> tuple[Actor, str]:
    """A schedule of a task, and whose it is."""

    def unit(tx: Tx) -> tuple[Actor, str]:
        user = queues.add_user(tx, "user")
        (task_id,) = queues.add_tasks(tx, user, queues.add_project(tx, user, 5), 1)
        given = {"cron": "0 6 * * *", "time_zone": "Europe/Vienna"} | rest
        return user, schedules.create(tx, user, task_id=task_id, **given)

    user, schedule_id = await database.write(unit)
    if status is not ProjectStatus.ACTIVE:
        await queues.carry_out(database, update(project_rows).values(status=status))
    return user, schedule_id


async def due(database: Database, schedule_id: str, seconds_ago: float = 1) -> None:
    then = update(table).where(table.c.id == schedule_id).values(next_at=from_now(-seconds_ago))
    await queues.carry_out(database, then)


async def kept_while_running(
    database: Database, overlap: Overlap, *, is_disabled: bool = False
) -> Any:
    """The run of a schedule that became due again before it had ended."""
    _, schedule_id = await scheduled(database, overlap=overlap)
    await due(database, schedule_id)
    await database.write(schedules.keep)

    def begin(tx: Tx) -> Any:
        (run,) = tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 1), 1))
        tx.enact(lifecycle.record(tx, [Begun(run.id, run.fence, "boot", 1, 1)]))
        return run

    run = await database.write(begin)
    if is_disabled:
        await queues.carry_out(database, update(users).values(disabled_at=from_now(0)))
    await due(database, schedule_id)
    await database.write(schedules.keep)
    return run


def ended(run: Any, status: RunStatus = RunStatus.COMPLETED) -> Ended:
    return Ended(run.id, run.fence, Outcome(status, 0))


async def told(database: Database) -> list[str]:
    of_schedules = select(events).where(events.c.kind.like("schedule.%")).order_by(events.c.seq)
    return [event.kind for event in await database.rows(of_schedules)]
