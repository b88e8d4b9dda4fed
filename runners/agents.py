"""Which agents are installed on this machine."""

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

from runners.environment import allowed

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Installed:
    """A program and its version, as it says itself; None when it says nothing of use."""

    path: str
    version: tuple[int, ...] | None

    @property
    def shown_version(self) -> str | None:
        return ".".join(map(str, self.version)) if self.version else None


def is_installed(command: str) -> bool:
    """Whether there is such a program at all."""
    return shutil.which(command) is not None


async def find(command: str, home: Path) -> Installed | None:
    """The program behind a command, or None when there is none."""
    path = shutil.which(command)
    if path is None:
        return None
    made = _stamp(path)
    version = _versions.get(made) or await _version(path, home)
    if version:
        _versions[made] = version
    return Installed(path, version)


def _stamp(path: str) -> tuple[str, int, int]:
    """Another one when another version has been put there."""
    stat = Path(path).stat()
    return path, stat.st_mtime_ns, stat.st_size


async def _version(path: str, home: Path) -> tuple[int, ...] | None:
    environment = allowed(os.environ, {}, home=home)
    try:
        process = await asyncio.create_subprocess_exec(
            *(path, "--version"),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        # With all that a wrapper has started: whoever waits does so until the pipe is closed.
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return None
    found = VERSION.search(said.decode(errors="replace"))
    return tuple(map(int, found.groups())) if found else None


_versions: dict[tuple[str, int, int], tuple[int, ...]] = {}
