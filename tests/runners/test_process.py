import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from runners import process as process_module
from runners.process import Backend, BackendUnavailable, Limits, NotStarted, Spec, choose
from runners.survivors import RUN_VARIABLE, is_alive
from tests.runners.commands import (
    ENVIRONMENT,
    PATIENCE_SECONDS,
    begun,
    outcome,
    parent,
    rest,
    spec_for,
    stat_fields,
)
from tests.runners.witness import UP, grown, witness

# Reports an exit with code 3 as soon as there is an order. Before CONTROL comes how to run a shim.
SHIM_THAT_DOES_NOT_READ = """
import os, select, sys
control = int(sys.argv[6])
os.write(control, b"ready")
select.select([control], [], [])
os.write(control, str(3 << 8).encode())
"""

SIGNALS_OF_GLIBC = 1 << 31 | 1 << 32
"""32 and 33: nobody else can set them, and whoever is started by make has them ignored."""


async def test_output_and_exit_code_of_a_command(backend: Backend, tmp_path: Path) -> None:
    process = await begun(backend, tmp_path, "sh", "-c", "echo out; echo err >&2; exit 7")

    assert await outcome(process) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGPIPE])
async def test_a_command_killed_by_a_signal_gives_its_negative_number(
    backend: Backend, tmp_path: Path, number: signal.Signals
) -> None:
    process = await begun(backend, tmp_path, "sh", "-c", f"kill -{number.value} $$")

    assert await outcome(process) == (-number, b"", b"")


async def test_a_command_that_does_not_exist_gives_127(backend: Backend, tmp_path: Path) -> None:
    process = await begun(backend, tmp_path, "no-such-command", "argument")

    assert await outcome(process) == (127, b"", b"no-such-command: command not found\n")


