"""What happens to a run and to its task together, and to whom nothing happens any more."""

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from db import approvals, claims, commands, events, lifecycle, output, queueing, tasks
from db.actors import Actor
from db.approvals import Request
from db.engine import Database
from db.errors import Problem
from db.lifecycle import Begun, Ended, Outcome, Released, Report
from db.output import Chunk
from db.queueing import Place
from db.tables import approvals as approval_rows
from db.tables import events as log
from db.tables import runs
from db.types import Lane, RunStatus, Stream
from tests.db import record

DONE = Outcome(RunStatus.COMPLETED, 0, last_seq=2, total_bytes=10, sha256="abc")
FAILED = Outcome(RunStatus.FAILED, 1, "TASK_EXECUTION_FAILED", "Exited with code 1")


@dataclass
class Story:
    """A task that is executed, and who does it."""

    database: Database
    actor: Actor
    task_id: str
    worker_id: str

    async def execute(self, **options: Any) -> str:
        return await self.database.write(
            tasks.execute, self.actor, self.task_id, Lane.NORMAL, options
        )

    async def retry(self) -> Place:
        return await self.database.enact(
            queueing.place, 100, tasks.to_retry, self.actor, self.task_id
        )

    async def claim(self) -> Any:
        (run,) = await self.database.enact(claims.claim, self.worker_id, 1)
        return run

    async def begin(self, run: Any) -> None:
        assert await self.report(Begun(run.id, run.fence, "boot", 7, 77))

    async def report(self, report: Report) -> set[str]:
        return await self.database.enact(lifecycle.record, [report])

    async def run(self, run_id: str) -> Any:
        return await self.database.first(select(runs).where(runs.c.id == run_id))

    async def states(self, run_id: str) -> tuple[str, str]:
        """Of the run and of the task."""
        run, task = await self.run(run_id), await record.stored(self.database, self.task_id)
        return run.status, task.status

    async def told(self) -> list[str]:
        """What was told of the task, since it was created."""
        mine = select(log.c.kind).where(log.c.task_id == self.task_id)
        rows = await self.database.rows(mine.order_by(log.c.tx, log.c.seq))
        return [row.kind for row in rows[1:]]


@pytest.fixture
async def story(database: Database) -> Story:
    ann = await record.person(database)
    project = await record.project(database, ann)
    task = await record.task(database, ann, project, metadata={"command": "true"})
    worker = await database.write(claims.enlist, "host", "boot", 1, 1, 4)
    return Story(database, ann, task, worker)


async def test_a_run_takes_its_task_with_it_from_the_queue_to_its_end(story: Story) -> None:
    run_id = await story.execute()
    seen = [await story.states(run_id)]
    run = await story.claim()
    await story.begin(run)
    seen.append(await story.states(run_id))
    await story.report(Ended(run.id, run.fence, DONE))
    seen.append(await story.states(run_id))
    ended = await story.run(run_id)
    task = await record.stored(story.database, story.task_id)

    assert [("queued", "pending"), ("running", "running"), ("completed", "completed")] == seen
    assert (7, 0, 2, 10, "abc") == (
        ended.pid,
        ended.exit_code,
        ended.last_seq,
        ended.total_bytes,
        ended.sha256,
    )
    assert ended.started_at <= ended.finished_at
    assert (100, ended.finished_at) == (task.progress_percentage, task.completed_at)
    assert ["task.queued", "task.started", "task.completed"] == await story.told()


async def test_a_task_is_executed_once_at_a_time(story: Story) -> None:
    await story.execute()
    with pytest.raises(Problem) as refused:
        await story.execute()

    assert "TASK_ALREADY_RUNNING" == refused.value.code
    assert ["task.queued"] == await story.told()


