"""Many reports at once, of several kinds: each run takes its own step, and all are told."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Dialect, select

from db import claims, lifecycle, steps
from db.engine import Database, Tx
from db.lifecycle import Begun, Ended, Outcome, Postponed, Released, Report
from db.postgres import with_driver
from db.tables import events, runs, tasks
from db.types import Lane, RunStatus, TaskStatus
from tests.db import queues

DONE = Outcome(RunStatus.COMPLETED, 0, last_seq=2, total_bytes=10, sha256="abc")
FAILED = Outcome(RunStatus.FAILED, 3, "TASK_EXECUTION_FAILED", "Exited with code 3")
RETRIED = {"max_attempts": 2, "options": {"retry_delay": 60}}


async def test_each_of_many_runs_takes_its_own_step(database: Database) -> None:
    claimed = await database.write(claimed_runs, {"retried": RETRIED})
    others = [run for word, run in claimed.items() if word != "begun"]
    begun = [Begun(run.id, run.fence, "boot", 7 + place, 70 + place)
             for place, run in enumerate(others)]  # fmt: skip
    assert {run.id for run in others} == await database.enact(lifecycle.record, begun)
    reports: dict[str, Callable[[Any], Report]] = {
        "completed": lambda run: Ended(run.id, run.fence, DONE),
        "failed": lambda run: Ended(run.id, run.fence, FAILED),
        "retried": lambda run: Ended(run.id, run.fence, FAILED),
        "released": lambda run: Released(run.id, run.fence),
        "postponed": lambda run: Postponed(run.id, run.fence, 60),
        "stale": lambda run: Ended(run.id, run.fence - 1, DONE),
        "begun": lambda run: Begun(run.id, run.fence, "boot", 99, 990),
        "command": lambda run: Ended(run.id, run.fence, DONE),
    }
    accepted = await database.enact(
        lifecycle.record, [report(claimed[word]) for word, report in reports.items()]
    )
    found = {row.id: row for row in await database.rows(select(runs))}
    now = {word: found[run.id] for word, run in claimed.items()}

    assert {run.id for word, run in claimed.items() if word != "stale"} == accepted
    assert {
        "completed": "completed", "failed": "failed", "retried": "queued", "released": "queued",
        "postponed": "queued", "stale": "running", "begun": "running", "command": "completed",
    } == {word: row.status for word, row in now.items()}  # fmt: skip
    assert (0, 2, 10, "abc") == (
        now["completed"].exit_code,
        now["completed"].last_seq,
        now["completed"].total_bytes,
        now["completed"].sha256,
    )
    assert (3, "Exited with code 3") == (now["failed"].exit_code, now["failed"].error_message)
    assert (99, 990) == (now["begun"].pid, now["begun"].pid_started)
    assert [1, 0, 0] == [now[word].attempt for word in ("retried", "released", "postponed")]
    later = {word for word, row in now.items() if row.due_at > claimed[word].claimed_at}
    assert {"retried", "postponed"} <= later
    assert not {"completed", "failed", "stale", "begun"} & later


async def test_a_stale_step_is_not_taken_beside_one_of_the_same_run(database: Database) -> None:
    run = (await database.write(claimed_runs, {}))["completed"]
    fence = run.fence
    late, due = Ended(run.id, fence - 1, DONE), Begun(run.id, fence, "boot", 7, 77)
    accepted = await database.enact(lifecycle.record, [late, due])
    (now,) = await database.rows(select(runs).where(runs.c.id == run.id))

    assert {run.id} == accepted
    assert (RunStatus.RUNNING, fence, 7) == (now.status, now.fence, now.pid)


async def test_a_beginning_that_is_reported_twice_is_told_once(postgres_url: str) -> None:
    """As when the answer to the commit was lost."""
    async with queues.opened(postgres_url, 1) as (database,):
        run = (await database.write(claimed_runs, {}))["completed"]
        begun = [Begun(run.id, run.fence, "boot", 7, 77)]
        accepted = [await database.enact(lifecycle.record, begun) for _ in range(2)]
        told = await database.rows(select(events.c.kind).where(events.c.run_id == run.id))

    assert [{run.id}, {run.id}] == accepted
    assert ["task.started"] == [event.kind for event in told]


async def test_what_is_told_of_a_task_is_how_it_was_and_is(database: Database) -> None:
    claimed = await database.write(claimed_runs, {})
    done, own = claimed["completed"], claimed["command"]
    both = [Begun(run.id, run.fence, "boot", 7, 77) for run in (done, own)]
    await database.enact(lifecycle.record, both)
    await database.enact(lifecycle.record, [Ended(run.id, run.fence, DONE) for run in (done, own)])
    told = await database.rows(select(events).order_by(events.c.seq))
    data = {(row.run_id, row.kind): row.data for row in told}
    (task,) = await database.rows(select(tasks).where(tasks.c.id == done.task_id))
    seconds = (task.completed_at - task.started_at).total_seconds()
    of_end = {"exit_code": 0, "error_code": None, "error": None}

    assert {
        "title": 'Task "ü"',
        "status": "running",
        "progress_percentage": 0,
        "duration_seconds": None,
        "details": {"old_value": "pending", "new_value": "running"},
    } == data[done.id, "task.started"]
    ended = data[done.id, "task.completed"]
    assert abs(seconds - ended.pop("duration_seconds")) < 0.002
    assert {
        "title": 'Task "ü"',
        "status": "completed",
        "progress_percentage": 100,
        "details": {"old_value": "running", "new_value": "completed", **of_end},
    } == ended
    assert {"pid": 7} == data[own.id, "run.started"]
    assert of_end == data[own.id, "run.completed"]


async def test_only_those_are_woken_whose_run_took_its_step(database: Database) -> None:
    claimed = await database.write(claimed_runs, {})
    took, stale = claimed["completed"], claimed["stale"]

    def unit(tx: Tx) -> set[str]:
        ends = [Ended(took.id, took.fence, DONE), Ended(stale.id, stale.fence - 1, DONE)]
        tx.enact(lifecycle.record(tx, ends))
        return tx.topics

    topics = await database.write(unit)

    assert {"events", "runs", "completed", f"run:{took.id}", f"task:{took.task_id}"} <= topics
    assert topics.isdisjoint({f"run:{stale.id}", f"task:{stale.task_id}"})


def test_all_runs_are_locked_in_order_by_one_statement() -> None:
    dialect: Dialect = with_driver("postgresql://").get_dialect()()
    kinds = [
        (steps._Kind(True, False, True, "", ("status",), ("status",)), ("id", "fence", "event_id")),
        (steps._Kind(False, True, False, "leases", ("status", "worker_id"), ("status",)),
         ("id", "fence", "pause")),
    ]  # fmt: skip
    sql = steps._at_once(tuple(kinds))._for(dialect).sql

    assert 1 == sql.count("FOR UPDATE") == sql.count("ORDER BY runs.id FOR UPDATE OF runs")
    assert "VARCHAR(" not in sql, "text would be cut off"


def claimed_runs(tx: Tx, special: Mapping[str, Any]) -> Mapping[str, Any]:
    """A claimed run for each word, of a task each but for `command`."""
    user = queues.add_user(tx, "user")
    worker = claims.enlist(tx, "host", "boot", 1, 1, 10)
    project = queues.add_project(tx, user, 10)
    words = ("completed", "failed", "retried", "released", "postponed", "stale", "begun")
    for word, task_id in zip(words, queues.add_tasks(tx, user, project, len(words)), strict=True):
        tx.execute(tasks.update().where(tasks.c.id == task_id).values(title='Task "ü"'))
        mine: dict[str, Any] = {
            "task_id": task_id,
            "project_id": project,
            "working_directory": word,
        }
        queues.enqueue(tx, user, Lane.NORMAL, **mine, **special.get(word, {}))
    queues.enqueue(tx, user, Lane.NORMAL, working_directory="command")
    assert TaskStatus.PENDING == tx.scalar(select(tasks.c.status).limit(1))
    return {run.working_directory: run for run in tx.enact(claims.claim(tx, worker, 10))}