async def test_a_command_that_is_not_executable_gives_126(backend: Backend, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    process = await begun(backend, tmp_path, str(script))

    assert await outcome(process) == (126, b"", f"{script}: Permission denied\n".encode())


async def test_a_missing_directory_gives_126(backend: Backend, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    process = await begun(backend, missing, "true")

    assert await outcome(process) == (126, b"", f"{missing}: No such file or directory\n".encode())


async def test_a_directory_that_became_a_symlink_is_refused(
    backend: Backend, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").symlink_to(tmp_path / "outside")
    process = await begun(backend, tmp_path / "inside", "touch", "trace")

    assert await outcome(process) == (126, b"", f"{tmp_path}/inside: Not a directory\n".encode())
    assert trace(tmp_path / "outside") == []


async def test_a_command_gets_its_environment_tag_and_directory_and_nothing_else(
    backend: Backend, tmp_path: Path
) -> None:
    spec = Spec(("env",), tmp_path, {**ENVIRONMENT, "LANG": "C", "GREETING": "a=b\nü"}, tag="a-tag")
    process = await backend.spawn(spec)
    process.begin()
    _, stdout, _ = await outcome(process)

    expected = {**spec.environment, RUN_VARIABLE: "a-tag", "PWD": str(tmp_path)}
    printed = b"".join(f"{name}={value}\n".encode() for name, value in expected.items())
    assert sorted(printed.splitlines()) == sorted(stdout.splitlines())


async def test_a_command_starts_in_its_directory_with_default_signals_and_no_open_files(
    backend: Backend, tmp_path: Path
) -> None:
    script = "grep -E 'SigBlk|SigIgn' /proc/self/status; pwd -P; ls /proc/self/fd"
    # As of a server that a shell has started in the background.
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        process = await begun(backend, tmp_path, "sh", "-c", script)
    finally:
        signal.signal(signal.SIGQUIT, before)
    code, printed, errors = await outcome(process)
    blocked, ignored, rest = printed.split(b"\n", 2)

    assert (0, b"") == (code, errors)
    assert 0 == int(blocked.split()[1], 16)
    assert 0 == int(ignored.split()[1], 16) & ~SIGNALS_OF_GLIBC
    # The fourth file is the directory that `ls` reads.
    assert bytes(tmp_path) + b"\n0\n1\n2\n3\n" == rest


async def test_the_command_leads_a_session_under_the_pid_that_was_made_known(
    backend: Backend, tmp_path: Path
) -> None:
    process = await backend.spawn(spec_for(tmp_path, "cat", stdin=True))
    pid = process.identity.pid
    before = is_alive(process.identity), b"shim" in command_line(pid)
    process.begin()
    await process.write(b"hello")
    stream = await anext(process.output())
    during = is_alive(process.identity), command_line(pid), os.getsid(pid)
    process.close_stdin()

    assert before == (True, True)
    assert stream == ("stdout", b"hello")
    assert during == (True, b"cat\0", pid)
    assert await outcome(process) == (0, b"", b"")
    assert not is_alive(process.identity)


async def test_nothing_of_the_command_ran_before_begin(backend: Backend, tmp_path: Path) -> None:
    process = await backend.spawn(spec_for(tmp_path, "touch", "trace"))
    await process.stop()

    assert await outcome(process) == (-signal.SIGTERM, b"", b"")
    assert trace(tmp_path) == []


async def test_stop_lets_a_command_end_by_itself_within_the_grace(
    backend: Backend, tmp_path: Path
) -> None:
    script = f"trap 'echo bye; exit 5' TERM; {UP}; while :; do sleep 0.01; done"
    async with grown(backend, tmp_path, script) as (process, _):
        await process.stop(grace_seconds=PATIENCE_SECONDS)

        assert await process.wait() == 5


async def test_stop_gives_the_grace_to_what_outlives_the_command_too(
    backend: Backend, tmp_path: Path
) -> None:
    tidy = "trap 'touch tidied; exit' TERM; echo up >&9; while :; do sleep 0.01; done"
    async with grown(backend, tmp_path, f'sh -c "{tidy}" & wait') as (process, _):
        await process.stop(grace_seconds=PATIENCE_SECONDS)

        assert await process.wait() == -signal.SIGTERM
        assert (tmp_path / "tidied").exists()


async def test_stop_reaches_a_command_that_has_stopped_itself(
    backend: Backend, tmp_path: Path
) -> None:
    until_stopped = "until grep -q '^State:.T' /proc/$$/status; do sleep 0.01; done"
    script = f"({until_stopped}; {UP}) & kill -STOP $$"
    async with grown(backend, tmp_path, script) as (process, _):
        await process.stop(grace_seconds=PATIENCE_SECONDS)

        assert await process.wait() == -signal.SIGTERM


async def test_stop_kills_what_ignores_sigterm(backend: Backend, tmp_path: Path) -> None:
    script = f"trap '' TERM; {UP}; while :; do sleep 1000; done"
    async with grown(backend, tmp_path, script) as (process, observer):
        await process.stop(grace_seconds=0.05)

        assert await process.wait() == -signal.SIGKILL
        assert await observer.all_gone()


async def test_a_second_stop_shortens_the_grace(backend: Backend, tmp_path: Path) -> None:
    script = f"trap '' TERM; {UP}; while :; do sleep 1000; done"
    async with grown(backend, tmp_path, script) as (process, _):
        patient = asyncio.create_task(process.stop(grace_seconds=1000))
        await process.stop(grace_seconds=0.01)
        await patient

        assert await process.wait() == -signal.SIGKILL


async def test_stop_after_the_end_changes_nothing(backend: Backend, tmp_path: Path) -> None:
    process = await begun(backend, tmp_path, "true")
    await rest(process)
    await process.wait()
    await process.stop()
    process.begin()

    assert await process.wait() == 0


async def test_stop_that_races_with_the_end_gives_one_of_both_codes(
    backend: Backend, tmp_path: Path
) -> None:
    codes = set()
    for delay in range(20):
        process = await begun(backend, tmp_path, "true")
        await asyncio.sleep(delay / 10_000)
        await process.stop()
        codes.add((await outcome(process))[0])

    assert codes <= {0, -signal.SIGTERM}


async def test_the_exit_code_is_known_when_the_shim_left_an_order_unread(tmp_path: Path) -> None:
    shim = Backend("process", wrapper=(sys.executable, "-c", SHIM_THAT_DOES_NOT_READ))
    process = await begun(shim, tmp_path, "true")

    assert await outcome(process) == (3, b"", b"")


async def test_kill_9_of_the_shim_is_noticed_and_swept_up(backend: Backend, tmp_path: Path) -> None:
    script = f"setsid sleep 1000 & {UP}; sleep 1000"
    async with grown(backend, tmp_path, script) as (process, observer):
        os.kill(parent(process.identity.pid), signal.SIGKILL)

        assert await process.wait() == -signal.SIGKILL
        assert await observer.all_gone()


async def test_a_shim_that_the_command_has_stopped_still_obeys(
    backend: Backend, tmp_path: Path
) -> None:
    script = f"kill -STOP $PPID; setsid sleep 1000 & {UP}; sleep 1000"
    async with grown(backend, tmp_path, script) as (process, observer):
        await process.stop()

        assert await process.wait() == -signal.SIGTERM
        assert await observer.all_gone()


async def test_a_sigterm_to_the_shim_leaves_the_command_alone(
    backend: Backend, tmp_path: Path
) -> None:
    process = await backend.spawn(spec_for(tmp_path, "cat", stdin=True))
    process.begin()
    os.kill(parent(process.identity.pid), signal.SIGTERM)
    await process.write(b"still here")
    process.close_stdin()

    assert await outcome(process) == (0, b"still here", b"")


async def test_no_zombie_is_left(backend: Backend, tmp_path: Path) -> None:
    orphaned = "orphan=$(sh -c 'sleep 0.01 >&- & echo $!')"
    until_reaped = "while kill -0 $orphan 2>&-; do sleep 0.01; done"
    script = f"{orphaned}; {until_reaped}; {UP}; exit"
    async with grown(backend, tmp_path, script) as (process, _):
        await process.wait()

    assert zombies_of_this_process() == []


async def test_cpu_time_is_limited(backend: Backend, tmp_path: Path) -> None:
    process = await begun(
        backend, tmp_path, "sh", "-c", "while :; do :; done", limits=Limits(cpu_seconds=1)
    )

    assert (await outcome(process))[0] == -signal.SIGXCPU


async def test_memory_is_limited(backend: Backend, tmp_path: Path) -> None:
    hoard = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    process = await begun(backend, tmp_path, *hoard, limits=Limits(memory_bytes=32 << 20))
    code, _, stderr = await outcome(process)

    assert code == 1
    assert b"memory exhausted" in stderr


async def test_the_size_of_files_is_limited(backend: Backend, tmp_path: Path) -> None:
    limits = Limits(file_size_bytes=1000)
    process = await begun(
        backend, tmp_path, "sh", "-c", "exec head -c 2000 /dev/zero > file", limits=limits
    )

    assert (await outcome(process))[0] == -signal.SIGXFSZ
    assert (tmp_path / "file").stat().st_size == 1000


async def test_what_cannot_be_passed_to_a_command_is_an_error(
    backend: Backend, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="Argument list too long"):
        await backend.spawn(spec_for(tmp_path, "true", "x" * 200_000))
    with pytest.raises(ValueError, match="null byte"):
        await backend.spawn(spec_for(tmp_path, "true", "a\0b"))


async def test_a_cancelled_spawn_leaves_nothing(backend: Backend, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "touch", "trace")
    spawning = asyncio.create_task(backend.spawn(spec))
    await asyncio.sleep(0)
    spawning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spawning

    assert await backend.sweep(spec.tag) == 0
    assert trace(tmp_path) == []


async def test_a_cancelled_spawn_leaves_nothing_that_outlives_its_wrapper(tmp_path: Path) -> None:
    """As bubblewrap's child does, when bubblewrap is killed before it has set it up."""
    forks = f"sh -c '{UP}; exec sleep 1000' 9>{tmp_path}/witness; exit 1"
    forking = Backend("namespace", wrapper=("sh", "-c", forks))
    spec = spec_for(tmp_path, "touch", "trace")
    async with witness(tmp_path) as observer:
        spawning = asyncio.create_task(forking.spawn(spec))
        await observer.up()
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning

        assert await observer.all_gone()
    assert trace(tmp_path) == ["witness"]


async def test_a_wrapper_that_hangs_is_given_up_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bubblewrap does on a file system that does not answer."""
    monkeypatch.setattr(process_module, "START_SECONDS", 0.2)
    hangs = f"sh -c '{UP}; exec sleep 1000' 9>{tmp_path}/witness"
    hanging = Backend("namespace", wrapper=("sh", "-c", hangs))
    async with witness(tmp_path) as observer:
        with pytest.raises(NotStarted, match=r"not ready within 0\.2 s"):
            await hanging.spawn(spec_for(tmp_path, "true"))
        gone = await observer.all_gone()

    assert gone
    assert zombies_of_this_process() == []


async def test_a_wrapper_that_fails_says_why(tmp_path: Path) -> None:
    broken = Backend("namespace", wrapper=("sh", "-c", "echo no namespaces today >&2; exit 1"))

    with pytest.raises(NotStarted, match="no namespaces today"):
        await broken.spawn(spec_for(tmp_path, "true"))


def test_auto_says_why_it_is_not_the_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert choose("auto") == Backend("process", note="bubblewrap (bwrap) is not installed")


def test_a_namespace_that_was_asked_for_and_does_not_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bubblewrap = tmp_path / "bwrap"
    bubblewrap.write_text("#!/bin/sh\necho setting up uid map: Permission denied >&2; exit 1\n")
    bubblewrap.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BackendUnavailable, match="uid map: Permission denied"):
        choose("namespace")


def trace(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def zombies_of_this_process() -> list[str]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [child for child in children if stat_fields(int(child))[0] == "Z"]
