"""The order in which runs are served, and who has to wait."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db import claims, commands, queueing, runs, tasks
from db.actors import Actor
from db.claims import MOST_RUNS_OF_A_USER
from db.engine import Database, Tx
from db.errors import Problem, TaskAlreadyRunning
from db.runs import HEAD_START, HEAD_START_PER_PRIORITY, rank_of
from db.tables import events, lanes
from db.tables import runs as rows
from db.types import Lane, Role
from tests.db import record

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


async def test_a_second_active_run_of_a_task_is_refused_by_the_table(database: Database) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    run_id = await executed(database, ann, project)
    row = await database.first(select(rows).where(rows.c.id == run_id))
    assert row

    def again(tx: Tx) -> str:
        words: dict[str, Any] = {"command": "true", "runner": row.runner, "lane": Lane.LOW}
        return runs.enqueue(tx, ann, task_id=row.task_id, project_id=project, **words)

    with pytest.raises(Problem) as refused:
        await database.write(again)
    assert "TASK_ALREADY_RUNNING" == refused.value.code


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
