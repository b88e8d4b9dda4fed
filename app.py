"""Composition: the one file that knows every room.

What only some installations need, and is slow to import, is imported where it is needed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pwdlib import PasswordHash
from sqlalchemy import make_url
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from db import tracing
from db.bus import Bus
from db.engine import Database
from db.sqlite import SqliteDatabase
from graph import endpoint as graphql
from graph import explorer, metrics
from graph.auth import Gate, Passwords
from graph.entrance import Entrance
from graph.http import REFUSAL
from graph.installation import Cli, Installation
from graph.maintenance import Maintenance
from graph.rate_limits import MemoryCounter, RateLimits
from graph.schema import graphql_executor, rest_executor
from graph.services import Services
from graph.socket import Socket
from graph.streams import Streams
from graph.vitals import Vitals
from rest_compat import documents, openapi, ws
from rest_compat import endpoint as rest
from runners import agents, process
from runners.deliveries import Deliveries
from runners.upkeep import Upkeep
from runners.worker import Worker
from settings import Settings

if TYPE_CHECKING:
    from graph.redis_server import RedisServer

EXPOSED_HEADERS = [
    *(f"X-RateLimit-{word}" for word in ("Limit", "Remaining", "Reset", "Window")),
    "Retry-After",
    "X-Request-ID",
]


@dataclass
class App:
    """The whole server, as an ASGI application."""

    services: Services
    streams: Streams
    worker: Worker | None
    _http: ASGIApp
    _others: ASGIApp

    def stop_claiming(self) -> None:
        """Let what runs go on, and begin nothing new."""
        if self.worker:
            self.worker.stop_claiming()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Requests go through the entrance; sockets and the lifespan do not.
        chosen = self._http if scope["type"] == "http" else self._others
        return chosen(scope, receive, send)


@dataclass
class _Paths:
    """The hot routes first, by their path. What is turned away is answered by an endpoint."""

    graphql: ASGIApp
    rest: ASGIApp
    others: ASGIApp

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["path"] == "/graphql":
            return self.graphql(scope, receive, send)
        if scope["path"].startswith("/api/") or REFUSAL in scope:
            return self.rest(scope, receive, send)
        return self.others(scope, receive, send)


def create_app(settings: Settings, hasher: PasswordHash | None = None) -> App:
    """Everything that one process serves with, wired together; nothing is opened yet."""
    database = connect(settings)
    redis = _redis(settings)
    streams = Streams(settings.websocket_connections_per_user)
    worker = create_worker(settings, database) if settings.worker_concurrency else None
    services = Services(
        settings=settings,
        database=database,
        gate=Gate(
            database,
            Passwords(hasher),
            settings.signing_key(),
            lasts=timedelta(seconds=settings.access_token_seconds),
            refresh_grace=timedelta(seconds=settings.refresh_grace_seconds),
        ),
        graphql=graphql_executor(database.dialect),
        rest=rest_executor(database.dialect),
        limits=RateLimits(settings, redis.counter if redis else MemoryCounter()),
        maintenance=Maintenance(database),
        vitals=Vitals(),
        streams=streams,
        installation=Installation(
            process_backend=worker.backend_name if worker else None,
            find_claude=lambda: _claude(settings),
        ),
        redis=redis,
    )
    operations = documents.load(services.rest)
    routes: list[BaseRoute] = [
        WebSocketRoute("/graphql", Socket(services, streams)),
        WebSocketRoute("/ws/{session_id}", ws.Sockets(services, operations, streams)),
        *explorer.routes(),
        *openapi.routes(operations, services.rest.schema),
        *metrics.routes(services),
    ]
    others = Starlette(routes=routes, lifespan=lambda _: _lives(services, worker))
    paths = _Paths(
        graphql=graphql.Endpoint(services, streams, explorer.page),
        rest=rest.Endpoint(services, operations),
        others=others,
    )
    http = _shared(Entrance(paths, services), settings)
    surfaces = (_behind_proxies(app, settings) for app in (http, others))
    return App(services, streams, worker, *surfaces)


def create_worker(settings: Settings, database: Database) -> Worker:
    """A worker that carries out runs of this database."""
    return Worker(database, settings, process.choose(settings.process_backend))


def connect(settings: Settings) -> Database:
    """The database that the settings name, and the bus that goes with it."""
    url = settings.database
    bus = _bus(settings)
    if url.startswith("sqlite"):
        return SqliteDatabase(Path(make_url(url).database or ""), bus)
    from db.postgres import PostgresDatabase  # noqa: PLC0415

    return PostgresDatabase(url, bus)


def _shared(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application, open to pages of the listed origins; untouched when there are none."""
    if not settings.allowed_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.allowed_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )


