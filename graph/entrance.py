"""Where HTTP requests come in: counted, bounded, and told how many more may come."""

import time
from collections.abc import Awaitable

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
        visit = _Visit(send, self._vitals)
        try:
            if self._is_limited:
                await self._limit(scope, visit)
            if self._vitals.in_flight > self._most:
                scope[REFUSAL] = SystemOverloaded(limit=self._most)
            await self._app(scope, receive, visit.send)
        finally:
            if visit.is_in_flight:
                visit.leave()

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


class _Visit:
    """One request, in flight until its answer begins: a stream may go on for hours."""

    __slots__ = ("_began", "_send", "_vitals", "headers", "is_in_flight")

    def __init__(self, send: Send, vitals: Vitals) -> None:
        self.headers: Headers = ()
        self.is_in_flight = True
        self._send = send
        self._vitals = vitals
        self._began = time.perf_counter()
        vitals.in_flight += 1

    def send(self, message: Message) -> Awaitable[None]:
        if self.is_in_flight and message["type"] == "http.response.start":
            took, failed = time.perf_counter() - self._began, message["status"] >= SERVER_ERROR
            self._vitals.answered(took, failed=failed)
            self.leave()
            if self.headers:
                message = {**message, "headers": [*message["headers"], *self.headers]}
        return self._send(message)

    def leave(self) -> None:
        self.is_in_flight = False
        self._vitals.in_flight -= 1
