"""Whether this server works, and how well: all of it is measured."""

import asyncio
import time
from datetime import UTC, datetime
from enum import StrEnum

import strawberry
from sqlalchemy import select

from db.errors import DatabaseUnavailable
from db.tables import maintenance
from graph.context import Context, Info
from graph.scalars import DateTime
from graph.version import VERSION

CHECK_SECONDS = 3.0
"""What does not answer within this time does not work."""
MEBIBYTE = 2**20
_STARTED = time.monotonic()


@strawberry.enum(description="Whether something works.")
class HealthStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    DISABLED = "disabled"


@strawberry.type(description="Whether this server works.")
class Health:
    status: HealthStatus
    timestamp: DateTime
    uptime: int = strawberry.field(description="Seconds since the start.")
    version: str


@strawberry.type(description="The connections of this process to the database.")
class DatabaseConnections:
    active: int
    idle: int
    total: int


@strawberry.type(description="Whether the database answers.")
class DatabaseCheck:
    status: HealthStatus
    response_time: float | None = strawberry.field(description="In milliseconds.")
    connections: DatabaseConnections


@strawberry.type(description="Whether Redis answers; `disabled` where none is configured.")
class RedisCheck:
    status: HealthStatus
    memory_usage: str | None = strawberry.field(description="`45.2MB`.")
    connected_clients: int | None


@strawberry.type(description="The WebSockets of this process.")
class WebSocketCheck:
    status: HealthStatus
    active_connections: int = strawberry.field(description="Those whose users are known.")
    avg_latency: float = strawberry.field(
        description="Milliseconds until a client takes a message; the last minute's mean."
    )


@strawberry.type(description="What was looked at.")
class HealthChecks:
    database: DatabaseCheck
    redis: RedisCheck
    websocket: WebSocketCheck


@strawberry.type(description="The requests that this process answered in the last minute.")
class HealthMetrics:
    requests_per_minute: int
    average_response_time: float = strawberry.field(description="In milliseconds.")
    error_rate: float = strawberry.field(description="Those that failed by our fault, of all.")


@strawberry.type(
    description="Whether this server works, part by part. Without its database it is `unhealthy`; "
    "without the Redis that it was given it is `degraded`, for everything still works, if slower."
)
class DetailedHealth:
    status: HealthStatus
    timestamp: DateTime
    checks: HealthChecks
    metrics: HealthMetrics


@strawberry.type
class HealthQuery:
    @strawberry.field(description="Whether this server works; anyone may ask.")
    async def health(self, info: Info) -> Health:
        response_time = await _response_time(info.context)
        return Health(
            status=_status(response_time),
            timestamp=DateTime(datetime.now(UTC)),
            uptime=int(time.monotonic() - _STARTED),
            version=VERSION,
        )

    @strawberry.field(description="Whether this server works, part by part; anyone may ask.")
    async def detailed_health(self, info: Info) -> DetailedHealth:
        return await detailed_health(info.context)


async def detailed_health(context: Context) -> DetailedHealth:
    """Look at everything that this server needs."""
    database, redis = await asyncio.gather(_database(context), _redis(context))
    requests = context.services.vitals.requests()
    status = database.status
    if status is HealthStatus.HEALTHY and redis.status is HealthStatus.UNHEALTHY:
        status = HealthStatus.DEGRADED
    return DetailedHealth(
        status=status,
        timestamp=DateTime(datetime.now(UTC)),
        checks=HealthChecks(database=database, redis=redis, websocket=_websocket(context)),
        metrics=HealthMetrics(
            requests_per_minute=requests.per_minute,
            average_response_time=round(requests.average_response_time, 1),
            error_rate=round(requests.error_rate, 4),
        ),
    )


async def _database(context: Context) -> DatabaseCheck:
    response_time = await _response_time(context)
    active, idle = context.database.connections()
    return DatabaseCheck(
        status=_status(response_time),
        response_time=response_time,
        connections=DatabaseConnections(active=active, idle=idle, total=active + idle),
    )


async def _response_time(context: Context) -> float | None:
    """How long the database took to answer, in milliseconds; None when it did not."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            # A table, however small: SQLite would answer less without its file.
            await context.database.scalar(select(maintenance.c.id))
    except (DatabaseUnavailable, TimeoutError):
        return None
    return round((time.perf_counter() - began) * 1000, 1)


def _status(response_time: float | None) -> HealthStatus:
    return HealthStatus.UNHEALTHY if response_time is None else HealthStatus.HEALTHY


async def _redis(context: Context) -> RedisCheck:
    redis = context.services.redis
    if redis is None:
        return RedisCheck(status=HealthStatus.DISABLED, memory_usage=None, connected_clients=None)
    found = await redis.info()
    if found is None:
        return RedisCheck(status=HealthStatus.UNHEALTHY, memory_usage=None, connected_clients=None)
    return RedisCheck(
        status=HealthStatus.HEALTHY,
        memory_usage=f"{found['used_memory'] / MEBIBYTE:.1f}MB",
        connected_clients=found["connected_clients"],
    )


def _websocket(context: Context) -> WebSocketCheck:
    return WebSocketCheck(
        status=HealthStatus.HEALTHY,
        active_connections=context.services.streams.sockets,
        avg_latency=round(context.services.vitals.latency(), 3),
    )
