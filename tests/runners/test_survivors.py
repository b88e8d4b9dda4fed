import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from runners.process import BUBBLEWRAP, BackendUnavailable, choose
from runners.survivors import RUN_VARIABLE, identify, is_alive, machine, sweep
from tests.fixtures.missing import not_tested

# Says when all is up, and what was started below the first.
PARENT = """
import subprocess, sys
child = subprocess.Popen(["env", "-i", "sleep", "1000"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(("sleep", "1000")) as process:
        yield process
        process.kill()


def test_a_process_is_alive_until_it_has_exited(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identify(sleeper.pid)
    before = is_alive(identity)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    as_a_zombie = is_alive(identity)
    sleeper.wait()

    assert (before, as_a_zombie, is_alive(identity)) == (True, False, False)


def test_another_process_with_the_same_pid_is_not_the_one(
    sleeper: subprocess.Popen[bytes],
) -> None:
    identity = identify(sleeper.pid)
    earlier = dataclasses.replace(identity, started_ticks=identity.started_ticks - 1)
    before_the_last_boot = dataclasses.replace(identity, boot_id="another")

    assert [is_alive(earlier), is_alive(before_the_last_boot)] == [False, False]


def test_the_start_is_told_in_ticks_since_boot() -> None:
    ticks = identify(os.getpid()).started_ticks
    seconds_since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert 0 < ticks / os.sysconf("SC_CLK_TCK") < seconds_since_boot


def test_nobody_can_be_identified_by_a_free_pid(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(ProcessLookupError):
        identify(sleeper.pid)


def test_what_is_in_another_namespace_is_as_on_another_machine() -> None:
    try:
        choose("namespace")
    except BackendUnavailable as refusal:
        not_tested(f"NOT TESTED with namespaces: {refusal}")
    says = (sys.executable, "-c", "from runners.survivors import machine; print(machine(), end='')")
    here, there = (
        subprocess.run((*wrapper, *says), capture_output=True, check=True, text=True).stdout
        for wrapper in ((), BUBBLEWRAP)
    )

    assert machine() == here
    assert machine() != there


def test_a_sweep_kills_what_carries_the_tag_and_all_below_it(
    sleeper: subprocess.Popen[bytes],
) -> None:
    with (
        tagged("run-1", sys.executable, "-c", PARENT) as parent,
        tagged("run-12", "sleep", "1000") as of_another_run,
    ):
        assert parent.stdout is not None
        child = identify(int(parent.stdout.readline()))
        killed = sweep("run-1")
        survivors = [is_alive(child), parent.wait() == 0, of_another_run.poll() is None]
        of_another_run.kill()

    assert killed == 2
    assert survivors == [False, False, True]
    assert sleeper.poll() is None


def test_a_sweep_waits_for_what_is_slow_to_die() -> None:
    """Killed, but not scheduled; and found by its parent alone, which has gone by then."""
    processor = min(os.sched_getaffinity(0))
    with (
        tagged("slow", sys.executable, "-c", PARENT) as parent,
        subprocess.Popen(("sh", "-c", "while :; do :; done")) as busy,
    ):
        assert parent.stdout is not None
        child = identify(int(parent.stdout.readline()))
        os.sched_setaffinity(busy.pid, {processor})
        os.sched_setaffinity(child.pid, {processor})
        os.setpriority(os.PRIO_PROCESS, child.pid, 19)
        sweep("slow")
        survives = is_alive(child)
        busy.kill()

    assert not survives


def test_a_sweep_finds_nothing_when_nothing_is_left() -> None:
    assert sweep("no-such-run") == 0


def tagged(tag: str, *command: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, RUN_VARIABLE: tag}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
