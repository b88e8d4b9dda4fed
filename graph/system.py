"""The system itself: is it well, and which version is it."""

import time
from datetime import UTC, datetime
from enum import StrEnum

import strawberry
from sqlalchemy import select

from db.errors import DatabaseUnavailable
from graph.context import Info
from graph.scalars import DateTime

VERSION = "1.0.0"
_STARTED = time.monotonic()


@strawberry.enum(description="Whether something works.")
class HealthStatus(StrEnum):
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@strawberry.type(description="Whether this server works.")
class Health:
    status: HealthStatus
    timestamp: DateTime
    uptime: int = strawberry.field(description="Seconds since the start.")
    version: str


@strawberry.type
class SystemQuery:
    @strawberry.field(description="Whether this server works; anyone may ask.")
    async def health(self, info: Info) -> Health:
        try:
            await info.context.database.scalar(select(1))
            status = HealthStatus.HEALTHY
        except DatabaseUnavailable:
            status = HealthStatus.UNHEALTHY
        return Health(
            status=status,
            timestamp=DateTime(datetime.now(UTC)),
            uptime=int(time.monotonic() - _STARTED),
            version=VERSION,
        )
