"""What HTTP requests have in common on every surface."""

import asyncio
import itertools
import re
from collections.abc import Iterable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.types import Receive, Scope, Send
from structlog.typing import EventDict

from db.errors import TokenInvalid
from db.ids import new_id

BODY_SECONDS = 30.0
LARGEST_BODY = 1024 * 1024
LONGEST_AUTHORIZATION = 8200
MOST_TOKENS = 1024

Headers = Iterable[tuple[bytes, bytes]]
NO_STORE = (b"cache-control", b"no-store")

SENT_WHOLE = "http.request.whole"
"""What the scope calls the body of a request that has come before anybody asked for it."""
ANSWERED_WHOLE = "http.response.whole"
"""An extension of ASGI: the message that starts a response has a `body`, which is all of it."""

REFUSAL = "refusal"
"""Where in the scope the entrance leaves the problem that a request is to be answered with."""

_request_id: ContextVar[str] = ContextVar("request_id")
# To make a UUID for each took three microseconds, a fiftieth of a small answer: those of one
# process share all but the last part, which counts.
_OUR_REQUESTS = new_id()[:24]
_numbers = itertools.count(1)
_PLAIN_WORD = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class ClientLeft(Exception):
    """There is nobody to answer any more."""


class BodyTooLarge(Exception):
    """The body is larger than we read."""


class BodyTooSlow(Exception):
    """The body has not come within the time that we wait."""


class Request:
    """A request: its id, its token, its query and its body."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self.id = request_id_of(self.headers)
        _request_id.set(self.id)

    @property
    def address(self) -> str:
        return address_of(self.scope)

    def check_admitted(self) -> None:
        """Raises the problem for which the entrance turned the request away."""
        if REFUSAL in self.scope:
            raise self.scope[REFUSAL]

    def token(self) -> str | None:
        """The bearer token, if there is an Authorization header. Raises `TokenInvalid`."""
        header = self.headers.get(b"authorization")
        return None if header is None else bearer_token(header)

    def query(self) -> dict[str, list[str]]:
        """The words of the query; one without a value (`?status=`) is as good as absent."""
        text = self.scope["query_string"].decode("latin-1")
        return parse_qs(text) if text else {}

    @property
    def target(self) -> str:
        """The path and the query as they were asked for."""
        path = self.scope.get("raw_path") or quote(self.scope["path"]).encode()
        query = self.scope["query_string"]
        return (path + b"?" + query if query else path).decode("latin-1")

    async def body(self) -> bytes:
        """All of the body. Raises `BodyTooLarge`, `BodyTooSlow`, `ClientLeft`."""
        body: bytes | None = self.scope.get(SENT_WHOLE)
        if body is None:
            body = await self._received_in_time()
        elif len(body) > LARGEST_BODY:
            raise BodyTooLarge
        return body

    async def left(self) -> None:
        """Return when there is nobody to answer any more."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(
        self, send: Send, status: int, content_type: bytes, headers: Headers, body: bytes
    ) -> None:
        """Send a whole response."""
        head = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
                (b"x-request-id", self.id.encode()),
                NO_STORE,
                *headers,
            ],
        }
        if ANSWERED_WHOLE in self.scope.get("extensions", ()):
            await send(head | {"body": body})
        else:
            await send(head)
            await send({"type": "http.response.body", "body": body})

    async def _received_in_time(self) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._received()
        except TimeoutError:
            raise BodyTooSlow from None

    async def _received(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part = message.get("body", b"")
            size += len(part)
            if size > LARGEST_BODY:
                raise BodyTooLarge
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


def with_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What is logged, with the id of the request that it belongs to; for structlog."""
    if request_id := _request_id.get(None):
        event.setdefault("request_id", request_id)
    return event


def address_of(scope: Scope) -> str:
    """The address that a request or a socket comes from."""
    client = scope.get("client")
    return client[0] if client else ""


def request_id_of(headers: dict[bytes, bytes]) -> str:
    """The caller's `X-Request-ID` when it is a plain word, else a new id."""
    given = headers.get(b"x-request-id")
    if given and _PLAIN_WORD.fullmatch(given):
        return given.decode()
    return f"{_OUR_REQUESTS}{next(_numbers):012x}"


@lru_cache(MOST_TOKENS)
def bearer_token(authorization: bytes) -> str:
    """The token of an Authorization header. Raises `TokenInvalid`."""
    # What is raised is not kept, so that what is kept has a bound.
    if len(authorization) > LONGEST_AUTHORIZATION:
        raise _not_bearer()
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _not_bearer()
    return token


def _not_bearer() -> TokenInvalid:
    return TokenInvalid(issue="The Authorization header must be: Bearer <token>")
