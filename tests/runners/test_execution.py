"""A run is carried out to its end, or to the end that is put to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app import connect, create_worker, opened
from db import commands
from db.actors import Actor
from db.engine import Database
from db.output import after
from db.tables import runs
from runners.execution import _failed
from runners.output import Recorder
from runners.stops import Stop
from settings import Settings
from tests.db import record
from tests.fixtures.server import settings_for
from tests.runners.commands import PATIENCE_SECONDS
from tests.runners.witness import UP, witness

ENDED = ("completed", "failed", "cancelled")


@dataclass
class Workshop:
    """A database, whose runs a worker carries out while it is open."""

    settings: Settings
    database: Database
    actor: Actor

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with create_worker(self.settings, self.database).working():
            yield

    async def run(self, command: str, **words: Any) -> str:
        return await self.database.write(commands.execute, self.actor, command=command, **words)

    async def ended(self, run_id: str) -> Any:
        """The run, once it has come to its end."""
        return await self.became(run_id, ENDED)

    async def became(self, run_id: str, states: tuple[str, ...]) -> Any:
        wanted = select(runs).where(runs.c.id == run_id)
        with self.database.bus.listen(f"run:{run_id}") as listener:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    run = await self.database.first(wanted)
                    assert run
                    if run.status in states:
                        return run
                    await listener.wait(1)

    async def printed(self, run_id: str) -> list[tuple[str, str]]:
        rows = await self.database.rows(after(run_id, 0, limit=100))
        return [(row.stream, row.content.decode()) for row in rows]


@pytest.fixture
async def workshop(database_url: str, tmp_path: Path) -> AsyncIterator[Workshop]:
    settings = settings_for(database_url, tmp_path)
    database = connect(settings)
    async with opened(database):
        yield Workshop(settings, database, await record.person(database))


async def test_a_command_is_run_to_its_end(workshop: Workshop) -> None:
    async with workshop.open():
        run_id = await workshop.run("echo out; echo err >&2; exit 3")
        run = await workshop.ended(run_id)

    assert ("failed", 3, "TASK_EXECUTION_FAILED", "Exited with code 3") == (
        run.status,
        run.exit_code,
        run.error_code,
        run.error_message,
    )
    assert {("stdout", "out\n"), ("stderr", "err\n")} == set(await workshop.printed(run_id))
    assert (2, 8) == (run.last_seq, run.total_bytes)
    assert run.pid


async def test_a_command_that_is_not_there_fails_with_127(workshop: Workshop) -> None:
    async with workshop.open():
        run = await workshop.ended(await workshop.run("invalidcommand --now"))

    assert (127, "TASK_EXECUTION_FAILED", "Command not found: invalidcommand") == (
        run.exit_code,
        run.error_code,
        run.error_message,
    )


async def test_a_command_that_is_ended_by_a_signal_without_a_name_keeps_its_exit_code(
    workshop: Workshop,
) -> None:
    async with workshop.open():
        run = await workshop.ended(await workshop.run("echo out; kill -40 $$"))

    assert (-40, "TASK_EXECUTION_FAILED", "Ended by signal 40") == (
        run.exit_code,
        run.error_code,
        run.error_message,
    )
    assert run.sha256


async def test_a_command_that_takes_too_long_is_stopped_with_all_its_children(
    workshop: Workshop, tmp_path: Path
) -> None:
    async with witness(tmp_path) as tree, workshop.open():
        script = f"exec 9>{tmp_path}/witness; trap '' TERM; sleep 1000 & {UP}; sleep 1000; wait"
        run_id = await workshop.run(script, timeout_seconds=1)
        await tree.up()
        run = await workshop.ended(run_id)
        gone = await tree.all_gone()

    assert ("failed", "TASK_TIMEOUT", "Took longer than 1 s") == (
        run.status,
        run.error_code,
        run.error_message,
    )
    assert gone


async def test_a_command_that_is_lost_has_no_grace_any_more(
    workshop: Workshop, tmp_path: Path
) -> None:
    """Others may have it soon: it ends, also where it had just been asked to end by itself."""
    settings = workshop.settings.model_copy(update={"stop_grace_seconds": 2 * PATIENCE_SECONDS})
    worker = create_worker(settings, workshop.database)
    async with witness(tmp_path) as tree, worker.working():
        script = f"exec 9>{tmp_path}/witness; trap '{UP}' TERM; while :; do sleep 0.1; done"
        run_id = await workshop.run(script, timeout_seconds=1)
        await tree.up()
        worker._executions[run_id].stop(Stop.LOST)

        assert await tree.all_gone()


def test_the_last_words_of_a_process_may_hold_anything(workshop: Workshop) -> None:
    recorder = Recorder(workshop.database, "a run", 1, 100)

    assert "Ended: \ufffd" == _failed(1, "Ended: \0", recorder).error_message


async def test_a_command_that_is_cancelled_is_stopped_with_all_its_children(
    workshop: Workshop, tmp_path: Path
) -> None:
    async with witness(tmp_path) as tree, workshop.open():
        script = f"exec 9>{tmp_path}/witness; setsid sleep 1000 & {UP}; sleep 1000"
        run_id = await workshop.run(script)
        await tree.up()
        await workshop.database.write(commands.cancel, workshop.actor, run_id, "enough")
        run = await workshop.ended(run_id)
        gone = await tree.all_gone()

    assert ("cancelled", "TASK_CANCELLED", "enough") == (
        run.status,
        run.error_code,
        run.cancel_reason,
    )
    assert gone


@pytest.mark.parametrize(
    ("words", "issue"),
    [
        ({"working_directory": "/etc"}, "/etc"),
        ({"working_directory": "nowhere"}, "nowhere"),
    ],
)
async def test_a_command_does_not_leave_its_place(
    workshop: Workshop, words: dict[str, Any], issue: str
) -> None:
    async with workshop.open():
        run = await workshop.ended(await workshop.run("pwd", **words))

    assert ("failed", 126) == (run.status, run.exit_code)
    assert issue in run.error_message


async def test_commands_get_nothing_of_the_servers_environment(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET", "a secret of the server")
    async with workshop.open():
        run_id = await workshop.run("env", environment={"MINE": "yes"})
        await workshop.ended(run_id)
        ((_, text),) = await workshop.printed(run_id)

    assert "MINE=yes\n" in text
    assert "secret" not in text


async def test_as_many_run_at_once_as_the_worker_may_carry_out(workshop: Workshop) -> None:
    most = workshop.settings.worker_concurrency
    async with workshop.open():
        ids = [await workshop.run("sleep 1000") for _ in range(most + 1)]
        for run_id in ids[:most]:
            await workshop.became(run_id, ("running",))
        last = await workshop.became(ids[most], ("queued",))
        await workshop.database.write(commands.cancel, workshop.actor, ids[0])
        await workshop.became(ids[most], ("running",))

    assert "queued" == last.status
