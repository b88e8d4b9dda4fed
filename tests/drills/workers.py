"""Workers in processes of their own, for the drills to kill: `workers.py HOW_MANY`.

They are as `claude-cli-api work` starts them, but what takes long to import is imported once.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import cli
from tests.fixtures.processes import die_with_the_tests
from tests.fixtures.program import environment

PATIENCE_SECONDS = 60
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def workers(
    how_many: int, directory: Path, database_url: str, **settings: str
) -> AsyncIterator[Sequence[int]]:
    """So many workers that serve, by their pids; killed at the end, unless they have ended."""
    chosen = environment(directory, DATABASE_URL=database_url, **settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.drills.workers", str(how_many)),
        cwd=ROOT,
        env=chosen,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_the_tests,
    )
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            pids = [int(number) for number in (await process.stdout.readline()).split()]
            serving = 0
            while serving < how_many:
                said = await process.stdout.readline()
                assert said, "the workers ended"
                serving += b"Working." in said
        yield pids
    finally:
        process.stdin.close()
        await process.wait()


def main(how_many: int) -> None:
    pids = [_forked() for _ in range(how_many)]
    sys.stdout.write(" ".join(map(str, pids)) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _forked() -> int:
    pid = os.fork()
    if pid == 0:
        die_with_the_tests()
        cli.work()
        os._exit(0)
    return pid


if __name__ == "__main__":
    main(int(sys.argv[1]))
