"""The demo in the terminal: it shows three tasks to their ends, and leaves nothing behind."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

DEMO = Path(__file__).parents[2] / "demo.py"


async def test_the_demo_shows_each_task_to_its_end_and_cleans_up(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "COLUMNS": "100"}
    demo = await asyncio.create_subprocess_exec(
        sys.executable, DEMO, cwd=tmp_path, env=environment, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(60):
        said, _ = await demo.communicate()
    shown = said.decode()

    assert 0 == demo.returncode, shown
    assert 3 == shown.count("exit code 0")
    for line in ("row 6", "nail 4", "dry", "* * *"):
        assert line in shown
    assert [] == left_in(tmp_path)


def left_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())
