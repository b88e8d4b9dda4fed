"""Where HTTP requests come in: counted, bounded, and told how many more may come."""

import time
from collections.abc import Awaitable

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.actors import Actor
from db.errors import Problem, SystemOverloaded
from graph.context import Resources
from graph.http import REFUSAL, Headers, address_of, bearer_token
from graph.vitals import Vitals

SERVER_ERROR = 500


class Entrance:
    """An ASGI application around another.

    What is too much is not answered here: the endpoint does that, in the words of its protocol.
    """

    def __init__(self, app: ASGIApp, services: Resources) -> None:
        self._app = app
        self._services = services
        self._vitals = services.vitals
        self._is_limited = services.settings.rate_limit_enabled
        self._most = services.settings.max_requests_in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Visit(send, self._vitals, time.perf_counter())
        self._vitals.in_flight += 1
        try:
            if self._is_limited:
                await self._limit(scope, visit)
            if self._vitals.in_flight > self._most:
                scope[REFUSAL] = SystemOverloaded(limit=self._most)
            await self._app(scope, receive, visit.send)
        finally:
            if visit.is_in_flight:
                self._vitals.in_flight -= 1

    async def _limit(self, scope: Scope, visit: "_Visit") -> None:
        actor, address = await self._actor(scope), address_of(scope)
        if allowance := await self._services.limits.spend(actor, address):
            visit.headers = allowance.headers()
            if allowance.is_exceeded:
                scope[REFUSAL] = allowance.problem()

    async def _actor(self, scope: Scope) -> Actor | None:
        """Who asks. The endpoint asks the gate again, which remembers, and says what is wrong."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                try:
                    token = bearer_token(value)
                    return (await self._services.gate.identify(token)).actor
                except Problem:
                    return None
        return None


class _Visit(msgspec.Struct):
    """One request, in flight until its answer begins: a stream may go on for hours."""

    _send: Send
    _vitals: Vitals
    _began: float
    headers: Headers = ()
    is_in_flight: bool = True

    def send(self, message: Message) -> Awaitable[None]:
        if self.is_in_flight and message["type"] == "http.response.start":
            self.is_in_flight = False
            vitals = self._vitals
            vitals.in_flight -= 1
            failed = message["status"] >= SERVER_ERROR
            (vitals.failed if failed else vitals.answered).add(self._began)
            if self.headers:
                message = {**message, "headers": [*message["headers"], *self.headers]}
        return self._send(message)
