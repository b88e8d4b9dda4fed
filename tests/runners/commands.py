"""Starts commands for the tests, and says what became of them."""

import asyncio
from pathlib import Path

from runners.process import Backend, Limits, Process, Spec, Stream

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
UNLIMITED = Limits()

# Generous: the machine may be busy.
PATIENCE_SECONDS = 30


def spec_for(directory: Path, *argv: str, stdin: bool = False, limits: Limits = UNLIMITED) -> Spec:
    return Spec(argv, directory, ENVIRONMENT, str(directory), stdin, limits)


async def begun(
    backend: Backend, directory: Path, *argv: str, stdin: bool = False, limits: Limits = UNLIMITED
) -> Process:
    process = await backend.spawn(spec_for(directory, *argv, stdin=stdin, limits=limits))
    process.begin()
    return process


async def outcome(process: Process) -> tuple[int, bytes, bytes]:
    """The exit code, and all of stdout and stderr."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        printed = await rest(process)
        return await process.wait(), printed["stdout"], printed["stderr"]


async def rest(process: Process) -> dict[Stream, bytes]:
    """What is still to come of each stream."""
    printed: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
    async for stream, data in process.output():
        printed[stream] += data
    return printed


def parent(pid: int) -> int:
    return int(stat_fields(pid)[1])


def stat_fields(pid: int) -> list[str]:
    """State, parent and so on: what /proc/<pid>/stat has after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
