"""The order in which runs are served, and who has to wait."""

import asyncio
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from db import claims, commands, queueing, runs, tasks
from db.actors import Actor
from db.claims import MOST_RUNS_OF_A_USER
from db.engine import Database, Moment, Tx
from db.errors import Problem, TaskAlreadyRunning, TaskNotFound
from db.runs import HEAD_START, HEAD_START_PER_PRIORITY, rank_of
from db.statements import Writing
from db.tables import events, lanes, waiting
from db.tables import runs as rows
from db.types import Lane, Role, RunStatus
from tests.db import record
from tests.db.queues import opened

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
COMMAND = {"command": "true"}


async def claimed(database: Database, most: int = 100) -> list[str]:
    """The ids of the runs that a worker would get now, in order."""
    worker = await database.write(claims.enlist, "host", "boot", 1, 1, most)
    return [run.id for run in await database.enact(claims.claim, worker, most)]


async def executed(
    database: Database, actor: Actor, project: str, lane: Lane = Lane.NORMAL, **words: Any
) -> str:
    """The id of the run of a new task."""
    task = await record.task(database, actor, project, metadata=COMMAND, **words)
    return await database.write(tasks.execute, actor, task, lane)


@pytest.mark.parametrize(
    ("sooner", "later"),
    [
        ((NOW, Lane.HIGH, 0), (NOW, Lane.NORMAL, 0)),
        ((NOW, Lane.NORMAL, 0), (NOW, Lane.LOW, 0)),
        ((NOW, Lane.LOW, 1), (NOW, Lane.LOW, 0)),
        ((NOW, Lane.NORMAL, 0), (NOW + timedelta(seconds=1), Lane.NORMAL, 0)),
        ((NOW, Lane.NORMAL, 1), (NOW - timedelta(seconds=14), Lane.NORMAL, 0)),
        # Who has waited for longer than a head start overtakes.
        ((NOW, Lane.NORMAL, 0), (NOW + HEAD_START[Lane.HIGH] + timedelta(seconds=1), Lane.HIGH, 0)),
        ((NOW, Lane.LOW, 0), (NOW + timedelta(hours=1, seconds=1), Lane.HIGH, 0)),
        ((NOW, Lane.LOW, 0), (NOW + 100 * HEAD_START_PER_PRIORITY + timedelta(seconds=1),
                              Lane.LOW, 100)),
    ],
    ids=repr,
)  # fmt: skip
def test_a_rank_is_smaller_for_whom_it_is_sooner(sooner: Any, later: Any) -> None:
    assert rank_of(*sooner) < rank_of(*later)


async def test_runs_are_served_by_lane_then_priority_then_age(database: Database) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    low = await executed(database, ann, project, Lane.LOW, priority=100)
    old = await executed(database, ann, project)
    new = await executed(database, ann, project)
    urgent = await executed(database, ann, project, priority=9)
    high = await executed(database, ann, project, Lane.HIGH)

    assert [high, urgent, old, new, low] == await claimed(database)


async def test_a_claim_takes_no_more_than_it_asks_for(database: Database) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    first, second, third = [await executed(database, ann, project) for _ in range(3)]

    assert [first, second] == await claimed(database, 2)
    assert [third] == await claimed(database, 2)
    assert [] == await claimed(database, 2)


async def test_a_project_has_no_more_runs_at_once_than_it_may(database: Database) -> None:
    ann = await record.person(database)
    limits = {"max_concurrent_tasks": 2}
    narrow = await record.project(database, ann, resource_limits=limits)
    wide = await record.project(database, ann)
    mine = [await executed(database, ann, narrow) for _ in range(3)]
    other = await executed(database, ann, wide)

    assert {*mine[:2], other} == set(await claimed(database))
    assert [] == await claimed(database)


