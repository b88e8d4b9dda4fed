"""Schedules: tasks that are executed again and again, at the times of a cron expression."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from sqlalchemy import ColumnElement, Row, delete, exists, insert, select, true, update

from db import events, lifecycle, projects, tasks, terms, users
from db.actors import Actor
from db.clock import from_now
from db.engine import Tx
from db.errors import InvalidFormat, Problem, ResourceNotFound
from db.ids import new_id
from db.listing import Filter, Listing
from db.tables import schedules
from db.tables import tasks as task_rows
from db.types import Lane, Missed, Overlap, Permission
from db.validation import no_nulls

PUNCTUAL = timedelta(seconds=60)
"""What is noticed later than this has been missed."""
MOST_AT_ONCE = 50


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """True of schedules in projects that the actor may see."""
    return projects.visible_to(actor, schedules.c.project_id)


LISTING = Listing(
    table=schedules,
    kept=true(),
    visible_to=visible_to,
    filters={
        "project_id": Filter(lambda value: schedules.c.project_id == value),
        "task_id": Filter(lambda value: schedules.c.task_id == value),
    },
    orders={"created_at": schedules.c.created_at},
)


def create(
    tx: Tx,
    /,
    actor: Actor,
    *,
    task_id: str,
    cron: str,
    time_zone: str = "UTC",
    overlap: Overlap = Overlap.SKIP,
    missed: Missed = Missed.SKIP,
    lane: Lane = Lane.NORMAL,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Have a task executed at the times of a cron expression; returns the schedule's id."""
    actor.must(Permission.EXECUTE)
    task = tasks.get(tx, actor, task_id, changing=True)
    values = _valid({"cron": cron, "time_zone": time_zone, "overlap": overlap, "missed": missed,
                     "lane": lane, "options": options or {}})  # fmt: skip
    schedule_id = new_id()
    tx.execute(
        insert(schedules),
        {
            **values,
            "id": schedule_id,
            "project_id": task.project_id,
            "task_id": task_id,
            "created_by": actor.id,
            "created_at": tx.now,
            "updated_at": tx.now,
            "next_at": next_after(tx.now, values["cron"], values["time_zone"]),
        },
    )
    _tell(tx, "schedule.created", actor, _get(tx, actor, schedule_id))
    return schedule_id


def change(tx: Tx, actor: Actor, schedule_id: str, changes: Mapping[str, Any]) -> None:
    """Set what `changes` names; `paused` stops it or lets it go on, from the next time on."""
    actor.must(Permission.EXECUTE)
    schedule = _get(tx, actor, schedule_id, changing=True)
    values = _valid(changes)
    if (paused := values.pop("paused", None)) is not None:
        values |= {"paused_at": tx.now if paused else None, "owed_at": None}
    now = {**schedule._asdict(), **values}
    values["next_at"] = next_after(tx.now, now["cron"], now["time_zone"])
    _set(tx, schedule_id, updated_at=tx.now, **values)
    _tell(tx, "schedule.updated", actor, _get(tx, actor, schedule_id))


def remove(tx: Tx, actor: Actor, schedule_id: str) -> None:
    """Delete a schedule; what it has started goes on."""
    actor.must(Permission.EXECUTE)
    schedule = _get(tx, actor, schedule_id, changing=True)
    tx.execute(delete(schedules).where(schedules.c.id == schedule_id))
    _tell(tx, "schedule.removed", actor, schedule)


def keep(tx: Tx) -> int:
    """Execute what is due by now, whoever comes first; returns how many schedules it kept."""
    due = tx.all(_DUE)
    for schedule in due:
        _keep_time(tx, schedule)
    # One of each task, the first: what else is owed waits until that has ended.
    owed = {schedule.task_id: schedule for schedule in reversed(tx.all(_OWED))}
    for schedule in owed.values():
        _set(tx, schedule.id, owed_at=None)
        _execute(tx, schedule)
    return len(due) + len(owed)


def next_after(moment: datetime, cron: str, time_zone: str) -> datetime | None:
    """The next time of an expression after a moment, as clocks in the time zone show it.

    Where clocks are set forward, what would fall into the gap comes right after it; where they are
    set back, a time that comes twice is kept once. None when there is none in fifty years.
    """
    there = moment.astimezone(ZoneInfo(time_zone))
    times = (time.astimezone(UTC) for time in CronSim(cron, there))
    # Within an hour that comes twice it answers with the first one, which may be over.
    return next((time for time in times if time > moment), None)


