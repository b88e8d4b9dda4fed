"""The worker: retries, timeouts, what becomes of runs when it stops or loses the database."""

import asyncio
import errno
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from select import select as select_ready
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from app import create_worker
from db import claims, lifecycle, projects, tasks
from db.actors import Actor
from db.clock import from_now
from db.engine import Database, Tx
from db.errors import DatabaseUnavailable
from db.lifecycle import Outcome
from db.tables import chunks, events, leases, runs, workers
from db.tables import tasks as task_rows
from db.types import Lane, RunStatus, Stream
from runners import process as process_module
from runners import survivors
from runners import worker as worker_module
from runners.adapter import EXECUTION_FAILED, Effect, Verdict
from runners.execution import Execution
from runners.stops import Stop
from runners.survivors import Identity, is_alive
from runners.worker import Worker, with_run
from settings import Settings
from tests.db import queues
from tests.fixtures.server import settings_for
from tests.runners.commands import parent

PATIENCE_SECONDS = 20
FAILS_ONCE = "[ -e tried ] || { touch tried; exit 3; }"


async def test_a_failed_task_is_tried_again_and_what_it_printed_stays(
    database_url: str, tmp_path: Path
) -> None:
    async with working(database_url, tmp_path) as (database, _):
        options = {"retry_attempts": 2, "retry_delay": 0.01}
        run_id = await executed(database, f"echo once; {FAILS_ONCE}", options)
        run = await until(database, run_id, has_ended)
        told = await kinds(database, run_id)

    assert (RunStatus.COMPLETED, 2, 0) == (run.status, run.attempt, run.exit_code)
    assert len("once\n") * 2 == run.total_bytes
    assert [
        "task.queued",
        "task.started",
        "task.retrying",
        "task.started",
        "task.completed",
    ] == told


async def test_a_task_that_keeps_failing_has_failed_after_its_retries(
    database_url: str, tmp_path: Path
) -> None:
    async with working(database_url, tmp_path) as (database, _):
        options = {"retry_attempts": 1, "retry_delay": 0.01}
        run_id = await executed(database, "exit 3", options)
        run = await until(database, run_id, has_ended)

    assert (RunStatus.FAILED, 2, 3) == (run.status, run.attempt, run.exit_code)


async def test_a_project_says_how_often_its_tasks_are_tried_again(
    database_url: str, tmp_path: Path
) -> None:
    async with working(database_url, tmp_path) as (database, _):
        run_id = await executed(database, "true", {}, defaults=(4, 60))
        run = await until(database, run_id, has_ended)

    assert (5, 60) == (run.max_attempts, run.timeout_seconds)


async def test_what_takes_too_long_fails_with_a_timeout(database_url: str, tmp_path: Path) -> None:
    async with working(database_url, tmp_path, default_timeout_seconds=1) as (database, _):
        run_id = await executed(database, "sleep 600", {})
        run = await until(database, run_id, has_ended)

    assert (RunStatus.FAILED, "TASK_TIMEOUT") == (run.status, run.error_code)


async def test_what_uses_more_than_the_settings_allow_is_ended(
    database_url: str, tmp_path: Path
) -> None:
    bounds = {"run_cpu_seconds": 1, "run_file_size_bytes": 1000}
    async with working(database_url, tmp_path, **bounds) as (database, _):
        run_id = await executed(
            database, "head -c 2000 /dev/zero > file; wc -c < file; while :; do :; done", {}
        )
        run = await until(database, run_id, has_ended)
        printed = await database.rows(
            select(chunks.c.content).where(chunks.c.run_id == run_id, chunks.c.stream == "stdout")
        )

    assert (RunStatus.FAILED, -signal.SIGXCPU) == (run.status, run.exit_code)
    assert b"1000\n" == b"".join(piece.content for piece in printed)


def test_pauses_between_tries_grow_and_are_not_all_the_same() -> None:
    tries: list[Any] = [SimpleNamespace(options={}, attempt=number) for number in range(1, 13)]
    pauses = [[lifecycle._pause_after(run) for _ in range(20)] for run in tries]

    assert all(0.5 * 2**n <= pause <= 2**n for n in range(8) for pause in pauses[n])
    assert max(pauses[-1]) <= lifecycle.LONGEST_RETRY_DELAY_SECONDS
    assert all(len(set(some)) > 1 for some in pauses)


