"""What must not be left after anything that can happen."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import exists, func, or_, select

from db.tables import leases, runs, tasks, waiting
from runners.survivors import RUN_VARIABLE
from tests.db import queues

PATIENCE_SECONDS = 30
NOTHING: dict[str, list[str]] = {"without a final state": [], "held slots": [], "processes": []}

_IS_WAITED_FOR = or_(
    exists().where(waiting.c.run_id == runs.c.id),
    exists().where(tasks.c.active_run_id == runs.c.id),
)
_IS_HELD = or_(
    runs.c.status == "running",
    exists().where(leases.c.run_id == runs.c.id),
    runs.c.finished_at.is_not(None) & _IS_WAITED_FOR,
)
_EVERY_RUN = select(
    runs.c.id, runs.c.finished_at.is_(None).label("is_open"), _IS_HELD.label("is_held")
).order_by(runs.c.id)
_PROC = Path("/proc")


async def left_behind(database_url: str) -> dict[str, list[str]]:
    """What is left of the runs on record; processes get a while to end. It has to be `NOTHING`."""
    async with queues.opened(database_url, 1) as (database,):
        assert await database.scalar(select(func.count()).select_from(runs)), "nothing was tried"
        found = await database.rows(_EVERY_RUN)
    return {
        "without a final state": [run.id for run in found if run.is_open],
        "held slots": [run.id for run in found if run.is_held],
        "processes": await processes_of([run.id for run in found]),
    }


async def processes_of(run_ids: Iterable[str]) -> list[str]:
    """The processes of these runs that do not end; none, as soon as there are none."""
    tags = {f"{RUN_VARIABLE}={run_id}".encode() for run_id in run_ids}
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while alive := _tagged(tags):
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.05)
    return alive


def _tagged(tags: set[bytes]) -> list[str]:
    return [
        process.name for process in _PROC.glob("[0-9]*") if not tags.isdisjoint(_variables(process))
    ]


def _variables(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # Gone meanwhile, or another user's.