@pytest.mark.parametrize("kind", ["begun", "ended", "released"])
async def test_a_report_with_a_fence_of_before_changes_nothing(story: Story, kind: str) -> None:
    run_id = await story.execute(retry_attempts=3)
    old = await story.claim()
    await story.begin(old)
    await story.report(Released(old.id, old.fence))
    new = await story.claim()
    await story.begin(new)
    before = await story.run(run_id)
    reports: dict[str, Report] = {
        "begun": Begun(run_id, old.fence, "boot", 8, 88),
        "ended": Ended(run_id, old.fence, DONE),
        "released": Released(run_id, old.fence),
    }
    accepted = await story.report(reports[kind])

    assert set() == accepted
    assert before == await story.run(run_id)
    assert old.fence < new.fence


async def test_a_report_that_comes_twice_counts_once(story: Story) -> None:
    run_id = await story.execute()
    run = await story.claim()
    await story.begin(run)
    first = await story.report(Ended(run.id, run.fence, DONE))
    second = await story.report(Ended(run.id, run.fence, FAILED))

    assert ({run_id}, set()) == (first, second)
    assert ("completed", "completed") == await story.states(run_id)


async def test_a_run_that_fails_is_tried_again_as_often_as_it_may(story: Story) -> None:
    run_id = await story.execute(retry_attempts=1)
    run = await story.claim()
    await story.begin(run)
    await story.report(Ended(run.id, run.fence, FAILED))
    waiting = await story.run(run_id)

    assert ("queued", "pending") == await story.states(run_id)
    assert waiting.due_at > waiting.claimed_at
    assert (1, "Exited with code 1") == (waiting.attempt, waiting.error_message)
    assert "task.retrying" == (await story.told())[-1]


async def test_a_run_that_failed_for_good_takes_its_task_with_it(story: Story) -> None:
    run_id = await story.execute(retry_attempts=0)
    run = await story.claim()
    await story.begin(run)
    await story.report(Ended(run.id, run.fence, FAILED))
    ended = await story.run(run_id)

    assert ("failed", "failed") == await story.states(run_id)
    assert (1, "TASK_EXECUTION_FAILED") == (ended.exit_code, ended.error_code)


async def test_what_cannot_succeed_is_not_tried_again(story: Story) -> None:
    run_id = await story.execute(retry_attempts=5)
    run = await story.claim()
    never = Outcome(RunStatus.FAILED, 127, "TASK_EXECUTION_FAILED", "no claude", may_retry=False)
    await story.report(Ended(run.id, run.fence, never))

    assert ("failed", "failed") == await story.states(run_id)


async def test_a_run_that_is_handed_back_has_not_been_tried(story: Story) -> None:
    run_id = await story.execute()
    run = await story.claim()
    await story.begin(run)
    await story.report(Released(run.id, run.fence))
    waiting = await story.run(run_id)

    assert ("queued", "pending") == await story.states(run_id)
    assert (0, None) == (waiting.attempt, waiting.worker_id)
    assert run_id == (await story.claim()).id


async def test_a_command_that_has_begun_is_never_run_twice(story: Story) -> None:
    run_id = await story.database.write(commands.execute, story.actor, command="true")
    run = await story.claim()
    await story.begin(run)
    await story.report(Released(run.id, run.fence))
    ended = await story.run(run_id)

    assert ("failed", "WORKER_LOST") == (ended.status, ended.error_code)


async def test_a_queued_run_is_cancelled_at_once(story: Story) -> None:
    run_id = await story.execute()
    await story.database.write(tasks.cancel, story.actor, story.task_id, "not needed")
    ended = await story.run(run_id)

    assert ("cancelled", "cancelled") == await story.states(run_id)
    assert ("TASK_CANCELLED", "not needed") == (ended.error_code, ended.cancel_reason)
    assert [] == await story.database.enact(claims.claim, story.worker_id, 1)


async def test_a_running_run_is_asked_to_end_and_its_end_then_counts_as_cancelled(
    story: Story,
) -> None:
    run_id = await story.execute(retry_attempts=3)
    run = await story.claim()
    await story.begin(run)
    await story.database.write(tasks.cancel, story.actor, story.task_id, "stop it")
    asked = await story.states(run_id)
    held = await story.database.write(claims.beat, story.worker_id, [run_id])
    await story.report(Ended(run.id, run.fence, Outcome(RunStatus.FAILED, -15)))
    ended = await story.run(run_id)

    assert ("running", "running") == asked
    assert {run_id: True} == held
    assert ("cancelled", "cancelled") == await story.states(run_id)
    assert (-15, "TASK_CANCELLED") == (ended.exit_code, ended.error_code)


