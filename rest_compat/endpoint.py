"""One handler for every row of the table."""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from graph.context import Context, Problem, Services
from graph.execution import Prepared
from rest_compat import envelope, variables
from rest_compat.envelope import Refusal
from rest_compat.routes import TABLE, Routes, Row

log = structlog.get_logger(__name__)

LARGEST_BODY = 1024 * 1024

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Endpoint:
    """Answers what is below /api, as an ASGI application."""

    def __init__(
        self,
        services: Services,
        operations: Mapping[str, Prepared],
        table: Iterable[Row] = TABLE,
    ) -> None:
        self._services = services
        self._operations = operations
        self._routes = Routes(table)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _Request(scope, receive)
        try:
            response = await self._respond(request)
        except _ClientLeft:
            return
        headers = [
            *response.headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(response.body)),
            (b"cache-control", b"no-store"),
            (b"x-request-id", request.id.encode()),
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, request: "_Request") -> "_Response":
        try:
            status, data = await self._answer(request)
        except _ClientLeft:
            raise
        except Refusal as refusal:
            return _refused(refusal, request.id)
        except Problem as problem:
            return _refused(Refusal.of_problem(problem), request.id)
        except Exception:
            log.exception("a request failed", request_id=request.id)
            return _refused(Refusal.of_accident(), request.id)
        return _Response(status, envelope.success(data, request.id))

    async def _answer(self, request: "_Request") -> tuple[int, bytes]:
        row, path = self._row(request)
        context = await self._context(row, request)
        operation = self._operations[row.operation]
        values = variables.collect(
            operation.variables,
            path,
            request.query(),
            await request.object() if _reads_body(row, operation, path) else {},
        )
        answer = await self._services.rest.execute(operation, values, context)
        if answer.errors:
            raise Refusal.of_error(answer.errors[0])
        return row.success, answer.data or b"null"

    def _row(self, request: "_Request") -> tuple[Row, dict[str, str]]:
        rows, path = self._routes.find(request.scope["path"])
        if not rows:
            raise Refusal("RESOURCE_NOT_FOUND", "There is nothing at this path")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in rows:
            allowed = sorted({*rows, "HEAD"} if "GET" in rows else rows)
            raise Refusal(
                "METHOD_NOT_ALLOWED",
                f"Allowed on this path: {', '.join(allowed)}",
                {"allowed": allowed},
                headers=[(b"allow", ", ".join(allowed).encode())],
            )
        return rows[method], path

    async def _context(self, row: Row, request: "_Request") -> Context:
        if row.is_public:
            return self._services.unidentified(request.token(), request.id)
        token = request.token()
        if token is None:
            raise Refusal("AUTH_TOKEN_MISSING", "The Authorization header is missing.")
        return await self._services.context(token, request.id)


class _ClientLeft(Exception):
    """There is nobody to answer any more."""


@dataclass
class _Response:
    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


class _Request:
    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.receive = receive
        given = self.headers.get(b"x-request-id", b"")
        self.id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())

    def token(self) -> str | None:
        """The bearer token, if there is an Authorization header."""
        header = self.headers.get(b"authorization")
        if header is None:
            return None
        scheme, _, token = header.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal("AUTH_TOKEN_INVALID", "The Authorization header must be: Bearer <token>")
        return token.strip()

    def query(self) -> dict[str, list[str]]:
        """The words of the query; one without a value (`?status=`) is as good as absent."""
        return parse_qs(self.scope["query_string"].decode("latin-1"))

    async def object(self) -> dict[str, Any]:
        """The JSON object that was sent; an empty one for no body at all."""
        sent = await self._bytes()
        if not sent.strip():
            return {}
        try:
            body = orjson.loads(sent)
        except orjson.JSONDecodeError as error:
            raise _bad_body(f"Malformed JSON: {error}", position=error.pos) from None
        if not isinstance(body, dict):
            raise _bad_body("The body must be a JSON object")
        return body

    async def _bytes(self) -> bytes:
        parts, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _ClientLeft
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > LARGEST_BODY:
                raise _body_too_large()
            if not message.get("more_body"):
                return b"".join(parts)


def _reads_body(row: Row, operation: Prepared, path: Mapping[str, str]) -> bool:
    return row.method != "GET" and any(name not in path for name in operation.variables)


def _refused(refusal: Refusal, request_id: str) -> _Response:
    headers = list(refusal.headers)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return _Response(refusal.status, envelope.failure(refusal, request_id), headers)


def _bad_body(issue: str, **details: Any) -> Refusal:
    details = {"field": "body", "issue": issue, **details}
    return Refusal("VALIDATION_ERROR", "Invalid input data", details, HTTPStatus.BAD_REQUEST)


def _body_too_large() -> Refusal:
    issue = f"The body must be at most {LARGEST_BODY} bytes"
    return Refusal(
        "VALIDATION_ERROR",
        "Invalid input data",
        {"field": "body", "issue": issue, "max_length": LARGEST_BODY},
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        [(b"connection", b"close")],
    )
