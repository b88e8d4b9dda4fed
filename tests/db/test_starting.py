"""Tasks that start by themselves."""

from sqlalchemy import select, update

from db import starting
from db.engine import Database, Tx
from db.tables import events, runs, tasks
from db.types import TaskStatus
from tests.db import queues


async def test_a_task_starts_by_itself_once_all_it_waits_for_has_completed(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        waiting, first, second = await database.write(three_tasks)
        tried = [await database.write(starting.start_ready)]
        for other in (first, second):
            await set_status(database, other, TaskStatus.COMPLETED)
            tried.append(await database.write(starting.start_ready))
        tried.append(await database.write(starting.start_ready))
        found = await database.rows(select(runs.c.task_id))

    assert [0, 0, 1, 0] == tried
    assert [waiting] == [run.task_id for run in found]


async def test_a_task_does_not_start_by_itself_when_what_it_waits_for_fails(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        _, first, second = await database.write(three_tasks)
        await set_status(database, first, TaskStatus.COMPLETED)
        await set_status(database, second, TaskStatus.FAILED)

        assert 0 == await database.write(starting.start_ready)


async def test_a_task_that_cannot_start_by_itself_says_why_and_is_left_alone(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 1) as (database,):
        waiting, first, second = await database.write(three_tasks)
        for other in (first, second):
            await set_status(database, other, TaskStatus.COMPLETED)
        nothing = update(tasks).where(tasks.c.id == waiting).values({"metadata": {"command": " "}})
        await queues.carry_out(database, nothing)
        tried = [await database.write(starting.start_ready) for _ in range(2)]
        event = await database.first(select(events).where(events.c.kind == "task.not_started"))

    assert [1, 0] == tried
    assert event
    assert waiting == event.task_id
    assert "metadata.command" in str(event.data) or event.data["details"]["error_code"]


def three_tasks(tx: Tx) -> tuple[str, str, str]:
    """A task that starts by itself, and the two that it waits for."""
    user = queues.add_user(tx, "user")
    waiting, first, second = queues.add_tasks(tx, user, queues.add_project(tx, user, 5), 3)
    queues.add_dependencies(tx, [(waiting, first), (waiting, second)])
    tx.execute(update(tasks).where(tasks.c.id == waiting).values(auto_start=True))
    return waiting, first, second


async def set_status(database: Database, task_id: str, status: TaskStatus) -> None:
    changed = update(tasks).where(tasks.c.id == task_id).values(status=status)
    await queues.carry_out(database, changed)
