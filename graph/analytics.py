"""How the work in a project goes."""

from datetime import UTC, datetime
from typing import Any

import strawberry

from db import analytics, projects, spending
from db.types import Permission
from graph import reading
from graph.context import Info
from graph.permissions import can
from graph.scalars import BigInt, Duration


@strawberry.type(description="The work of a period at a glance.")
class AnalyticsSummary:
    total_tasks: int = strawberry.field(description="Tasks that were open in the period.")
    completed_tasks: int = strawberry.field(description="Those completed in it.")
    average_completion_time: Duration | None = strawberry.field(
        description="From creation to completion, on average."
    )
    productivity_score: float = strawberry.field(
        description="From 0 to 1: the mean of the completion rate and the rate of those on time; "
        "the first alone where no completed task was estimated."
    )


@strawberry.type(description="What happened day by day in UTC, oldest first.")
class TaskTrends:
    created_per_day: list[int]
    completed_per_day: list[int]


@strawberry.type(description="How long tasks took, and how many came to a good end.")
class PerformanceMetrics:
    average_task_duration: Duration | None = strawberry.field(
        description="From start to completion, on average."
    )
    median_task_duration: Duration | None = strawberry.field(
        description="From start to completion: half of them took less."
    )
    completion_rate: float = strawberry.field(description="Completed of all, from 0 to 1.")
    on_time_completion_rate: float | None = strawberry.field(
        description="Of the completed ones that were estimated, those that took no longer; null "
        "where none was."
    )


@strawberry.type(description="How somebody's tasks went; who has no assignee is its creator's.")
class TeamPerformance:
    user_id: strawberry.ID
    user_name: str
    tasks_completed: int
    average_duration: Duration | None
    completion_rate: float


@strawberry.type(description="What agents took on one day, with one model.")
class DailyUsage:
    day: str = strawberry.field(description="In UTC: `2026-01-31`.")
    model: str
    turns: int
    input_tokens: BigInt
    output_tokens: BigInt
    cache_tokens: BigInt
    cost_usd: float


@strawberry.type(description="How the work in a project goes, over a period that ends today.")
class ProjectAnalytics:
    project_id: strawberry.ID
    period: str
    summary: AnalyticsSummary
    task_trends: TaskTrends
    performance_metrics: PerformanceMetrics
    team_performance: list[TeamPerformance] = strawberry.field(
        description="Who completed most comes first."
    )

    @strawberry.field(description="What agents took, by day and model, where they took anything.")
    async def usage(self, info: Info) -> list[DailyUsage]:
        first_day, *_ = analytics.days_of(self.period, datetime.now(UTC))
        spent = spending.by_day_and_model(self.project_id, first_day)
        days: list[Any] = list(await info.context.database.rows(spent))
        return days


@strawberry.type
class AnalyticsQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="How the work in a project goes, over the last `7d`, `30d`, `90d` or `1y`.",
    )
    async def project_analytics(
        self, info: Info, project_id: strawberry.ID, period: str = "30d"
    ) -> ProjectAnalytics:
        days = analytics.days_of(period, datetime.now(UTC))
        await reading.get(info.context, "Project", projects.LISTING, project_id)

        async def rows(statement: Any) -> Any:
            return await info.context.database.rows(statement(project_id, days[0]))

        (summary,) = await rows(analytics.summary)
        created = dict(map(tuple, await rows(analytics.created_by_day)))
        completed = dict(map(tuple, await rows(analytics.completed_by_day)))
        completion_rate = _share(summary.completed_tasks, summary.total_tasks)
        on_time_rate = _share(summary.tasks_on_time, summary.estimated_tasks)
        return ProjectAnalytics(
            project_id=project_id,
            period=period,
            summary=AnalyticsSummary(
                total_tasks=summary.total_tasks,
                completed_tasks=summary.completed_tasks,
                average_completion_time=summary.completion_time,
                productivity_score=analytics.productivity(completion_rate or 0.0, on_time_rate),
            ),
            task_trends=TaskTrends(
                created_per_day=analytics.every_day(days, created),
                completed_per_day=analytics.every_day(days, completed),
            ),
            performance_metrics=PerformanceMetrics(
                average_task_duration=summary.duration,
                median_task_duration=summary.median_duration,
                completion_rate=completion_rate or 0.0,
                on_time_completion_rate=on_time_rate,
            ),
            team_performance=list(await rows(analytics.team)),
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
