"""A tree that does not want to die, and its ends; tests/drills has all trees, and all ends."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runners.process import Backend
from tests.runners.commands import ENVIRONMENT, PATIENCE_SECONDS, parent
from tests.runners.trees import TREES
from tests.runners.witness import UP, grown, witness, witnessed

DOOMED_WORKER = Path(__file__).with_name("doomed_worker.py")


async def test_nothing_is_alive_after_stop(backend: Backend, tmp_path: Path) -> None:
    async with grown(backend, tmp_path, TREES["all of it"]) as (process, observer):
        await process.stop(grace_seconds=0.05)

        assert await observer.all_gone()


async def test_nothing_is_alive_after_kill_9_of_the_worker(
    backend: Backend, tmp_path: Path
) -> None:
    async with witness(tmp_path) as observer:
        with doomed_worker(backend, tmp_path, "begin", TREES["all of it"]):
            await observer.up()

        assert await observer.all_gone()


def test_nothing_began_and_nothing_is_alive_when_the_worker_died_before_begin(
    backend: Backend, tmp_path: Path
) -> None:
    with doomed_worker(backend, tmp_path, "hold", "true") as worker:
        assert worker.stdout is not None
        command = int(worker.stdout.readline())
        held = [os.pidfd_open(command), os.pidfd_open(parent(command))]

    assert all(select.select([process], [], [], PATIENCE_SECONDS)[0] for process in held)
    assert list(tmp_path.iterdir()) == []
    for process in held:
        os.close(process)


async def test_what_a_command_left_behind_is_gone_when_it_has_exited(
    backend: Backend, tmp_path: Path
) -> None:
    leaving = f"nohup sleep 1000 & setsid nohup sleep 1000 & {UP}; exit 3"
    async with grown(backend, tmp_path, leaving) as (process, observer):
        assert await process.wait() == 3
        assert await observer.all_gone()


async def test_a_command_that_kills_its_group_takes_the_rest_with_it(
    backend: Backend, tmp_path: Path
) -> None:
    script = f"setsid sleep 1000 & {UP}; kill -9 0"
    async with grown(backend, tmp_path, script) as (process, observer):
        assert await process.wait() == -signal.SIGKILL
        assert await observer.all_gone()


@contextmanager
def doomed_worker(
    backend: Backend, directory: Path, phase: str, script: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own; killed with SIGKILL at the end."""
    with subprocess.Popen(
        (sys.executable, DOOMED_WORKER, backend.name, directory, phase, *witnessed(script)),
        stdout=subprocess.PIPE,
        env={**ENVIRONMENT, "PYTHONPATH": ":".join(sys.path)},
    ) as worker:
        try:
            yield worker
        finally:
            worker.kill()
