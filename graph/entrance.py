"""Where HTTP requests come in: counted, bounded, and told how many more may come."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.actors import Actor
from db.errors import Problem, SystemOverloaded
from graph.auth import Gate
from graph.http import Headers, address_of, bearer_token
from graph.rate_limits import RateLimits
from graph.vitals import Vitals

REFUSAL = "refusal"
"""The key of the scope under which an endpoint finds the problem that it is to answer with."""
SERVER_ERROR = 500


class Entrance:
    """An ASGI application around another.

    What is too much is not answered here: the endpoint does that, in the words of its protocol.
    """

    def __init__(
        self, app: ASGIApp, gate: Gate, limits: RateLimits, vitals: Vitals, most_in_flight: int
    ) -> None:
        self._app = app
        self._gate = gate
        self._limits = limits
        self._vitals = vitals
        self._most_in_flight = most_in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Visit(send, self._vitals)
        try:
            await self._admit(scope, visit)
            await self._app(scope, receive, visit.send)
        finally:
            visit.leave()

    async def _admit(self, scope: Scope, visit: "_Visit") -> None:
        allowance = await self._limits.spend(await self._actor(scope), address_of(scope))
        if allowance:
            visit.headers = allowance.headers()
        if self._vitals.in_flight > self._most_in_flight:
            scope[REFUSAL] = SystemOverloaded(limit=self._most_in_flight)
        elif allowance and allowance.is_exceeded:
            scope[REFUSAL] = allowance.problem()

    async def _actor(self, scope: Scope) -> Actor | None:
        """Who asks. The endpoint asks the gate again, which remembers, and says what is wrong."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                try:
                    identity = await self._gate.identify(bearer_token(value.decode("latin-1")))
                except Problem:
                    return None
                return identity.actor
        return None


class _Visit:
    """One request, in flight until its answer begins: a stream may go on for hours."""

    def __init__(self, send: Send, vitals: Vitals) -> None:
        self.headers: Headers = ()
        self._send = send
        self._vitals = vitals
        self._began = time.perf_counter()
        self._in_flight = True
        vitals.in_flight += 1

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._vitals.answered(
                time.perf_counter() - self._began, failed=message["status"] >= SERVER_ERROR
            )
            self.leave()
            message = {**message, "headers": [*message["headers"], *self.headers]}
        await self._send(message)

    def leave(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self._vitals.in_flight -= 1
