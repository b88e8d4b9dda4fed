"""/graphql over HTTP: queries and mutations, and subscriptions as server-sent events."""

import asyncio
from typing import Any

import msgspec
import orjson
import structlog
from graphql import OperationType
from starlette.types import ASGIApp, Receive, Scope, Send

from db.errors import Problem
from graph.context import Context
from graph.execution import Answer, Prepared, Refused, accident_shown, problem_shown
from graph.http import NO_STORE, REFUSAL, BodyTooLarge, BodyTooSlow, ClientLeft, Headers, Request
from graph.services import Services
from graph.streams import Streams

log = structlog.get_logger(__name__)

JSON = b"application/json"
GRAPHQL_RESPONSE = b"application/graphql-response+json"
UTF8 = b"; charset=utf-8"
EVENT_STREAM = b"text/event-stream"
KEEP_ALIVE = b":\n\n"
KEEP_ALIVE_SECONDS = 15.0
STATUS = {"RATE_LIMIT_EXCEEDED": 429, "SYSTEM_OVERLOADED": 503}
"""Of problems with a request as a whole; other ones are with its token."""


class Endpoint:
    """Answers POST and GET as «GraphQL over HTTP» has it, and subscriptions as graphql-sse."""

    def __init__(self, services: Services, streams: Streams, explorer: ASGIApp) -> None:
        self._services = services
        self._streams = streams
        self._explorer = explorer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, services = Request(scope, receive), self._services
        accept = request.headers.get(b"accept", b"")
        if request.method == "GET" and b"text/html" in accept and REFUSAL not in scope:
            await self._explorer(scope, receive, send)
            return
        in_json = GRAPHQL_RESPONSE not in accept
        headers: Headers = ()
        try:
            request.check_admitted()
            asked = await _asked(request)
            context = await services.visitor(request.token(), request.id, request.address)
            prepared = services.graphql.prepare(asked.query, asked.operation_name or None)
            if prepared.type is OperationType.SUBSCRIPTION:
                await self._stream(prepared, asked, context, request, send)
                return
            _check_method(request.method, prepared)
            answer = await services.graphql.execute(prepared, asked.variables or {}, context)
            status = 200 if answer.data or in_json else 400
        except ClientLeft:
            return
        except Refused as refused:
            answer = Answer(None, refused.formatted(request.id))
            status = 200 if in_json else 400
        except _Unreadable as unreadable:
            answer = Answer(None, [unreadable.shown(request.id)])
            status = unreadable.status
            headers = unreadable.headers
        except Problem as problem:
            answer = Answer(None, [problem_shown(problem, request.id)])
            status = STATUS.get(problem.code, 401)
        except Exception:
            log.exception("a request failed", request_id=request.id)
            answer = Answer(None, [accident_shown(request.id)])
            status = 500
        media_type = JSON if in_json else GRAPHQL_RESPONSE
        await request.respond(send, status, media_type + UTF8, headers, answer.body())

    async def _stream(
        self, prepared: Prepared, asked: "_Asked", context: Context, request: Request, send: Send
    ) -> None:
        if EVENT_STREAM not in request.headers.get(b"accept", b""):
            raise _Unreadable(406, f"Subscriptions need Accept: {EVENT_STREAM.decode()}")
        headers = [
            (b"content-type", EVENT_STREAM + UTF8),
            NO_STORE,
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", request.id.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _send_part(send, KEEP_ALIVE)  # The head waits for it; the client, for the head.
        with self._streams.held():
            await self._send_events(prepared, asked, context, request, send)

    async def _send_events(
        self, prepared: Prepared, asked: "_Asked", context: Context, request: Request, send: Send
    ) -> None:
        """Events until they end, the client leaves, the server stops or the caller is refused."""
        answers = self._services.graphql.subscribe(prepared, asked.variables or {}, context)
        left = asyncio.create_task(request.left(), name="client leaves")
        ended = asyncio.create_task(self._streams.ended.wait(), name="server stops")
        staying = self._services.gate.stay(context.caller)
        refused = asyncio.create_task(staying, name="caller is refused")
        next_answer = asyncio.create_task(anext(answers, None), name="next event")
        try:
            while True:
                done, _ = await asyncio.wait(
                    {left, ended, refused, next_answer},
                    timeout=KEEP_ALIVE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if done & {left, ended, refused}:
                    break
                if not done:
                    await _send_part(send, KEEP_ALIVE)
                    continue
                answer = next_answer.result()
                if answer is None:
                    break
                await _send_answer(send, answer)
                next_answer = asyncio.create_task(anext(answers, None), name="next event")
            if refused in done:
                refusal = problem_shown(refused.result(), request.id)
                await _send_answer(send, Answer(None, [refusal]))
            if left not in done:
                await _send_part(send, b"event: complete\ndata:\n\n", last=True)
        finally:
            for task in (left, ended, refused, next_answer):
                task.cancel()
            await asyncio.gather(left, ended, refused, next_answer, return_exceptions=True)
            await answers.aclose()


class _Asked(msgspec.Struct, rename="camel"):
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None


class _Unreadable(Exception):
    """The request is not one of GraphQL over HTTP."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)

    def shown(self, request_id: str) -> dict[str, Any]:
        extensions = {"code": "VALIDATION_ERROR", "requestId": request_id}
        return {"message": str(self), "extensions": extensions}


async def _asked(request: Request) -> _Asked:
    match request.method:
        case "POST":
            return _of_words(await _json_body(request))
        case "GET":
            words: dict[str, Any] = {name: last for name, (*_, last) in request.query().items()}
            if "variables" in words:
                words["variables"] = _decoded(words["variables"].encode(), "variables")
            return _of_words(words)
        case _:
            raise _Unreadable(405, "Use POST or GET", [(b"allow", b"GET, POST")])


async def _json_body(request: Request) -> Any:
    content_type = request.headers.get(b"content-type", b"")
    if content_type != JSON and content_type.partition(b";")[0].strip().lower() != JSON:
        raise _Unreadable(415, "The body must be application/json")
    try:
        body = await request.body()
    except BodyTooLarge:
        raise _Unreadable(413, "The body is too large") from None
    except BodyTooSlow:
        close = [(b"connection", b"close")]
        raise _Unreadable(408, "The body did not come in time", close) from None
    return _decoded(body, "body")


def _decoded(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Unreadable(400, f"The {what} is not JSON: {error}") from None


def _of_words(words: Any) -> _Asked:
    try:
        asked = msgspec.convert(words, _Asked)
    except msgspec.ValidationError:
        raise _Unreadable(400, _mistake(words)) from None
    if not asked.query or asked.query.isspace():
        raise _Unreadable(400, "query must be a GraphQL document")
    return asked


def _mistake(words: Any) -> str:
    """What keeps these from being a request."""
    if not isinstance(words, dict):
        return "The body must be a JSON object"
    if not isinstance(words.get("query"), str):
        return "query must be a GraphQL document"
    if not isinstance(words.get("operationName"), str | None):
        return "operationName must be text"
    name = "extensions" if isinstance(words.get("variables"), dict | None) else "variables"
    return f"{name} must be an object"


def _check_method(method: str, prepared: Prepared) -> None:
    if method == "GET" and prepared.type is not OperationType.QUERY:
        raise _Unreadable(405, "Only queries may be sent by GET", [(b"allow", b"POST")])


async def _send_answer(send: Send, answer: Answer) -> None:
    await _send_part(send, b"event: next\ndata: " + answer.body() + b"\n\n")


async def _send_part(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