async def test_a_worker_that_stops_hands_back_what_runs_without_counting_the_attempt(
    database_url: str, tmp_path: Path
) -> None:
    async with working(database_url, tmp_path) as (database, _):
        run_id = await executed(database, "sleep 600", {})
        await until(database, run_id, has_started)

    async with queues.opened(database_url, 1) as (database,):
        run = await until(database, run_id, lambda run: run.status != RunStatus.RUNNING)
        left = await database.rows(select(workers))

    assert (RunStatus.QUEUED, 0, None) == (run.status, run.attempt, run.worker_id)
    assert [] == left


async def test_a_worker_that_claims_no_more_ends_what_it_has(
    database_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with working(database_url, tmp_path, drain_seconds=10) as (database, worker):
        first = await executed(database, f"until [ -e {gate} ]; do sleep 0.05; done", {})
        await until(database, first, has_started)
        worker.stop_claiming()
        second = await executed(database, "true", {})
        gate.touch()
        run = await until(database, first, has_ended)
        other = await until(database, second, lambda _: True)

    assert RunStatus.COMPLETED == run.status
    assert RunStatus.QUEUED == other.status


async def test_a_worker_that_stops_waits_as_well_for_what_its_last_turn_has_claimed(
    sqlite_url: str, tmp_path: Path
) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    commands = [f": {gate.name}; until [ -e {gate} ]; do sleep 0.05; done" for gate in gates]
    async with queues.opened(sqlite_url, 1) as (database,):
        worker = create_worker(settings_for(sqlite_url, tmp_path, drain_seconds=20), database)
        ids, stopping = await claimed_at_the_last_moment(database, worker, commands)
        ended = []
        for run_id, gate in zip(ids, gates, strict=True):
            gate.touch()
            ended.append(await until(database, run_id, lambda run: not is_running(run)))
        await stopping

    assert [(RunStatus.COMPLETED, 1)] * 2 == [(run.status, run.attempt) for run in ended]


async def test_a_worker_that_hands_back_what_runs_hands_back_what_it_has_just_claimed(
    sqlite_url: str, tmp_path: Path
) -> None:
    commands = ["trap '' TERM; while :; do sleep 0.1; done", "exec sleep 600"]
    async with queues.opened(sqlite_url, 1) as (database,):
        worker = create_worker(settings_for(sqlite_url, tmp_path, stop_grace_seconds=2), database)
        ids, stopping = await claimed_at_the_last_moment(database, worker, commands)
        await stopping
        found = [await until(database, run_id, lambda _: True) for run_id in ids]

    assert [(RunStatus.QUEUED, 0)] * 2 == [(run.status, run.attempt) for run in found]


async def test_a_worker_that_stops_waits_until_an_agent_was_asked_and_then_made_to_end(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program(_: Execution) -> Deaf:
        return Deaf()

    monkeypatch.setattr(Execution, "_program", program)
    monkeypatch.setattr(worker_module, "LAST_WORDS_SECONDS", 1.5)
    async with working(database_url, tmp_path, stop_grace_seconds=2) as (database, _):
        run_id = await executed(database, "what an agent does", {})
        await until(database, run_id, has_started)

    async with queues.opened(database_url, 1) as (database,):
        run = await until(database, run_id, lambda _: True)

    assert (RunStatus.QUEUED, 0) == (run.status, run.attempt)


async def test_a_worker_that_cannot_renew_its_leases_stops_what_runs(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = iter((claims.beat,))

    def answered_once_more(tx: Tx, *held: Any) -> Any:
        return next(beats, unavailable)(tx, *held)

    async with working(database_url, tmp_path) as (database, worker):
        run_id = await executed(database, "exec sleep 600", {})
        run = await until(database, run_id, has_started)
        identity = Identity(run.boot_id, run.pid, run.pid_started)
        monkeypatch.setattr(worker_module, "SELF_FENCE_SECONDS", 0.5)
        monkeypatch.setattr(claims, "beat", answered_once_more)
        database.bus.hint([f"worker:{worker.id}"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait(worker._carrying)
        run = await until(database, run_id, lambda _: True)

    assert not is_alive(identity)
    assert (RunStatus.RUNNING, None) == (run.status, run.finished_at)


async def test_a_worker_that_claims_and_never_renews_stops_what_it_has_claimed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = asyncio.Event()
    monkeypatch.setattr(worker_module, "LEASES_LOST", SimpleNamespace(inc=lost.set))
    monkeypatch.setattr(claims, "beat", unavailable)
    async with working(database_url, tmp_path) as (database, worker):
        worker._put_off_fuse(0)
        monkeypatch.setattr(worker_module, "SELF_FENCE_SECONDS", 0.5)
        run_id = await executed(database, "exec sleep 600", {})
        async with asyncio.timeout(PATIENCE_SECONDS):
            await lost.wait()
        run = await until(database, run_id, lambda _: True)

    assert (worker.id, None) == (run.worker_id, run.finished_at)


async def test_a_worker_does_not_renew_the_lease_of_what_it_has_let_go(
    sqlite_url: str, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(_: Tx) -> None:
        begun.set()
        go_on.wait()

    async with working(sqlite_url, tmp_path) as (database, worker):
        run_id = await executed(database, "exec sleep 600", {})
        await until(database, run_id, has_started)
        holding = asyncio.create_task(database.write(hold_up))
        await asyncio.to_thread(begun.wait)
        before = await held_until(database, run_id)
        worker._put_off_fuse(asyncio.get_running_loop().time() + 0.3)
        database.bus.hint([f"worker:{worker.id}"])  # It wants to renew, and has to wait.
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait(worker._carrying)
        go_on.set()
        await holding
        await database.write(lambda _: None)
        after = await held_until(database, run_id)

    assert before == after


async def test_a_worker_that_loses_a_run_and_gets_it_again_ends_the_first_and_keeps_the_second(
    database_url: str, tmp_path: Path
) -> None:
    async with working(database_url, tmp_path) as (database, worker):
        options = {"retry_attempts": 1, "retry_delay": 0.01}
        run_id = await executed(database, "exec sleep 600", options)
        first = await until(database, run_id, has_started)
        process = os.pidfd_open(first.pid)
        await database.write(lost, run_id)
        second = await until(database, run_id, lambda run: run.attempt == 2 and has_started(run))
        ended, _, _ = await asyncio.to_thread(select_ready, [process], [], [], PATIENCE_SECONDS)
        os.close(process)
        claimed_until = await held_until(database, run_id)
        database.bus.hint([f"worker:{worker.id}"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await held_until(database, run_id) == claimed_until:
                await database.write(lambda _: None)
        renewed = await until(database, run_id, lambda _: True)

    assert [process] == ended
    assert (second.fence, second.pid) == (renewed.fence, renewed.pid)


async def test_a_report_that_the_record_refuses_keeps_no_other_from_it(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = Execution.carry_out

    async def with_what_postgresql_stores_not(execution: Execution) -> Outcome:
        outcome = await carry_out(execution)
        return replace(outcome, error_message="\0") if outcome.exit_code == 3 else outcome

    monkeypatch.setattr(Execution, "carry_out", with_what_postgresql_stores_not)
    async with working(postgres_url, tmp_path) as (database, worker):
        refused = await executed(database, "exit 3", {})
        await until(database, refused, has_started)
        others = [await executed(database, f"true {number}", {}) for number in range(5)]
        completed = [await until(database, run_id, has_ended) for run_id in others]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*worker._carrying)
        await database.write(lost, refused)
        run = await until(database, refused, has_ended)

    assert [RunStatus.COMPLETED] * 5 == [run.status for run in completed]
    assert (RunStatus.FAILED, "WORKER_LOST") == (run.status, run.error_code)


async def test_a_worker_does_not_rescue_what_it_has_in_hand_though_the_lease_is_over(
    database_url: str, tmp_path: Path
) -> None:
    """As after a suspend: the clock on the wall has gone on, and no beat was due meanwhile."""
    gate = tmp_path / "gate"
    async with working(database_url, tmp_path) as (database, worker):
        run_id = await executed(database, f"until [ -e {gate} ]; do sleep 0.05; done", {})
        await until(database, run_id, has_started)
        await queues.carry_out(database, update(leases).values(until=from_now(-60)))
        await worker._rescue()
        gate.touch()
        run = await until(database, run_id, has_ended)

    assert (RunStatus.COMPLETED, 1) == (run.status, run.attempt)


async def test_a_worker_rescues_what_it_has_let_go_or_others_hold(
    database_url: str, tmp_path: Path
) -> None:
    async with working(database_url, tmp_path) as (database, worker):
        options = {"retry_attempts": 1, "retry_delay": 60}
        ids = [await executed(database, f"exec sleep {n}00", options) for n in (6, 7)]
        first, second = [await until(database, run_id, has_started) for run_id in ids]
        of_second = leases.c.run_id == second.id
        await queues.carry_out(database, update(leases).where(of_second).values(worker_id="x"))
        worker._executions[first.id].stop(Stop.LOST)
        await queues.carry_out(database, update(leases).values(until=from_now(-60)))
        await worker._rescue()
        found = [await until(database, run_id, lambda _: True) for run_id in ids]

    assert [RunStatus.QUEUED] * 2 == [run.status for run in found]


async def test_what_is_logged_of_a_run_names_it_and_its_task(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Any) -> Outcome:
        raise RuntimeError

    monkeypatch.setattr(Execution, "carry_out", fail)
    with capture_logs([with_run]) as logs:
        async with working(database_url, tmp_path) as (database, _):
            run_id = await executed(database, "true", {})
            run = await until(database, run_id, has_ended)

    [log] = [log for log in logs if log["event"] == "a run was not carried out"]
    assert (run_id, run.task_id) == (log["run_id"], log["task_id"])
    assert (RunStatus.FAILED, EXECUTION_FAILED) == (run.status, run.error_code)


async def test_what_is_left_of_a_run_is_killed_as_soon_as_the_machine_is_able_to(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter(range(3))

    def sweep(tag: str) -> int:
        if next(refusals, None) is None:
            return survivors.sweep(tag)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(process_module, "sweep", sweep)
    async with working(database_url, tmp_path, worker_concurrency=1) as (database, _):
        run_id = await executed(database, "exec sleep 600", {})
        begun = await until(database, run_id, has_started)
        os.kill(parent(begun.pid), signal.SIGKILL)
        run = await until(database, run_id, has_ended)
        alive = is_alive(Identity(begun.boot_id, begun.pid, begun.pid_started))
        following = await until(database, await executed(database, "true", {}), has_ended)

    assert (RunStatus.FAILED, EXECUTION_FAILED) == (run.status, run.error_code)
    assert not alive
    assert RunStatus.COMPLETED == following.status


async def test_a_run_that_was_claimed_and_never_begun_is_not_lost_with_its_worker(
    database_url: str,
) -> None:
    def unit(tx: Tx) -> str:
        run_id = queues.enqueue(tx, queues.add_user(tx, "user"), Lane.NORMAL)
        worker_id = claims.enlist(tx, "host", "boot", 1, 1, 1)
        tx.enact(claims.claim(tx, worker_id, 1))
        claims.dismiss(tx, worker_id)
        return run_id

    async with queues.opened(database_url, 1) as (database,):
        run_id = await database.write(unit)
        run = await until(database, run_id, lambda _: True)

    assert (RunStatus.QUEUED, 0) == (run.status, run.attempt)


async def claimed_at_the_last_moment(
    database: Database, worker: Worker, commands: Sequence[str]
) -> tuple[list[str], asyncio.Task[None]]:
    """A run that has started, and one that is claimed by a turn under way as the worker stops."""
    holds, may_go_on, may_stop = threading.Event(), threading.Event(), asyncio.Event()

    def hold_up(_: Tx) -> None:
        holds.set()
        may_go_on.wait()

    async def work() -> None:
        async with worker.working():
            await may_stop.wait()

    stopping = asyncio.create_task(work())
    first = await executed(database, commands[0], {})
    await until(database, first, has_started)
    holding = asyncio.create_task(database.write(hold_up))
    await asyncio.to_thread(holds.wait)
    executing = asyncio.create_task(executed(database, commands[1], {}))
    await asyncio.sleep(0)
    database.bus.hint(["runs"])  # The turn waits behind what it is to claim.
    await asyncio.sleep(0.1)
    may_stop.set()
    await asyncio.sleep(0.1)
    may_go_on.set()
    await holding
    second = await executing
    await until(database, second, lambda run: run.claimed_at is not None)
    return [first, second], stopping


class Deaf:
    """An agent that says nothing, and goes on when it is told to stop."""

    argv = ("/bin/sh", "-c", "trap '' INT TERM; while :; do sleep 0.1; done")
    environment: Mapping[str, str] = {}
    home = None

    def opening(self) -> bytes:
        return b""

    def interruption(self) -> bytes:
        return b"stop\n"

    def read(self, _stream: Stream, _data: bytes) -> Iterable[Effect]:
        return ()

    def message(self, _message_id: str, _text: str) -> bytes:
        return b""

    def answer(self, _request_id: str, *, allow: bool, reason: str | None) -> bytes | None:
        return None

    def is_resting(self) -> bool:
        return False

    def patience_seconds(self) -> float | None:
        return None

    def verdict(self, _exit_code: int) -> Verdict:
        return Verdict()


async def test_a_worker_buries_those_only_that_it_would_see_if_they_were_alive(
    database_url: str, tmp_path: Path
) -> None:
    me = survivors.identify(os.getpid())
    here, never = survivors.machine(), me.started_ticks - 1
    elsewhere = f"{here.partition(' ')[0]} pid:[1]"

    def enlist(tx: Tx) -> dict[str, str]:
        return {
            "alive": claims.enlist(tx, here, me.boot_id, me.pid, me.started_ticks, 1),
            "dead": claims.enlist(tx, here, me.boot_id, me.pid, never, 1),
            "in another container": claims.enlist(tx, elsewhere, me.boot_id, me.pid, never, 1),
            "on another machine": claims.enlist(tx, here, "another", me.pid, never, 1),
            "long gone": claims.enlist(tx, elsewhere, "another", me.pid, never, 1),
        }

    async with queues.opened(database_url, 1) as (database,):
        others = await database.write(enlist)
        of_long_gone = update(workers).where(workers.c.id == others["long gone"])
        two_days_ago = from_now(-2 * claims.FORGOTTEN_SECONDS)
        await queues.carry_out(database, of_long_gone.values(seen_at=two_days_ago))
        async with create_worker(settings_for(database_url, tmp_path), database).working():
            found = {row.id for row in await database.rows(select(workers.c.id))}

    left = [name for name, worker_id in others.items() if worker_id in found]
    assert ["alive", "in another container", "on another machine"] == left


@asynccontextmanager
async def working(
    database_url: str, directory: Path, **settings: Any
) -> AsyncIterator[tuple[Database, Worker]]:
    """A database with a worker."""
    chosen: Settings = settings_for(database_url, directory, **settings)
    async with queues.opened(database_url, 1) as (database,):
        worker = create_worker(chosen, database)
        async with worker.working():
            yield database, worker


async def executed(
    database: Database,
    command: str,
    options: dict[str, Any],
    defaults: tuple[int | None, int | None] = (None, None),
) -> str:
    """The run of a fresh task of a fresh project."""

    def unit(tx: Tx) -> str:
        user: Actor = queues.add_user(tx, f"user of {command[:20]}")
        project_id = queues.add_project(tx, user, 5)
        projects.set_defaults(tx, user, project_id, *defaults)
        (task_id,) = queues.add_tasks(tx, user, project_id, 1)
        changed = update(task_rows).where(task_rows.c.id == task_id)
        tx.execute(changed.values({"metadata": {"command": command}}))
        return tasks.execute(tx, user, task_id, Lane.NORMAL, options)

    return await database.write(unit)


async def until(database: Database, run_id: str, is_so: Callable[[Any], bool]) -> Any:
    """The run, as soon as something is so of it."""
    with database.bus.listen(f"run:{run_id}") as listener:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                run = await database.first(select(runs).where(runs.c.id == run_id))
                if is_so(run):
                    return run
                await listener.wait(1)


async def held_until(database: Database, run_id: str) -> datetime:
    """When a run's lease is over."""
    until: datetime = await database.scalar(select(leases.c.until).where(leases.c.run_id == run_id))
    return until


def has_started(run: Any) -> bool:
    return run.started_at is not None


def is_running(run: Any) -> bool:
    return bool(run.status == RunStatus.RUNNING)


def has_ended(run: Any) -> bool:
    return run.finished_at is not None


async def kinds(database: Database, run_id: str) -> list[str]:
    of_run = select(events.c.kind).where(events.c.run_id == run_id).order_by(events.c.seq)
    return [event.kind for event in await database.rows(of_run)]


def lost(tx: Tx, run_id: str) -> None:
    """Let the lease of a run be over, as if its worker had not been heard of for long."""
    tx.execute(update(leases).where(leases.c.run_id == run_id).values(until=from_now(-1)))
    claims.rescue_expired(tx)


def unavailable(*_: Any) -> dict[str, bool]:
    raise DatabaseUnavailable
