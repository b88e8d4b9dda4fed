import asyncio
import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runners.process import Backend, Process, choose
from tests.runners.commands import PATIENCE_SECONDS, begun, outcome, rest

PIPE_BYTES = 65536
MEBIBYTE = 1 << 20


async def test_bytes_arrive_as_they_were_printed(backend: Backend, tmp_path: Path) -> None:
    everything = bytes(range(256)) * 1000
    (tmp_path / "everything").write_bytes(everything)
    process = await begun(backend, tmp_path, "sh", "-c", "cat everything; cat everything >&2")

    assert await outcome(process) == (0, everything, everything)


async def test_20_megabytes_arrive_complete_at_a_reader_that_is_slow(
    backend: Backend, tmp_path: Path
) -> None:
    written = hashlib.sha256()
    with (tmp_path / "large").open("wb") as large:
        for block in (os.urandom(MEBIBYTE) for _ in range(20)):
            large.write(block)
            written.update(block)
    process = await begun(backend, tmp_path, "cat", "large")
    received = hashlib.sha256()
    size = ahead = growth = 0
    memory = resident_bytes()
    async for _, data in process.output():
        received.update(data)
        size += len(data)
        await asyncio.sleep(0.001)
        ahead = max(ahead, bytes_written_by(process) - size)
        growth = max(growth, resident_bytes() - memory)

    assert (await process.wait(), size) == (0, 20 * MEBIBYTE)
    assert received.digest() == written.digest()
    assert ahead < 2 * PIPE_BYTES
    assert growth < 4 * MEBIBYTE


async def test_what_was_printed_is_there_after_the_end(backend: Backend, tmp_path: Path) -> None:
    process = await begun(backend, tmp_path, "head", "-c", "60000", "/dev/zero")
    await process.wait()

    assert await outcome(process) == (0, bytes(60000), b"")


async def test_output_ends_with_the_command_when_a_child_holds_the_pipe(
    backend: Backend, tmp_path: Path
) -> None:
    process = await begun(backend, tmp_path, "sh", "-c", "setsid sleep 1000 & echo done")

    assert await outcome(process) == (0, b"done\n", b"")


async def test_output_ends_with_the_command_when_a_stranger_holds_the_pipe(
    backend: Backend, tmp_path: Path
) -> None:
    process = await begun(backend, tmp_path, "sh", "-c", "read line; echo $line", stdin=True)
    with pipe_held_open(process):
        await process.write(b"done\n")

        assert await outcome(process) == (0, b"done\n", b"")


async def test_a_command_that_closes_its_pipes_is_still_waited_for(
    backend: Backend, tmp_path: Path
) -> None:
    script = "echo first; exec 1>&- 2>&-; read line; exit 4"
    process = await begun(backend, tmp_path, "sh", "-c", script, stdin=True)
    ending = asyncio.create_task(outcome(process))
    await process.write(b"go on\n")

    assert await ending == (4, b"first\n", b"")


async def test_output_can_be_left_and_taken_up_again(backend: Backend, tmp_path: Path) -> None:
    process = await begun(backend, tmp_path, "head", "-c", "300000", "/dev/zero")
    _, first = await anext(process.output())
    code, stdout, _ = await outcome(process)

    assert (code, len(first) + len(stdout)) == (0, 300_000)


async def test_a_command_that_never_pauses_leaves_room_to_stop_it(
    backend: Backend, tmp_path: Path
) -> None:
    process = await begun(backend, tmp_path, "yes")
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(drain(process))
        tasks.create_task(process.stop())

    assert await process.wait() < 0


async def test_a_large_input_comes_back(backend: Backend, tmp_path: Path) -> None:
    process = await begun(backend, tmp_path, "cat", stdin=True)
    large = os.urandom(MEBIBYTE)
    reading = asyncio.create_task(outcome(process))
    await process.write(large)
    process.close_stdin()

    assert await reading == (0, large, b"")


async def test_writing_to_a_command_that_has_closed_its_input_is_an_error(tmp_path: Path) -> None:
    # In a namespace bubblewrap holds the pipe as well, up to the end.
    backend = choose("process")
    script = "exec 0<&-; echo closed; exec sleep 1000"
    process = await begun(backend, tmp_path, "sh", "-c", script, stdin=True)
    await anext(process.output())
    with pytest.raises(BrokenPipeError):
        await process.write(b"hello")
    await process.stop()
    await rest(process)


async def test_a_write_that_waits_is_an_error_once_the_command_has_ended(
    backend: Backend, tmp_path: Path
) -> None:
    process = await begun(backend, tmp_path, "sleep", "1000", stdin=True)
    writing = asyncio.create_task(process.write(bytes(MEBIBYTE)))
    await asyncio.sleep(0)
    await process.stop()
    await rest(process)
    with pytest.raises(BrokenPipeError):
        await writing


async def drain(process: Process) -> None:
    async for _ in process.output():
        pass


@contextmanager
def pipe_held_open(process: Process) -> Iterator[None]:
    """As a process would that was handed the pipe, but is none of the tree."""
    held = os.open(f"/proc/{process.identity.pid}/fd/1", os.O_WRONLY)
    try:
        yield
    finally:
        os.close(held)


def bytes_written_by(process: Process) -> int:
    try:
        counters = Path(f"/proc/{process.identity.pid}/io").read_text()
    except FileNotFoundError:
        return 0  # It has ended.
    return int(counters.split("wchar: ")[1].split()[0])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