def _keep_time(tx: Tx, schedule: Row[Any]) -> None:
    # It is due by the clock of the database, which may be ahead of ours.
    now = max(tx.now, schedule.next_at)
    upcoming = next_after(now, schedule.cron, schedule.time_zone)
    _set(tx, schedule.id, next_at=upcoming, last_at=tx.now)
    if tx.now - schedule.next_at > PUNCTUAL and schedule.missed == Missed.SKIP:
        _tell(tx, "schedule.missed", None, schedule)
        return
    active = lifecycle.active_run(tx, schedule.task_id)
    if not active:
        _execute(tx, schedule)
    elif schedule.overlap == Overlap.SKIP:
        _tell(tx, "schedule.skipped", None, schedule)
    else:
        with _on_record(tx, schedule):
            if schedule.overlap == Overlap.REPLACE:
                actor = users.acting(tx, schedule.created_by)
                tasks.cancel(tx, actor, schedule.task_id, "Replaced by its schedule")
            _set(tx, schedule.id, owed_at=tx.now)


def _execute(tx: Tx, schedule: Row[Any]) -> None:
    """Execute its task in the name of whoever made the schedule."""
    with _on_record(tx, schedule):
        actor = users.acting(tx, schedule.created_by)
        run_id = tasks.execute(tx, actor, schedule.task_id, Lane(schedule.lane), schedule.options)
        _tell(tx, "schedule.kept", None, schedule, run_id=run_id)


@contextmanager
def _on_record(tx: Tx, schedule: Row[Any]) -> Iterator[None]:
    """A problem keeps nothing from the next time: it goes on record."""
    try:
        yield
    except Problem as problem:
        why = {"error_code": problem.code, "error": problem.message}
        _tell(tx, "schedule.failed", None, schedule, **why)


def _get(tx: Tx, actor: Actor, schedule_id: str, *, changing: bool = False) -> Row[Any]:
    schedule = tx.first(select(schedules).where(schedules.c.id == schedule_id, visible_to(actor)))
    if not schedule:
        raise ResourceNotFound(resource="schedule", schedule_id=schedule_id)
    if changing:
        projects.get_active(tx, actor, schedule.project_id)
    return schedule


def _valid(values: Mapping[str, Any]) -> dict[str, Any]:
    no_nulls(values, but=())
    found = dict(values)
    if "options" in found:
        terms.check(found["options"])
    if "time_zone" in found:
        _check_time_zone(found["time_zone"])
    if "cron" in found:
        _check_cron(found["cron"])
    return found


def _check_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidFormat("time_zone", "Not a time zone like Europe/Vienna") from None


def _check_cron(cron: str) -> None:
    try:
        if len(cron) > 100 or len(cron.split()) != 5:
            raise CronSimError
        next(CronSim(cron, datetime.now(UTC)))
    except StopIteration:
        raise InvalidFormat("cron", "There is no such time") from None
    except CronSimError:
        raise InvalidFormat("cron", "Not a cron expression like `30 6 * * 1-5`") from None


def _set(tx: Tx, schedule_id: str, **values: Any) -> None:
    tx.execute(update(schedules).where(schedules.c.id == schedule_id).values(values))
    tx.hint("schedules")


def _tell(
    tx: Tx,
    kind: str,
    actor: Actor | None,
    schedule: Row[Any],
    run_id: str | None = None,
    **details: Any,
) -> None:
    data = {"schedule_id": schedule.id, "cron": schedule.cron, **details}
    events.tell(tx, kind, actor, project_id=schedule.project_id, run_id=run_id, data=data)


_IS_BUSY = exists().where(
    task_rows.c.id == schedules.c.task_id, task_rows.c.active_run_id.is_not(None)
)
_DUE = (
    select(schedules)
    .where(schedules.c.paused_at.is_(None), schedules.c.next_at <= from_now(0))
    .order_by(schedules.c.next_at)
    .limit(MOST_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_OWED = (
    select(schedules)
    .where(schedules.c.owed_at.is_not(None), schedules.c.paused_at.is_(None), ~_IS_BUSY)
    .order_by(schedules.c.owed_at)
    .limit(MOST_AT_ONCE)
    .with_for_update(skip_locked=True)
)
