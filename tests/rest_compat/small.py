"""A small schema and a server around it: what the REST layer needs, and nothing of the product."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, cast

import strawberry
import uvicorn
from starlette.types import ASGIApp
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from db.actors import Actor
from db.errors import TokenInvalid
from db.types import Role
from graph.auth import Gate, Identity, Passwords
from graph.context import Context, Problem
from graph.execution import Executor
from graph.rate_limits import MemoryCounter, RateLimits
from graph.services import Services
from graph.streams import Streams
from graph.vitals import Vitals
from settings import Settings
from tests.fixtures.server import listening_socket

TOKEN = "good"
SESSION = "session-1"
ACTOR = Actor("user-1", "somebody", Role.DEVELOPER)


class ThingNotFound(Problem):
    """The thing does not exist."""

    code = "RESOURCE_NOT_FOUND"


@strawberry.enum
class Color(Enum):
    red = "red"
    green = "green"


@strawberry.input
class LimitsInput:
    most: int | None = strawberry.UNSET
    names: list[str] | None = strawberry.UNSET


@strawberry.input
class ThingInput:
    title: str
    color: Color | None = strawberry.UNSET
    weight: float | None = strawberry.UNSET
    is_heavy: bool | None = strawberry.UNSET
    limits: LimitsInput | None = strawberry.UNSET
    parts: list[LimitsInput] | None = strawberry.UNSET
    extra: JSON | None = strawberry.UNSET


@strawberry.type
class Thing:
    id: strawberry.ID
    title: str = "a thing"
    color: Color = Color.red
    note: str = ""
    extra: JSON | None = None


@strawberry.type
class News:
    id: strawberry.ID
    text: str


@strawberry.type
class Query:
    @strawberry.field
    def total(self) -> int:
        return 7

    @strawberry.field
    def thing(self, thing_id: strawberry.ID) -> Thing:
        return _thing(thing_id)

    @strawberry.field
    def things(self, color: list[Color] | None = None, page: int = 1) -> list[Thing]:
        colors = [each.value for each in color or []]
        return [Thing(id=strawberry.ID("1"), note=f"colors {colors} page {page}")]

    @strawberry.field
    def broken(self) -> int | None:
        raise ZeroDivisionError("secret words")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def make(self, thing: ThingInput) -> Thing:
        return Thing(id=strawberry.ID("new"), title=thing.title, extra=JSON(_given(thing)))

    @strawberry.mutation
    def remove(self, thing_id: strawberry.ID, confirm: bool | None = None) -> Thing:
        thing = _thing(thing_id)
        thing.note = f"confirm {confirm}"
        return thing

    @strawberry.mutation
    def use_session(self, session_id: strawberry.ID) -> Thing:
        if session_id != SESSION:
            raise ThingNotFound(id=session_id)
        return Thing(id=session_id)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def silence(self, info: strawberry.Info[Context, Any]) -> AsyncGenerator[News, None]:
        info.context.listening.set()
        await asyncio.Event().wait()
        yield News(id=strawberry.ID(""), text="")

    @strawberry.subscription
    async def news(
        self,
        info: strawberry.Info[Context, Any],
        project_id: strawberry.ID | None = None,
        task_id: strawberry.ID | None = None,
    ) -> AsyncGenerator[News, None]:
        if project_id == "unknown":
            raise ThingNotFound(id=project_id)
        info.context.listening.set()
        async for text in cast(SmallServices, info.context.services).newsroom.read():
            yield News(id=project_id or task_id or strawberry.ID(""), text=text)


class Newsroom:
    """Where subscriptions get their news, in the hands of a test."""

    def __init__(self) -> None:
        self.readers = 0
        self.pieces: asyncio.Queue[str | Exception] = asyncio.Queue()

    async def read(self) -> AsyncGenerator[str, None]:
        self.readers += 1
        try:
            while True:
                piece = await self.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.readers -= 1


class SmallGate(Gate):
    """Knows one token, for as long as a test says."""

    def __init__(self) -> None:
        nothing = timedelta(0)
        super().__init__(cast(Any, None), Passwords(), "", lasts=nothing, refresh_grace=nothing)
        self._refusal: Problem | None = None
        self.last_for(timedelta(hours=1))

    def last_for(self, time: timedelta) -> None:
        """Let the token be good for so long from now on."""
        self._expires_at = datetime.now(UTC) + time

    def turn_away(self, problem: Problem) -> None:
        """Let the token be good no more."""
        self._refusal = problem
        self.forget()

    async def identify(self, token: str) -> Identity:
        if token != TOKEN:
            raise TokenInvalid()
        if self._refusal:
            raise self._refusal
        if self._expires_at <= datetime.now(UTC):
            raise TokenInvalid(issue="expired")
        return Identity(ACTOR, self._expires_at)


class SmallServices(Services):
    """Knows one token."""

    gate: SmallGate

    def __init__(self) -> None:
        self.gate = SmallGate()
        self.rest = small_executor()
        self.vitals = Vitals()
        self.streams = Streams()
        self.limits = RateLimits(Settings(rate_limit_enabled=False), MemoryCounter())
        self.newsroom = Newsroom()


def small_executor() -> Executor:
    """An executor on the small schema."""
    config = StrawberryConfig(auto_camel_case=False)
    return Executor(
        strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription, config=config)
    )


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application for a while; gives `host:port`."""
    with listening_socket() as listener:
        host, port = listener.getsockname()
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        served = asyncio.create_task(server.serve([listener]))
        try:
            yield f"{host}:{port}"
        finally:
            server.should_exit = True
            await served


def _thing(id_: strawberry.ID) -> Thing:
    if id_ == "unknown":
        raise ThingNotFound(id=id_)
    return Thing(id=id_)


def _given(value: Any) -> Any:
    """What an input sets, as plain values."""
    if not is_dataclass(value):
        return value
    pairs = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: _given(each) for name, each in pairs.items() if each is not strawberry.UNSET}
