"""The system itself: what it is made of, how busy it is, and its maintenance mode."""

from enum import StrEnum
from typing import Any

import strawberry

from db import maintenance, projects
from db.types import Permission
from graph.context import Info
from graph.health import DetailedHealth, detailed_health
from graph.http import LARGEST_BODY
from graph.permissions import can
from graph.queues import QueueStatus, status_of_queues
from graph.scalars import DateTime
from graph.version import VERSION


@strawberry.type(description="What is switched on.")
class Features:
    websocket_enabled: bool
    redis_enabled: bool
    monitoring_enabled: bool


@strawberry.type(description="What there may be at most.")
class SystemLimits:
    max_tasks_per_project: int = strawberry.field(description="Unless the project says otherwise.")
    max_concurrent_tasks: int = strawberry.field(
        description="Of one project at once, unless it says otherwise."
    )
    max_file_size: str = strawberry.field(description="The largest body of a request.")


@strawberry.type(description="The program that carries out tasks for Claude, on this machine.")
class ClaudeCli:
    installed: bool
    version: str | None


@strawberry.type(description="What this installation is made of.")
class SystemInfo:
    version: str
    environment: str
    features: Features
    limits: SystemLimits
    process_backend: str | None = strawberry.field(
        description="How this process contains what it runs; null when others do that."
    )
    claude_cli: ClaudeCli


@strawberry.type(description="While it is active, only administrators change anything.")
class MaintenanceMode:
    active: bool
    since: DateTime | None
    message: str | None
    until: DateTime | None = strawberry.field(description="How long it is meant to last.")


@strawberry.enum(description="What `metrics` tells besides how busy the machine is.")
class MetricName(StrEnum):
    PERFORMANCE = "performance"
    QUEUE_STATUS = "queue_status"
    SYSTEM_HEALTH = "system_health"


@strawberry.type(description="How many runs wait in each lane.")
class QueueSizes:
    high: int
    normal: int
    low: int


@strawberry.type(description="How busy the system is at the moment.")
class Metrics:
    cpu_usage: float = strawberry.field(description="Of the machine's processors, in percent.")
    memory_usage: float = strawberry.field(description="Of the machine's memory, in percent.")
    active_connections: int = strawberry.field(description="WebSockets of this process.")
    tasks_per_minute: float = strawberry.field(description="In the last ten minutes.")
    queue_sizes: QueueSizes
    queue_status: QueueStatus | None = strawberry.field(description="When it was named.")
    system_health: DetailedHealth | None = strawberry.field(description="When it was named.")


@strawberry.type
class SystemQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="What this installation is made of.",
    )
    async def system_info(self, info: Info) -> SystemInfo:
        services = info.context.services
        claude = await services.installation.find_claude()
        return SystemInfo(
            version=VERSION,
            environment=services.settings.environment,
            features=Features(
                websocket_enabled=True,
                redis_enabled=services.redis is not None,
                monitoring_enabled=True,
            ),
            limits=SystemLimits(
                max_tasks_per_project=projects.DEFAULT_MAX_TASKS,
                max_concurrent_tasks=projects.DEFAULT_MAX_CONCURRENT_TASKS,
                max_file_size=f"{LARGEST_BODY // 2**20}MB",
            ),
            process_backend=services.installation.process_backend,
            claude_cli=ClaudeCli(installed=claude.is_installed, version=claude.version),
        )

    @strawberry.field(
        permission_classes=can(Permission.READ), description="How busy the system is."
    )
    async def metrics(self, info: Info, names: list[MetricName]) -> Metrics:
        services = info.context.services
        status = await status_of_queues(info.context)
        lanes = status.queues
        wants_health = MetricName.SYSTEM_HEALTH in names
        return Metrics(
            cpu_usage=services.vitals.cpu_usage(),
            memory_usage=services.vitals.memory_usage(),
            active_connections=services.streams.sockets,
            tasks_per_minute=status.performance.tasks_per_minute,
            queue_sizes=QueueSizes(
                high=lanes.high.size, normal=lanes.normal.size, low=lanes.low.size
            ),
            queue_status=status if MetricName.QUEUE_STATUS in names else None,
            system_health=await detailed_health(info.context) if wants_health else None,
        )

    @strawberry.field(
        permission_classes=can(Permission.READ), description="Whether maintenance mode is on."
    )
    async def maintenance(self, info: Info) -> MaintenanceMode:
        await info.context.services.maintenance.refresh()
        return _mode(info)


@strawberry.type
class SystemMutation:
    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER),
        description="Let only administrators change anything, on every server; reads and what "
        "already runs go on.",
    )
    async def start_maintenance(
        self, info: Info, message: str | None = None, until: DateTime | None = None
    ) -> MaintenanceMode:
        await info.context.write(maintenance.start, info.context.signed_in, message, until)
        await info.context.services.maintenance.refresh()
        return _mode(info)

    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER), description="Let everyone work again."
    )
    async def end_maintenance(self, info: Info) -> MaintenanceMode:
        await info.context.write(maintenance.end, info.context.signed_in)
        await info.context.services.maintenance.refresh()
        return _mode(info)


def _mode(info: Info) -> MaintenanceMode:
    state: Any = info.context.services.maintenance.state
    return MaintenanceMode(
        active=state.since_at is not None,
        since=state.since_at,
        message=state.message,
        until=state.until_at,
    )
