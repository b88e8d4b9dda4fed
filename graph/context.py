"""What a resolver may reach."""

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec
import strawberry

from db.actors import Actor
from db.bus import Bus
from db.engine import Database, Unit, WritingUnit
from db.errors import Problem, TokenMissing, WebSocketConnectionFailed
from graph.auth import Caller, Gate
from graph.installation import Installation
from graph.loaders import Loaders
from graph.maintenance import Maintenance
from graph.rate_limits import RateLimits
from graph.streams import Streams
from graph.vitals import Vitals
from settings import Settings

if TYPE_CHECKING:
    from graph.redis_server import RedisServer

__all__ = ["Context", "Info", "Problem", "Resources", "WebSocketConnectionFailed"]

P = ParamSpec("P")
T = TypeVar("T")


class Context(msgspec.Struct, dict=True, eq=False):
    """One request, one socket's operation or one event of a subscription."""

    services: "Resources"
    caller: Caller
    request_id: str
    _loaders: Loaders | None = None

    @cached_property
    def listening(self) -> asyncio.Event:
        """Set once a subscription misses nothing any more of what happens from then on."""
        return asyncio.Event()

    @property
    def actor(self) -> Actor | None:
        return self.caller.actor

    @property
    def signed_in(self) -> Actor:
        """The actor. Raises why there is none: `TokenMissing`, or what is wrong with the token."""
        if self.caller.actor is None:
            raise self.caller.refusal or TokenMissing()
        return self.caller.actor

    @property
    def database(self) -> Database:
        return self.services.database

    @property
    def loaders(self) -> Loaders:
        self._loaders = self._loaders or Loaders(self.database)
        return self._loaders

    def forget(self) -> None:
        """Load everything anew: what was loaded may have changed since."""
        self._loaders = None

    def fresh(self) -> "Context":
        """The same caller, also when they change, with nothing loaded."""
        return msgspec.structs.replace(self, _loaders=None)

    async def demand(self) -> None:
        """Count what is asked for on a socket. Raises `RateLimitExceeded`."""
        await self.services.limits.demand(self.actor, self.caller.address)

    async def write(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `unit(tx, …)` as one transaction; what was loaded before is forgotten.

        Raises `SystemMaintenance` while only administrators may change anything.
        """
        self.services.maintenance.check(self.actor)
        return await self.note(unit, *args, **kwargs)

    async def enact(self, unit: WritingUnit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a writing, `unit(moment, …)`."""
        self.services.maintenance.check(self.actor)
        result = await self.database.enact(unit, *args, **kwargs)
        self.forget()
        return result

    async def note(self, unit: Unit[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for what is noted by the way, such as that somebody signed in: always."""
        result = await self.database.write(unit, *args, **kwargs)
        self.forget()
        return result


Info = strawberry.Info[Context, Any]


@dataclass(kw_only=True)
class Resources:
    """What one process resolves fields with; composed in `app.py`."""

    settings: Settings
    database: Database
    gate: Gate
    limits: RateLimits
    maintenance: Maintenance
    vitals: Vitals
    streams: Streams
    installation: Installation
    redis: "RedisServer | None" = None

    @property
    def bus(self) -> Bus:
        return self.database.bus

    async def context(self, token: str | None, request_id: str, address: str = "") -> Context:
        """The context of a caller. Raises `TokenInvalid` or `AccountDisabled`.

        Without a token there is no actor, and fields that need one say so.
        """
        actor = None
        if token is not None:
            # What is remembered needs no coroutine.
            identity = self.gate.recall(token) or await self.gate.identify(token)
            actor = identity.actor
        return Context(self, Caller(actor, token, address), request_id)

    async def visitor(self, token: str | None, request_id: str, address: str = "") -> Context:
        """The context of whoever comes: a token that is not good is only refused by fields that
        need an actor. Others, such as the exchange of an expired token, work.
        """
        try:
            return await self.context(token, request_id, address)
        except Problem as problem:
            return Context(self, Caller(None, token, address, problem), request_id)
