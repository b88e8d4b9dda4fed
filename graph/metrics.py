"""/metrics: what Prometheus is told, by this process of itself and of the record."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from db import queues
from graph.services import Services

LAG = Gauge("event_loop_lag_seconds", "How much later than due the event loop did its work.")
SOCKETS = Gauge("websocket_connections", "WebSockets that are open on this process.")
LAG_SECONDS = 1.0


def routes(services: Services) -> list[BaseRoute]:
    """Where the metrics are."""

    async def metrics(request: Request) -> Response:
        if not _may_read(services, request):
            return PlainTextResponse("Unauthorized", 401, {"WWW-Authenticate": "Bearer"})
        SOCKETS.set(services.streams.sockets)
        services.vitals.requests()  # What was counted in this second is told too.
        lanes = await services.database.rows(queues.depths())
        workers = await services.database.scalar(queues.workers_seen())
        body = generate_latest() + generate_latest(_of_record(lanes, workers))
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", metrics)]


@asynccontextmanager
async def lag_measured() -> AsyncIterator[None]:
    """Measure how late the event loop is, for as long as the block lasts."""
    measuring = asyncio.create_task(_measure_lag(), name="event loop lag")
    try:
        yield
    finally:
        measuring.cancel()


async def _measure_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        LAG.set(max(loop.time() - due, 0.0))


def _may_read(services: Services, request: Request) -> bool:
    if services.settings.metrics_token is None:
        return True
    wanted = f"Bearer {services.settings.metrics_token.get_secret_value()}"
    given = request.headers.get("Authorization", "")
    return hmac.compare_digest(wanted.encode(), given.encode())


def _of_record(lanes: Sequence[Row[Any]], workers: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    depth = Gauge("queue_depth", "Runs that wait.", ["lane"], registry=registry)
    age = Gauge("queue_age_seconds", "How long the oldest waits.", ["lane"], registry=registry)
    running = Gauge("runs_running", "Runs that are carried out.", ["lane"], registry=registry)
    for lane in lanes:
        depth.labels(lane.name).set(lane.waiting)
        age.labels(lane.name).set(lane.oldest_seconds or 0)
        running.labels(lane.name).set(lane.running)
    Gauge("workers", "Workers that were seen lately.", registry=registry).set(workers)
    return registry