async def test_what_completed_before_it_could_be_cancelled_is_completed(story: Story) -> None:
    run_id = await story.execute()
    run = await story.claim()
    await story.begin(run)
    await story.database.write(tasks.cancel, story.actor, story.task_id)
    await story.report(Ended(run.id, run.fence, DONE))

    assert ("completed", "completed") == await story.states(run_id)


async def test_what_has_ended_is_not_cancelled(story: Story) -> None:
    await story.execute()
    run = await story.claim()
    await story.report(Ended(run.id, run.fence, DONE))
    with pytest.raises(Problem) as refused:
        await story.database.write(tasks.cancel, story.actor, story.task_id)

    assert ("VALIDATION_ERROR", "status") == (
        refused.value.code,
        refused.value.details["field"],
    )


async def test_a_task_that_failed_is_executed_again_with_the_same_options(story: Story) -> None:
    await story.execute(timeout=33)
    run = await story.claim()
    await story.report(Ended(run.id, run.fence, FAILED))
    again = await story.retry()
    second = await story.run(again.run_id)

    assert (2, 33, "queued") == (second.number, second.timeout_seconds, second.status)
    assert "pending" == (await record.stored(story.database, story.task_id)).status


async def test_a_task_that_never_failed_is_not_retried(story: Story) -> None:
    with pytest.raises(Problem) as refused:
        await story.retry()

    assert "VALIDATION_ERROR" == refused.value.code


@pytest.mark.parametrize(("retries", "state"), [(0, "failed"), (1, "queued")])
async def test_a_run_whose_worker_is_gone_is_given_its_next_state(
    story: Story, retries: int, state: str
) -> None:
    run_id = await story.execute(retry_attempts=retries)
    run = await story.claim()
    await story.begin(run)
    await story.database.write(claims.dismiss, story.worker_id)
    late = await story.report(Ended(run.id, run.fence, DONE))
    found = await story.run(run_id)

    assert (state, "WORKER_LOST") == (found.status, found.error_code)
    assert set() == late


async def test_each_step_is_told_to_whoever_follows_the_run(story: Story) -> None:
    run_id = await story.execute()
    run = await story.claim()
    await story.begin(run)
    with story.database.bus.listen(f"run:{run_id}") as listener:
        await story.report(Ended(run.id, run.fence, DONE))
        await listener.wait(10)
    followed = await story.database.rows(events.after(events.START, limit=100))

    assert run_id == followed[-1].run_id


async def test_what_an_agent_asked_is_withdrawn_when_its_run_has_ended(story: Story) -> None:
    await story.execute(runner="claude")
    run = await story.claim()
    asked = await story.database.write(
        approvals.ask, run.id, run.fence, Request("1", "Bash", {}, {}), 60, ()
    )
    assert asked
    await story.report(Ended(run.id, run.fence, FAILED))
    found = await story.database.first(select(approval_rows))
    told = await story.database.rows(select(log.c.kind).where(log.c.kind.like("approval.%")))

    assert found
    assert (asked.id, "withdrawn", approvals.WITHDRAWN) == (found.id, found.status, found.reason)
    assert ["approval.requested", "approval.withdrawn"] == [row.kind for row in told]


@pytest.mark.parametrize("retries", [0, 1])
async def test_what_was_printed_counts_though_nobody_knows_how_the_run_ended(
    story: Story, retries: int
) -> None:
    run_id = await story.execute(retry_attempts=retries)
    run = await story.claim()
    printed = [Chunk(seq, Stream.STDOUT, b"12345", run.claimed_at) for seq in (1, 2)]
    await story.database.write(output.append, run.id, run.fence, 10, printed)
    await story.report(Ended(run.id, run.fence, FAILED))
    found = await story.run(run_id)

    assert (2, 10) == (found.last_seq, found.total_bytes)
