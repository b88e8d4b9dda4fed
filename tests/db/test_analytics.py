"""How the work in a project goes, against what can be counted by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Select, update

from db import analytics
from db.actors import Actor
from db.engine import Database, Tx
from db.errors import InvalidFormat
from db.tables import tasks as task_rows
from db.types import MemberRole
from tests.db import record

TODAY = datetime(2026, 3, 31, 15, tzinfo=UTC)
WEEK = analytics.days_of("7d", TODAY)


def test_a_period_ends_today() -> None:
    assert ["2026-03-25", "2026-03-26", "2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30",
            "2026-03-31"] == WEEK  # fmt: skip


@pytest.mark.parametrize(("period", "length"), [("7d", 7), ("30d", 30), ("90d", 90), ("1y", 365)])
def test_a_period_has_all_its_days(period: str, length: int) -> None:
    days = analytics.days_of(period, TODAY)

    assert (length, "2026-03-31") == (len(set(days)), days[-1])


@pytest.mark.parametrize("period", ["", "7", "8d", "1Y", "7d "])
def test_another_period_is_refused(period: str) -> None:
    with pytest.raises(InvalidFormat) as raised:
        analytics.days_of(period, TODAY)

    assert "period" == raised.value.details["field"]


@pytest.mark.parametrize(
    ("completion_rate", "on_time_rate", "expected"),
    [(0.5, 1.0, 0.75), (0.0, None, 0.0), (0.5, None, 0.5), (1.0, 0.0, 0.5)],
)
def test_productivity_is_the_mean_of_how_much_and_how_punctually(
    completion_rate: float, on_time_rate: float | None, expected: float
) -> None:
    assert expected == analytics.productivity(completion_rate, on_time_rate)


async def test_the_summary_counts_what_was_open_in_the_period(database: Database) -> None:
    _, project_id = await _history(database)
    row = await _one(database, analytics.summary(project_id, WEEK[0]))

    assert {
        "total_tasks": 6,
        "completed_tasks": 4,
        # 3 days, 1 hour, 2 hours and 4 hours after they were created.
        "completion_time": (72 + 1 + 2 + 4) * 3600 / 4,
        # 30, 60, 120 and 90 minutes.
        "duration": 75 * 60,
        "median_duration": 75 * 60,
        # Estimated were the first three, at an hour each: the second took just that.
        "estimated_tasks": 3,
        "tasks_on_time": 2,
    } == {name: pytest.approx(value, abs=0.01) for name, value in row.items()}


async def test_nothing_is_counted_where_nothing_was_done(database: Database) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    row = await _one(database, analytics.summary(project_id, WEEK[0]))

    assert (0, 0, None, None, None) == (
        row["total_tasks"],
        row["completed_tasks"],
        row["completion_time"],
        row["duration"],
        row["median_duration"],
    )
    assert [] == await database.rows(analytics.team(project_id, WEEK[0]))


@pytest.mark.parametrize(
    ("minutes", "expected"), [([10], 10), ([10, 40], 25), ([50, 10, 20], 20), ([1, 2, 3, 100], 2.5)]
)
async def test_the_median_is_in_the_middle(
    database: Database, minutes: list[int], expected: float
) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    for took in minutes:
        await _task(database, ann, project_id, created="2026-03-30T00:00", ended="2026-03-30T12:00",
                    minutes=took)  # fmt: skip
    row = await _one(database, analytics.summary(project_id, WEEK[0]))

    assert expected * 60 == pytest.approx(row["median_duration"], abs=0.01)


async def test_trends_have_every_day(database: Database) -> None:
    _, project_id = await _history(database)
    created = await database.rows(analytics.created_by_day(project_id, WEEK[0]))
    completed = await database.rows(analytics.completed_by_day(project_id, WEEK[0]))

    assert [1, 0, 0, 0, 0, 2, 1] == analytics.every_day(WEEK, dict(map(tuple, created)))
    assert [2, 0, 0, 0, 0, 1, 1] == analytics.every_day(WEEK, dict(map(tuple, completed)))


async def test_a_team_is_who_had_tasks(database: Database) -> None:
    ann, project_id = await _history(database)
    team = await database.rows(analytics.team(project_id, WEEK[0]))

    assert [
        ("Bob B.", 3, pytest.approx(70 * 60, abs=0.01), 1.0),
        ("ann", 1, pytest.approx(90 * 60, abs=0.01), pytest.approx(1 / 3)),
    ] == [tuple(row)[1:] for row in team]
    assert ann.id == team[1].user_id


async def _history(database: Database) -> tuple[Actor, str]:
    """Ann's project, in which Bob did most."""
    ann = await record.person(database)
    bob = await record.person(database, "bob", full_name="Bob B.")
    project_id = await record.project(database, ann)
    await record.member(database, project_id, bob, MemberRole.EDITOR)
    hour = {"estimated_duration": 3600}
    for created, ended, words in [
        # Completed before the period.
        ("2026-03-20T00:00", "2026-03-24T23:59", {"minutes": 5}),
        # Completed at its very beginning.
        ("2026-03-22T00:00", "2026-03-25T00:00", {"minutes": 30, "assigned_to": bob.id, **hour}),
        ("2026-03-25T22:59", "2026-03-25T23:59", {"minutes": 60, "assigned_to": bob.id, **hour}),
        ("2026-03-30T10:00", "2026-03-30T12:00", {"minutes": 120, "assigned_to": bob.id, **hour}),
        ("2026-03-31T08:00", "2026-03-31T12:00", {"minutes": 90}),
        # Open still, failed in the period, deleted, and failed before.
        ("2026-03-30T10:00", None, {}),
        ("2026-03-24T10:00", "2026-03-28T10:00", {"minutes": 1, "status": "failed"}),
        ("2026-03-31T08:00", "2026-03-31T12:00", {"minutes": 3, "is_deleted": True}),
        ("2026-03-20T08:00", "2026-03-21T12:00", {"minutes": 3, "status": "failed"}),
    ]:
        await _task(database, ann, project_id, created, ended, **words)  # type: ignore[arg-type]
    elsewhere = await record.project(database, ann)
    await _task(database, ann, elsewhere, "2026-03-30T10:00", "2026-03-30T12:00", minutes=1)
    return ann, project_id


async def _task(
    database: Database,
    actor: Actor,
    project_id: str,
    created: str,
    ended: str | None,
    *,
    minutes: int = 0,
    status: str = "completed",
    is_deleted: bool = False,
    **words: Any,
) -> None:
    """A task with a past."""
    task_id = await record.task(database, actor, project_id, **words)
    completed_at = _at(ended) if ended else None
    past = {
        "created_at": _at(created),
        "completed_at": completed_at,
        "started_at": completed_at and completed_at - timedelta(minutes=minutes),
        "status": status if ended else "pending",
        "deleted_at": TODAY if is_deleted else None,
    }

    def rewrite(tx: Tx) -> None:
        tx.execute(update(task_rows).where(task_rows.c.id == task_id).values(past))

    await database.write(rewrite)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def _one(database: Database, statement: Select[Any]) -> Mapping[str, Any]:
    (row,) = await database.rows(statement)
    return row._asdict()
