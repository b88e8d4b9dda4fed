"""Writes about a run that count only as long as nobody has taken the run from us."""

import asyncio
from typing import ParamSpec, TypeVar

import structlog

from db.engine import Database, Unit
from db.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

RETRY_SECONDS = 0.5


class Fenced(Exception):
    """The run was taken from us: nothing of ours is recorded any more."""


async def written(
    database: Database, unit: Unit[P, T | None], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What the unit returns, however long the database is away.

    Raises `Fenced` when it is False or None: the run is not ours.
    """
    while True:
        try:
            result = await database.write(unit, *args, **kwargs)
        except DatabaseUnavailable:
            log.warning("a run waits for the database", unit=unit.__name__)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            if result is None or result is False:
                raise Fenced
            return result
