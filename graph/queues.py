"""Queues: how they are, pause and resume them, clear them, and move tasks between them."""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import strawberry

from db import queues
from db.errors import InvalidFormat
from db.types import Lane, Permission
from graph.context import Context, Info
from graph.permissions import can
from graph.scalars import DateTime, Duration

_PERIOD = re.compile(r"([1-9][0-9]{0,3})([hd])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


@strawberry.enum(description="A lane, as the documentation of REST calls it.")
class QueueName(StrEnum):
    HIGH_PRIORITY = "high_priority"
    NORMAL_PRIORITY = "normal_priority"
    LOW_PRIORITY = "low_priority"

    @property
    def lane(self) -> Lane:
        return Lane(self.removesuffix("_priority"))


@strawberry.enum(description="Whether a queue is served.")
class QueueState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


@strawberry.type(description="What waits in a lane, and how it goes there.")
class Queue:
    size: int = strawberry.field(description="How many runs wait.")
    processing: int = strawberry.field(description="How many are carried out.")
    completed_today: int = strawberry.field(description="How many were completed today, in UTC.")
    status: QueueState
    paused_at: DateTime | None
    reason: str | None = strawberry.field(description="Why it is paused.")


@strawberry.type(description="Something of each lane.")
class Queues:
    high: Queue
    normal: Queue
    low: Queue


@strawberry.type(description="The processes that carry runs out.")
class Workforce:
    active: int = strawberry.field(description="Those that carry out something.")
    idle: int
    total: int


@strawberry.type(description="How runs went in the last ten minutes.")
class QueuePerformance:
    tasks_per_minute: float = strawberry.field(description="Completed or failed ones.")
    average_processing_time: Duration | None
    success_rate: float | None = strawberry.field(description="Completed of those, from 0 to 1.")


@strawberry.type(description="The queues, those who serve them, and how that goes.")
class QueueStatus:
    queues: Queues
    workers: Workforce
    performance: QueuePerformance


@strawberry.type(description="How long something took, in seconds.")
class Spread:
    average: float | None
    p50: float | None = strawberry.field(description="Half of them took no longer.")
    p95: float | None
    p99: float | None
    longest: float | None


@strawberry.type(description="How the runs of a lane went that ended in a period.")
class LaneMetrics:
    finished: int = strawberry.field(description="Completed, failed or cancelled.")
    completed: int
    failed: int
    cancelled: int
    throughput_per_hour: float = strawberry.field(description="Finished ones.")
    success_rate: float | None = strawberry.field(
        description="Completed of the completed and failed, from 0 to 1."
    )
    wait_time: Spread = strawberry.field(description="From the queue to a worker.")
    run_time: Spread = strawberry.field(description="From its process's begin to its end.")


@strawberry.type(description="The metrics of each lane.")
class LanesMetrics:
    high: LaneMetrics
    normal: LaneMetrics
    low: LaneMetrics


@strawberry.type(description="How the runs went that ended in a period.")
class QueueMetrics:
    period: str
    since: DateTime
    queues: LanesMetrics
    total: LaneMetrics


@strawberry.type(description="A queue that was paused or resumed.")
class ChangedQueue:
    queue_name: QueueName
    status: QueueState
    reason: str | None
    changed_at: DateTime


@strawberry.type(description="A queue that was cleared.")
class ClearedQueue:
    queue_name: QueueName
    cleared_count: int = strawberry.field(description="How many waiting runs were cancelled.")
    cleared_at: DateTime


@strawberry.type(description="Why a task was not moved.")
class PriorityError:
    task_id: strawberry.ID
    code: str
    message: str


@strawberry.type(description="What became of tasks that were to wait in another lane.")
class Prioritized:
    priority: Lane
    affected_count: int
    successful: list[strawberry.ID]
    failed: list[strawberry.ID]
    errors: list[PriorityError]


@strawberry.type
class QueueQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ), description="How the queues are at the moment."
    )
    async def queue_status(self, info: Info) -> QueueStatus:
        return await status_of_queues(info.context)

    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="How it went in a period: `1h`, `24h`, `7d`; at most `365d`.",
    )
    async def queue_metrics(self, info: Info, period: str = "24h") -> QueueMetrics:
        length = _length(period)
        since = datetime.now(UTC) - length
        rows = await info.context.database.rows(queues.metrics(since, by_lane=True))
        total = await info.context.database.first(queues.metrics(since, by_lane=False))
        found = {row.lane: _metrics(row, length) for row in rows}
        none = _metrics(None, length)
        return QueueMetrics(
            period=period,
            since=DateTime(since),
            queues=LanesMetrics(**{lane.value: found.get(lane, none) for lane in Lane}),
            total=_metrics(total, length),
        )


