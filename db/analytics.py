"""How the work in a project goes, over a period that ends today; computed by the database.

A period counts the tasks that were open at some time within it: those that had not come to their
end before it began. A task that has no assignee is its creator's. Days are days in UTC.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    ScalarSelect,
    Select,
    String,
    and_,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.errors import InvalidFormat
from db.listing import seconds_between
from db.tables import tasks, users
from db.types import TaskStatus

DAYS = {"7d": 7, "30d": 30, "90d": 90, "1y": 365}


def days_of(period: str, now: datetime) -> list[str]:
    """The days of a period, as `2026-01-31`, oldest first. Raises `InvalidFormat`."""
    if period not in DAYS:
        raise InvalidFormat("period", f"Must be one of: {', '.join(DAYS)}")
    return [f"{now - timedelta(days=ago):%Y-%m-%d}" for ago in reversed(range(DAYS[period]))]


def summary(project_id: str, first_day: str) -> Select[Any]:
    """One row: how many tasks there were, and how the completed ones went; lengths in seconds."""
    is_timed = and_(_is_completed, tasks.c.started_at.is_not(None), tasks.c.estimated_seconds > 0)
    return select(
        func.count().label("total_tasks"),
        _count(_is_completed).label("completed_tasks"),
        _mean(seconds_between(tasks.c.created_at, tasks.c.completed_at)).label("completion_time"),
        _mean(_duration).label("duration"),
        _median(project_id, first_day).label("median_duration"),
        _count(is_timed).label("estimated_tasks"),
        _count(and_(is_timed, _duration <= tasks.c.estimated_seconds)).label("tasks_on_time"),
    ).where(*_counted(project_id, first_day))


def created_by_day(project_id: str, first_day: str) -> Select[str, int]:
    """How many tasks were created on each day, where there were any."""
    return _by_day(tasks.c.created_at, project_id, first_day)


def completed_by_day(project_id: str, first_day: str) -> Select[str, int]:
    """How many tasks were completed on each day, where there were any."""
    return _by_day(tasks.c.completed_at, project_id, first_day).where(_is_completed)


def team(project_id: str, first_day: str) -> Select[Any]:
    """A row for everyone who had a task; who completed most comes first."""
    whose = func.coalesce(tasks.c.assigned_to, tasks.c.created_by)
    name = func.coalesce(users.c.full_name, users.c.username)
    completed = _count(_is_completed)
    return (
        select(
            users.c.id.label("user_id"),
            name.label("user_name"),
            completed.label("tasks_completed"),
            _mean(_duration).label("average_duration"),
            (cast(completed, Float) / cast(func.count(), Float)).label("completion_rate"),
        )
        .select_from(tasks.join(users, users.c.id == whose))
        .where(*_counted(project_id, first_day))
        .group_by(users.c.id, name)
        .order_by(completed.desc(), name)
    )


def every_day(days: Iterable[str], counted: Mapping[str, int]) -> list[int]:
    """A count for each day, also where nothing was counted."""
    return [counted.get(day, 0) for day in days]


def productivity(completion_rate: float, on_time_rate: float | None) -> float:
    """From 0 to 1: the mean of how much was completed and how much of that was on time.

    Where nothing was estimated only the first counts.
    """
    return completion_rate if on_time_rate is None else (completion_rate + on_time_rate) / 2


class day_of(FunctionElement[str]):  # noqa: N801 - reads as the SQL function that it is
    """The day of a time in UTC, as `2026-01-31`."""

    type = String()
    inherit_cache = True


def _start_of(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _counted(project_id: str, first_day: str) -> tuple[ColumnElement[bool], ...]:
    """True of the tasks that a period counts."""
    open_still = tasks.c.completed_at.is_(None)
    return (
        tasks.c.project_id == project_id,
        tasks.c.deleted_at.is_(None),
        or_(open_still, tasks.c.completed_at >= _start_of(first_day)),
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition)


def _mean(seconds: ColumnElement[float]) -> ColumnElement[float]:
    return cast(func.avg(seconds).filter(_is_completed), Float)


def _median(project_id: str, first_day: str) -> ScalarSelect[Any]:
    """The one in the middle, or the mean of the two there."""
    ranked = (
        select(
            _duration.label("seconds"),
            func.row_number().over(order_by=_duration).label("place"),
            func.count().over().label("height"),
        )
        .where(*_counted(project_id, first_day), _is_completed, tasks.c.started_at.is_not(None))
        .subquery()
    )
    height = cast(ranked.c.height, Integer)
    middle = ranked.c.place.in_([(height + 1) // 2, (height + 2) // 2])
    return select(cast(func.avg(ranked.c.seconds), Float)).where(middle).scalar_subquery()


def _by_day(at: ColumnElement[Any], project_id: str, first_day: str) -> Select[str, int]:
    day = day_of(at)
    counted = select(day.label("day"), func.count().label("tasks"))
    of_project = tasks.c.project_id == project_id, tasks.c.deleted_at.is_(None)
    return counted.where(*of_project, at >= _start_of(first_day)).group_by(day)


@compiles(day_of, "postgresql")
def _day_postgresql(element: day_of, compiler: SQLCompiler, **kw: Any) -> str:
    (at,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"to_char({at} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(day_of, "sqlite")
def _day_sqlite(element: day_of, compiler: SQLCompiler, **kw: Any) -> str:
    (at,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"substr({at}, 1, 10)"


_is_completed = tasks.c.status == TaskStatus.COMPLETED
_duration = seconds_between(tasks.c.started_at, tasks.c.completed_at)