def _behind_proxies(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application, seeing the addresses that trusted proxies forward."""
    if not settings.trusted_proxies:
        return app
    wrapped = ProxyHeadersMiddleware(cast(Any, app), settings.trusted_proxies)
    return cast(ASGIApp, wrapped)


async def _claude(settings: Settings) -> Cli:
    """The claude CLI that this process would run."""
    found = await agents.find(settings.claude_command, settings.data_dir)
    return Cli(found is not None, found.shown_version if found else None)


def _redis(settings: Settings) -> "RedisServer | None":
    """The Redis that counts requests."""
    if settings.redis_url is None:
        return None
    from graph.redis_server import RedisServer  # noqa: PLC0415

    return RedisServer(settings.redis_url.get_secret_value())


def _bus(settings: Settings) -> Bus:
    if settings.redis_url:
        from db.redis_bus import RedisBus  # noqa: PLC0415

        return RedisBus(settings.redis_url.get_secret_value())
    if settings.database.startswith("sqlite"):
        return Bus()
    from db.postgres import dsn  # noqa: PLC0415
    from db.postgres_bus import PostgresBus  # noqa: PLC0415

    return PostgresBus(dsn(settings.database))


@contextlib.contextmanager
def traced(settings: Settings) -> Iterator[None]:
    """Spans for as long as the block lasts, if there is somewhere to send them."""
    if settings.otel_exporter_otlp_endpoint is None:
        yield
        return
    # Optional, and slow to import: only where it is asked for.
    sdk = import_module("opentelemetry.sdk.trace")
    batches = import_module("opentelemetry.sdk.trace.export")
    http = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    address = f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    provider = sdk.TracerProvider()
    provider.add_span_processor(batches.BatchSpanProcessor(http.OTLPSpanExporter(address)))
    tracing.use(provider.get_tracer("claude-cli-api"))
    try:
        yield
    finally:
        tracing.use(None)
        provider.shutdown()


@contextlib.asynccontextmanager
async def opened(database: Database) -> AsyncIterator[None]:
    """A database and its bus, open for as long as they are needed."""
    await database.open()
    try:
        await database.bus.open()
        try:
            yield
        finally:
            await database.bus.close()
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _lives(services: Services, worker: Worker | None) -> AsyncIterator[None]:
    upkeep = Upkeep(services.database, services.settings)
    deliveries = Deliveries(services.database, services.settings)
    with traced(services.settings):
        async with (
            opened(services.database),
            upkeep.going_on(),
            deliveries.going_on(),
            metrics.lag_measured(),
            _serving(services, worker),
        ):
            yield


@contextlib.asynccontextmanager
async def _serving(services: Services, worker: Worker | None) -> AsyncIterator[None]:
    await services.maintenance.refresh()
    keeping = [
        asyncio.create_task(services.gate.keep_current(), name="users stay current"),
        asyncio.create_task(services.maintenance.keep_current(), name="maintenance is known"),
    ]
    try:
        if worker is None:
            yield
        else:
            async with worker.working():
                yield
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        if services.redis:
            await services.redis.close()
