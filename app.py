"""Composition: the one file that knows every room."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pwdlib import PasswordHash
from sqlalchemy import make_url
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from db.bus import Bus, PostgresBus, RedisBus
from db.engine import Database
from db.postgres import PostgresDatabase, dsn
from db.sqlite import SqliteDatabase
from graph import endpoint as graphql
from graph import explorer
from graph.auth import Gate, Passwords
from graph.schema import graphql_executor, rest_executor
from graph.services import Services
from graph.socket import Socket
from graph.streams import Streams
from rest_compat import documents, openapi, ws
from rest_compat import endpoint as rest
from runners import process
from runners.worker import Worker
from settings import Settings


@dataclass
class App:
    """The whole server, as an ASGI application: the hot routes first, by their path."""

    services: Services
    streams: Streams
    worker: Worker | None
    _graphql: ASGIApp
    _rest: ASGIApp
    _others: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self._graphql(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith("/api/"):
            await self._rest(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def create_app(settings: Settings, hasher: PasswordHash | None = None) -> App:
    """Everything that one process serves with, wired together; nothing is opened yet."""
    database = connect(settings)
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
    )
    streams = Streams()
    worker = create_worker(settings, database) if settings.worker_concurrency else None
    operations = documents.load(services.rest)
    routes: list[BaseRoute] = [
        WebSocketRoute("/graphql", Socket(services, streams)),
        WebSocketRoute("/ws/{session_id}", ws.Sockets(services, operations, streams)),
        *explorer.routes(),
        *openapi.routes(operations, services.rest.schema),
    ]
    return App(
        services,
        streams,
        worker,
        _graphql=_shared(graphql.Endpoint(services, streams, explorer.page), settings),
        _rest=_shared(rest.Endpoint(services, operations), settings),
        _others=Starlette(routes=routes, lifespan=lambda _: _lives(services, worker)),
    )


def create_worker(settings: Settings, database: Database) -> Worker:
    """A worker that carries out runs of this database."""
    return Worker(database, settings, process.choose(settings.process_backend))


def connect(settings: Settings) -> Database:
    """The database that the settings name, and the bus that goes with it."""
    url = settings.database
    bus = _bus(settings)
    if url.startswith("sqlite"):
        return SqliteDatabase(Path(make_url(url).database or ""), bus)
    return PostgresDatabase(url, bus)


def _shared(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application, open to pages of the listed origins; untouched when there are none."""
    if not settings.allowed_origins:
        return app
    return CORSMiddleware(
        app, allow_origins=settings.allowed_origins, allow_methods=["*"], allow_headers=["*"]
    )


def _bus(settings: Settings) -> Bus:
    if settings.redis_url:
        return RedisBus(settings.redis_url.get_secret_value())
    if settings.database.startswith("sqlite"):
        return Bus()
    return PostgresBus(dsn(settings.database))


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
    async with opened(services.database):
        keeping = asyncio.create_task(services.gate.keep_current(), name="users stay current")
        try:
            if worker is None:
                yield
            else:
                async with worker.working():
                    yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
