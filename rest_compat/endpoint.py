"""One handler for every row of the table."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from graph.context import Context, Problem
from graph.execution import Prepared
from graph.http import LARGEST_BODY, BodyTooLarge, BodyTooSlow, ClientLeft, Headers, Request
from graph.services import Services
from rest_compat import envelope, variables
from rest_compat.envelope import Refusal
from rest_compat.routes import TABLE, Routes, Row
from rest_compat.variables import HERE

log = structlog.get_logger(__name__)

MEDIA_TYPE = b"application/json"


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
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientLeft:
            return
        except Refusal as refusal:
            answer = _refused(refusal, request.id)
        except Problem as problem:
            answer = _refused(Refusal.of_problem(problem), request.id)
        except Exception:
            log.exception("a request failed", request_id=request.id)
            answer = _refused(Refusal.of_accident(), request.id)
        await request.respond(send, answer.status, MEDIA_TYPE, answer.headers, answer.body)

    async def _answer(self, request: Request) -> "_Answer":
        request.check_admitted()
        row, path = self._row(request)
        context = await self._context(row, request)
        operation = self._operations[row.operation]
        values = variables.collect(
            operation.variables,
            path | {HERE: request.target} if HERE in operation.variables else path,
            request.query(),
            await _body(request) if _reads_body(row, operation, path) else {},
        )
        found = await self._services.rest.execute(operation, values, context)
        if found.errors:
            raise Refusal.of_error(found.errors[0])
        data = found.data or b"null"
        status = row.unwell if row.unwell and _is_unwell(data) else row.success
        return _Answer(status, envelope.success(data, request.id))

    def _row(self, request: Request) -> tuple[Row, dict[str, str]]:
        rows, path = self._routes.find(request.scope["path"])
        if not rows:
            raise Refusal("RESOURCE_NOT_FOUND", "There is nothing at this path.")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in rows:
            allowed = sorted({*rows, "HEAD"} if "GET" in rows else rows)
            raise Refusal(
                "METHOD_NOT_ALLOWED",
                "The path does not know this method.",
                {"allowed": allowed},
                headers=[(b"allow", ", ".join(allowed).encode())],
            )
        return rows[method], path

    async def _context(self, row: Row, request: Request) -> Context:
        """Whose request it is: refused before it is read, unless anybody may ask this."""
        token = None
        if row.is_public:
            with suppress(Problem):
                token = request.token()
            return await self._services.visitor(token, request.id, request.address)
        token = request.token()
        if token is None:
            raise Refusal("AUTH_TOKEN_MISSING", "The Authorization header is missing.")
        return await self._services.context(token, request.id, request.address)


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: Headers = ()


def _refused(refusal: Refusal, request_id: str) -> _Answer:
    headers = list(refusal.headers)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return _Answer(refusal.status, envelope.failure(refusal, request_id), headers)


def _reads_body(row: Row, operation: Prepared, path: Mapping[str, str]) -> bool:
    return row.method != "GET" and any(name not in path for name in operation.variables)


def _is_unwell(data: bytes) -> bool:
    """Whether what is answered says of itself that it does not work."""
    return bool(orjson.loads(data)["data"]["status"] == "unhealthy")


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; an empty one for no body at all."""
    try:
        sent = await request.body()
    except BodyTooLarge:
        raise _too_large() from None
    except BodyTooSlow:
        raise _too_slow() from None
    if not sent.strip():
        return {}
    try:
        body = orjson.loads(sent)
    except orjson.JSONDecodeError as error:
        raise _unreadable(f"Malformed JSON: {error}", position=error.pos) from None
    if not isinstance(body, dict):
        raise _unreadable("The body must be a JSON object")
    return body


def _unreadable(issue: str, **details: Any) -> Refusal:
    details = {"field": "body", "issue": issue, **details}
    return Refusal("VALIDATION_ERROR", "Invalid input data", details, HTTPStatus.BAD_REQUEST)


def _too_large() -> Refusal:
    issue = f"The body must be at most {LARGEST_BODY} bytes"
    return _unread(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, issue, max_length=LARGEST_BODY)


def _too_slow() -> Refusal:
    return _unread(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time")


def _unread(status: HTTPStatus, issue: str, **details: Any) -> Refusal:
    """Why the rest of a body is not read; nothing can follow it on its connection."""
    details = {"field": "body", "issue": issue, **details}
    close = [(b"connection", b"close")]
    return Refusal("VALIDATION_ERROR", "Invalid input data", details, status, close)
