"""Live streams: listen first, replay what came after the cursor, then follow."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Row, Select, exists, select, true, tuple_

from db import events, output, projects, runs, tasks
from db.listing import Listing
from db.tables import events as log
from db.tables import leases
from db.tables import runs as table
from graph import reading
from graph.context import Context

POLL_SECONDS = 5.0
"""A hint may be lost; the record is looked at this often without one."""
WAIT_FOR_END_SECONDS = 2.0
SETTLING_SECONDS = 0.02
"""How soon events are looked at again that an open transaction could still precede."""
EVENTS_AT_ONCE = 200
CHUNKS_AT_ONCE = 16

STARTED = ("task.started", "run.started")
ENDED = frozenset(
    f"{noun}.{status}"
    for noun in ("task", "run")
    for status in ("completed", "failed", "cancelled")
)


async def output_of(context: Context, run_id: str, seq: int) -> AsyncIterator[Row[Any]]:
    """Every chunk of a run after `seq`, once and in order; ends when the run has.

    The last row is the run itself. Raises `ResourceNotFound` once the actor may not see it.
    """
    with context.services.bus.listen(f"run:{run_id}") as listener:
        context.listening.set()
        while True:
            # Read before the chunks: when it is final here, they are all there.
            run = await _run(context, run_id)
            # A thousand who look whether a hint was lost shall not ask twice each.
            if run.finished_at or run.last_seq > seq:
                async for chunk in _chunks(context, run_id, seq):
                    seq = chunk.seq
                    yield chunk
            if run.finished_at:
                # Whoever lost sight of it meanwhile has not been told all.
                yield await _run(context, run_id)
                return
            await listener.wait(POLL_SECONDS)


async def facts(
    context: Context,
    after: str | None,
    *,
    project_id: str | None = None,
    task_id: str | None = None,
) -> AsyncIterator[Row[Any]]:
    """Every event after the cursor (from now on without one) that the actor may see.

    Raises the «not found» of the task or the project once the actor may not see that.
    """
    topic = f"task:{task_id}" if task_id else f"project:{project_id}" if project_id else "events"
    with context.services.bus.listen(topic) as listener:
        cursor = after or await _now(context)
        context.listening.set()
        while True:
            rows, pause = await _facts(context, cursor, project_id, task_id)
            for row in rows:
                cursor = events.cursor_of(row.tx, row.seq)
                yield row
            await listener.wait(pause)


async def facts_and_output(
    context: Context, after: str | None, project_id: str
) -> AsyncIterator[Row[Any]]:
    """A project's events, and between them what its runs print, each run's end last.

    Output is followed from now on; for all of a run's output follow the run. Raises
    `ProjectNotFound` once the actor may not see the project.
    """
    with context.services.bus.listen(f"project:{project_id}") as listener:
        cursor = after or await _now(context)
        printed = await _running(context, project_id, cursor)
        context.listening.set()
        while True:
            rows, pause = await _facts(context, cursor, project_id, None)
            for row in rows:
                if row.kind in STARTED:
                    printed.setdefault(row.run_id, 0)
                elif row.kind in ENDED:
                    async for chunk in _news(context, printed, [row.run_id]):
                        yield chunk
                    printed.pop(row.run_id, None)
                cursor = events.cursor_of(row.tx, row.seq)
                yield row
            async for chunk in _news(context, printed, list(printed)):
                yield chunk
            await listener.wait(pause)


async def settled(context: Context, run_id: str, seconds: float, *, begun: bool = False) -> Any:
    """The run as soon as it is final (or `begun`), at the latest after some seconds."""
    with context.services.bus.listen(f"run:{run_id}") as listener:
        run = await _run(context, run_id)
        deadline = time.monotonic() + seconds
        while not (run.finished_at or (begun and run.started_at)):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await listener.wait(min(left, 0.5))
            run = await _run(context, run_id)
    return run


def patience(context: Context) -> float:
    """How long a cancelled process may take to end: the time it is given to end by itself, and a
    little more for the worker.
    """
    return context.services.settings.stop_grace_seconds + WAIT_FOR_END_SECONDS


async def _run(context: Context, run_id: str) -> Any:
    return await reading.get(context, "Run", runs.LISTING, run_id)


async def _chunks(context: Context, run_id: str, seq: int) -> AsyncIterator[Row[Any]]:
    """The chunks of a run, as far as the actor may see it."""
    while True:
        seen = reading.in_view(context, runs.LISTING, run_id).exists()
        found = output.after(run_id, seq, limit=CHUNKS_AT_ONCE).where(seen)
        rows = await context.database.rows(found)
        for row in rows:
            seq = row.seq
            yield row
        if len(rows) < CHUNKS_AT_ONCE:
            return


async def _news(
    context: Context, printed: dict[str, int], run_ids: Sequence[str]
) -> AsyncIterator[Row[Any]]:
    """What these runs have printed since; `printed` then says how far that was."""
    for run_id in run_ids:
        if run_id in printed:
            async for chunk in _chunks(context, run_id, printed[run_id]):
                printed[run_id] = chunk.seq
                yield chunk


async def _now(context: Context) -> str:
    newest = await context.database.first(events.latest())
    return events.cursor_of(newest.tx, newest.seq) if newest else events.START


async def _facts(
    context: Context, cursor: str, project_id: str | None, task_id: str | None
) -> tuple[list[Row[Any]], float]:
    """The settled events after a cursor, and how long to wait before looking again."""
    later = events.after(cursor, limit=EVENTS_AT_ONCE).where(
        log.c.project_id == project_id if project_id else true(),
        log.c.task_id == task_id if task_id else true(),
    )
    if task_id:
        found = await _while_seen(context, "Task", tasks.LISTING, task_id, later)
    elif project_id:
        found = await _while_seen(context, "Project", projects.LISTING, project_id, later)
    else:
        seen = projects.visible_to(context.signed_in, log.c.project_id)
        found = await context.database.rows(later.where(seen))
    rows = [row for row in found if row.is_settled]
    if len(rows) < len(found):
        return rows, SETTLING_SECONDS
    return rows, 0.0 if len(rows) == EVENTS_AT_ONCE else POLL_SECONDS


async def _while_seen(
    context: Context, noun: str, listing: Listing, id_: str, later: Select[Any]
) -> Sequence[Row[Any]]:
    """Some events, by one statement that also tells whether the actor may see what they are of.

    Raises its «not found».
    """
    view, page = reading.in_view(context, listing, id_).subquery(), later.subquery()
    found = await context.database.rows(
        select(page).select_from(view.outerjoin(page, true())).order_by(page.c.tx, page.c.seq)
    )
    if not found:
        raise reading.not_found(noun, id_)
    # One row of nothing: it is in view, and nothing is new.
    return [row for row in found if row.seq is not None]


async def _running(context: Context, project_id: str, cursor: str) -> dict[str, int]:
    """The project's runs that began before the cursor, and how far each has printed."""
    place = tuple_(log.c.tx, log.c.seq) <= tuple_(*events.parse_cursor(cursor))
    begun = exists().where(log.c.run_id == table.c.id, log.c.kind.in_(STARTED), place)
    running = select(table.c.id, table.c.last_seq).join(leases, leases.c.run_id == table.c.id)
    rows = await context.database.rows(running.where(leases.c.bucket == project_id, begun))
    return {row.id: row.last_seq for row in rows}
