"""What /proc says of processes: whether one is still alive, and which ones carry a run's tag."""

import contextlib
import functools
import os
import platform
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runners.shim import descendants

# In the environment of every process of a run, with the run's id as its value.
RUN_VARIABLE = "CLAUDE_CLI_API_RUN"

PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.01

PROC = Path("/proc")
ZOMBIE_STATES = (b"Z", b"X")


@dataclass(frozen=True)
class Identity:
    """One process of all times: tells a survivor from a later process with the same pid.

    `boot_id` is the kernel's name for this boot, `started_ticks` the start in clock ticks after it.
    """

    boot_id: str
    pid: int
    started_ticks: int


def identify(pid: int) -> Identity:
    """The process that has this pid now; `ProcessLookupError` when none has."""
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(f"no process {pid}")
    return Identity(_boot_id(), pid, stat.started_ticks)


def machine() -> str:
    """This machine, as far as its processes see each other: its name and its PID namespace."""
    return f"{platform.node()} {(PROC / 'self/ns/pid').readlink()}"


def is_alive(identity: Identity) -> bool:
    """Whether that very process still runs. One that has exited and waits to be reaped does not."""
    stat = _stat(identity.pid)
    return (
        identity.boot_id == _boot_id()
        and stat is not None
        and stat.started_ticks == identity.started_ticks
        and stat.state not in ZOMBIE_STATES
    )


def sweep(tag: str) -> int:
    """Kill all that carry the tag and all that descend from them, until none is alive.

    Answers how many were killed. Takes a scan of /proc, so it blocks for some milliseconds, and
    gives up after 10 seconds on what cannot be killed. What has cleared its environment *and* lost
    every tagged ancestor is not found: a living shim, or a namespace, leaves no such process.
    """
    killed: set[Identity] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = set(_tagged_trees(tag))
        # What is slow to die may not be found any more: its tag goes first, or its parent.
        if not found and not any(map(is_alive, killed)):
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                identity = identify(pid)
                os.kill(pid, signal.SIGKILL)
                killed.add(identity)
        time.sleep(PAUSE_SECONDS)
    return len(killed)


@dataclass(frozen=True)
class _Stat:
    state: bytes
    started_ticks: int


def _stat(pid: int) -> _Stat | None:
    try:
        content = (PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, also spaces and parentheses.
    fields = content.rpartition(b")")[2].split()
    return _Stat(state=fields[0], started_ticks=int(fields[19]))


@functools.cache
def _boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _tagged_trees(tag: str) -> Iterator[int]:
    mark = f"\0{RUN_VARIABLE}={tag}\0".encode()
    for process in PROC.glob("[0-9]*"):
        if mark in b"\0" + _environment(process) + b"\0":
            yield int(process.name)
            yield from descendants(int(process.name))


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # Gone meanwhile, or another user's.