@strawberry.type
class QueueMutation:
    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER),
        description="Let nothing of a queue begin until it is resumed; what runs goes on.",
    )
    async def pause_queue(
        self, info: Info, queue_name: QueueName, reason: str | None = None
    ) -> ChangedQueue:
        await info.context.write(queues.pause, info.context.signed_in, queue_name.lane, reason)
        return _changed(queue_name, QueueState.PAUSED, reason)

    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER), description="Let a queue be served again."
    )
    async def resume_queue(self, info: Info, queue_name: QueueName) -> ChangedQueue:
        await info.context.write(queues.resume, info.context.signed_in, queue_name.lane)
        return _changed(queue_name, QueueState.ACTIVE, None)

    @strawberry.mutation(
        permission_classes=can(Permission.EXECUTE),
        description="Cancel everything that waits in a queue and that you may cancel.",
    )
    async def clear_queue(self, info: Info, queue_name: QueueName, confirm: bool) -> ClearedQueue:
        count = await info.context.write(
            queues.clear, info.context.signed_in, queue_name.lane, confirm=confirm
        )
        return ClearedQueue(
            queue_name=queue_name, cleared_count=count, cleared_at=DateTime(datetime.now(UTC))
        )

    @strawberry.mutation(
        permission_classes=can(Permission.EXECUTE),
        description="Let queued tasks wait in another lane; each for itself.",
    )
    async def set_queue_priority(
        self, info: Info, task_ids: list[strawberry.ID], priority: Lane
    ) -> Prioritized:
        outcome = await info.context.write(
            queues.prioritise, info.context.signed_in, task_ids, priority
        )
        return Prioritized(
            priority=priority,
            affected_count=len(outcome.successful),
            successful=[strawberry.ID(task_id) for task_id in outcome.successful],
            failed=[strawberry.ID(task_id) for task_id in outcome.failed],
            errors=[
                PriorityError(
                    task_id=strawberry.ID(task_id), code=problem.code, message=problem.message
                )
                for task_id, problem in outcome.failed.items()
            ],
        )


async def status_of_queues(context: Context) -> QueueStatus:
    """How the queues are at the moment."""
    lanes = await context.database.rows(queues.overview())
    workers = await context.database.first(queues.workforce())
    performance = await context.database.first(queues.performance())
    assert workers
    assert performance
    return QueueStatus(
        queues=Queues(**{row.name: _queue(row) for row in lanes}),
        workers=Workforce(**workers._asdict()),
        performance=QueuePerformance(**performance._asdict()),
    )


def _queue(row: Any) -> Queue:
    return Queue(
        size=row.size,
        processing=row.processing,
        completed_today=row.completed_today,
        status=QueueState.PAUSED if row.paused_at else QueueState.ACTIVE,
        paused_at=row.paused_at,
        reason=row.paused_reason,
    )


def _length(period: str) -> timedelta:
    found = _PERIOD.fullmatch(period)
    length = int(found[1]) * _UNITS[found[2]] if found else timedelta(0)
    if not timedelta(0) < length <= queues.LONGEST_PERIOD:
        raise InvalidFormat("period", "Must be a number of hours or days: 1h, 24h, 7d")
    return length


def _metrics(row: Any, length: timedelta) -> LaneMetrics:
    if row is None:
        nothing = Spread(average=None, p50=None, p95=None, p99=None, longest=None)
        return LaneMetrics(
            finished=0,
            completed=0,
            failed=0,
            cancelled=0,
            throughput_per_hour=0.0,
            success_rate=None,
            wait_time=nothing,
            run_time=nothing,
        )
    ended = row.completed + row.failed
    return LaneMetrics(
        finished=row.finished,
        completed=row.completed,
        failed=row.failed,
        cancelled=row.cancelled,
        throughput_per_hour=row.finished / (length / timedelta(hours=1)),
        success_rate=row.completed / ended if ended else None,
        wait_time=_spread("wait", row._mapping),
        run_time=_spread("run", row._mapping),
    )


def _spread(name: str, row: Any) -> Spread:
    words = ("average", "p50", "p95", "p99", "longest")
    return Spread(**{word: row[f"{name}_{word}"] for word in words})


def _changed(queue_name: QueueName, status: QueueState, reason: str | None) -> ChangedQueue:
    return ChangedQueue(
        queue_name=queue_name,
        status=status,
        reason=reason,
        changed_at=DateTime(datetime.now(UTC)),
    )