async def test_a_user_has_no_more_commands_at_once_than_a_user_may(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    for _ in range(MOST_RUNS_OF_A_USER + 1):
        await database.write(commands.execute, ann, command="true")
    other = await database.write(commands.execute, bob, command="true")

    found = await claimed(database)
    assert MOST_RUNS_OF_A_USER + 1 == len(found)
    assert other in found


async def test_one_project_does_not_starve_the_others(database: Database) -> None:
    ann = await record.person(database)
    busy, other = [await record.project(database, ann) for _ in range(2)]
    first, second, _ = [await executed(database, ann, busy) for _ in range(3)]
    later = await executed(database, ann, other)

    # Each run that a project has already pushes its next ones back.
    assert [first] == await claimed(database, 1)
    assert [later, second] == [await claimed_one(database) for _ in range(2)]


async def claimed_one(database: Database) -> str:
    (run_id,) = await claimed(database, 1)
    return run_id


async def test_a_paused_lane_waits(database: Database) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    await executed(database, ann, project, Lane.HIGH)
    normal = await executed(database, ann, project)

    def pause(tx: Tx) -> None:
        tx.execute(update(lanes).where(lanes.c.name == "high").values(paused_at=tx.now))

    await database.write(pause)
    assert [normal] == await claimed(database)


async def test_a_position_counts_who_is_served_before_in_the_same_lane(
    database: Database,
) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    await executed(database, ann, project, Lane.HIGH)
    await executed(database, ann, project)
    await executed(database, ann, project)
    urgent = await record.task(database, ann, project, priority=5, metadata=COMMAND)
    last = await record.task(database, ann, project, metadata=COMMAND)

    first_place, last_place = [
        await database.enact(queueing.place, 100, tasks.to_execute, ann, task, Lane.NORMAL, {})
        for task in (urgent, last)
    ]
    assert (1, 4) == (first_place.position, last_place.position)
    assert (1, urgent) == (first_place.number, first_place.task_id)


async def test_a_run_is_seen_by_its_user_and_by_who_sees_its_project(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    root = await record.person(database, "root", Role.ADMIN)
    run_id = await database.write(commands.execute, ann, command="true")

    assert run_id == (await database.write(runs.get, ann, run_id)).id
    assert run_id == (await database.write(runs.get, root, run_id)).id
    with pytest.raises(Problem) as refused:
        await database.write(runs.get, bob, run_id)
    assert "RESOURCE_NOT_FOUND" == refused.value.code


@pytest.mark.parametrize(
    ("meanwhile", "refusal"), [(tasks.execute, TaskAlreadyRunning), (tasks.remove, TaskNotFound)]
)
async def test_what_becomes_of_a_task_between_the_read_and_the_write_of_its_execution_counts(
    postgres_url: str, meanwhile: Any, refusal: type[Problem]
) -> None:
    async with opened(postgres_url, 1) as (database,):
        ann = await record.person(database)
        project = await record.project(database, ann)
        task = await record.task(database, ann, project, metadata=COMMAND)
        others = [meanwhile]

        async def by_another() -> None:
            async with opened(postgres_url, 1) as (another,):
                await another.write(others.pop(), ann, task)

        def overtaken(at: Moment) -> Writing[str]:
            queued = yield from tasks.to_execute(at, ann, task, Lane.NORMAL, {})
            if others:
                thread = Thread(target=asyncio.run, args=(by_another(),))
                thread.start()
                thread.join()
            return (yield from queueing.add(at, queued))

        with pytest.raises(refusal):
            await database.enact(overtaken)
        told = await database.rows(select(events.c.id).where(events.c.kind == "task.queued"))

    assert [] == others
    assert len(told) == (meanwhile is tasks.execute)


async def test_when_a_run_should_start_is_told_by_how_long_those_took_before_all_that_wait(
    database: Database,
) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    await database.write(claims.enlist, "host", "boot", 1, 1, 2)
    ended = [await executed(database, ann, project) for _ in range(2)]

    def end(tx: Tx) -> None:
        for run_id, seconds in zip(ended, (5, 15), strict=True):
            times = {"started_at": NOW, "finished_at": NOW + timedelta(seconds=seconds)}
            values = {"status": RunStatus.COMPLETED, **times}
            tx.execute(update(rows).where(rows.c.id == run_id).values(values))
            tx.execute(delete(waiting).where(waiting.c.run_id == run_id))

    await database.write(end)
    for _ in range(queueing.RUNS_TO_ESTIMATE_BY + 1):
        await executed(database, ann, project)
    task = await record.task(database, ann, project, metadata=COMMAND)
    before = datetime.now(UTC)
    place = await database.enact(queueing.place, 1000, tasks.to_execute, ann, task, Lane.NORMAL, {})

    # 51 wait for two slots, and each takes ten seconds.
    assert 52 == place.position
    assert 250 == pytest.approx((place.estimated_start_at - before).total_seconds(), abs=2)


async def test_a_task_that_many_execute_at_once_is_queued_once(database: Database) -> None:
    ann = await record.person(database)
    task = await record.task(database, ann, await record.project(database, ann), metadata=COMMAND)
    answers = await asyncio.gather(
        *(database.enact(tasks.executing, ann, task, Lane.NORMAL, {}) for _ in range(10)),
        return_exceptions=True,
    )
    told = await database.rows(select(events.c.id).where(events.c.kind == "task.queued"))

    refused = [answer for answer in answers if isinstance(answer, TaskAlreadyRunning)]
    assert (9, 1) == (len(refused), len(told))
