"""A worker for the tests to kill: `doomed_worker.py BACKEND DIRECTORY (begin|hold) ARGV...`.

Starts one command, says its pid, and reads its output for ever.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import cast

import uvloop

from runners.process import BackendName, Spec, choose


async def work(backend: str, directory: str, phase: str, *argv: str) -> None:
    spec = Spec(argv, Path(directory), dict(os.environ), tag=f"doomed-{os.getpid()}")
    process = await choose(cast(BackendName, backend)).spawn(spec)
    if phase == "begin":
        process.begin()
    sys.stdout.write(f"{process.identity.pid}\n")
    sys.stdout.flush()
    async for _ in process.output():
        pass
    await asyncio.Event().wait()


uvloop.run(work(*sys.argv[1:]))
