"""/graphql over WebSocket: the graphql-transport-ws protocol."""

import asyncio
import contextlib
import time
from typing import Any

import orjson
import structlog
from graphql import OperationType
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from db.errors import Problem, WebSocketConnectionFailed
from graph.context import Context
from graph.execution import Prepared, Refused, problem_shown
from graph.http import address_of, bearer_token, request_id_of
from graph.origins import is_allowed
from graph.services import Services
from graph.streams import Streams

log = structlog.get_logger(__name__)

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
LAST_ANSWERS_SECONDS = 5.0
"""So long may take what was asked before the caller was refused."""
MOST_OPERATIONS = 100
LARGEST_MESSAGE = 256 * 1024

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN = 4400, 4401, 4403
BAD_PROTOCOL, INIT_TIMEOUT, ALREADY_EXISTS, TOO_MANY_INITS = 4406, 4408, 4409, 4429
TOO_MANY = 4429
GOING_AWAY = 1012


class Socket:
    """Accepts WebSockets and serves each until it closes, it is refused or the server stops."""

    def __init__(self, services: Services, streams: Streams) -> None:
        self._services = services
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        if not is_allowed(websocket.headers, self._services.settings.allowed_origins):
            await websocket.close(FORBIDDEN)
            return
        if PROTOCOL not in scope["subprotocols"]:
            await websocket.accept()
            await websocket.close(BAD_PROTOCOL, f"Speak {PROTOCOL}")
            return
        await websocket.accept(PROTOCOL)
        with self._streams.held(), contextlib.ExitStack() as held:
            await _Conversation(websocket, self._services, held).last(self._streams.ended)


class _Close(Exception):
    """The socket is to be closed, for a reason that the protocol knows."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


class _Conversation:
    def __init__(
        self, websocket: WebSocket, services: Services, held: contextlib.ExitStack
    ) -> None:
        self._websocket = websocket
        self._services = services
        self._held = held
        self._context: Context | None = None
        self._begun = False
        self._greeted = asyncio.Event()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._answering: set[str] = set()

    async def last(self, server_ends: asyncio.Event) -> None:
        lasting = [
            asyncio.create_task(self._hear(), name="socket hears"),
            asyncio.create_task(self._stay(), name="caller stays"),
            asyncio.create_task(_serve(server_ends), name="server serves"),
        ]
        try:
            await asyncio.wait(lasting, return_when=asyncio.FIRST_COMPLETED)
            await self._close_for(next(task for task in lasting if task.done()))
        finally:
            tasks = [*lasting, *self._operations.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_for(self, ended: "asyncio.Task[None]") -> None:
        error = ended.exception()
        if isinstance(error, _Close):
            # The other side may have gone meanwhile.
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(error.code, error.reason)
        elif error and not isinstance(error, WebSocketDisconnect):
            log.error("a socket failed", exc_info=error)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(1011, "Internal server error")

    async def _stay(self) -> None:
        """Raise once the caller has not introduced themselves in time, or is refused."""
        try:
            async with asyncio.timeout(INIT_SECONDS):
                await self._greeted.wait()
        except TimeoutError:
            raise _Close(INIT_TIMEOUT, "Connection initialisation timeout") from None
        problem = await self._services.gate.stay(self._known().caller)
        await self._answer_last()
        raise _Close(FORBIDDEN, problem.message)

    async def _answer_last(self) -> None:
        """Follow nothing any more, but answer what was asked before.

        Who changes their password is refused by that, and is told the new token.
        """
        answering = [self._operations[id_] for id_ in self._answering if id_ in self._operations]
        for operation in self._operations.values():
            if operation not in answering:
                operation.cancel()
        if answering:
            await asyncio.wait(answering, timeout=LAST_ANSWERS_SECONDS)

    async def _hear(self) -> None:
        while True:
            match _decoded(await self._receive()):
                case {"type": "connection_init", **rest}:
                    await self._init(rest.get("payload"))
                case {"type": "ping"}:
                    await self._say({"type": "pong"})
                case {"type": "pong"}:
                    pass
                case {"type": "subscribe", "id": str() as id_, "payload": dict() as payload}:
                    self._start(id_, payload)
                case {"type": "complete", "id": str() as id_}:
                    if operation := self._operations.pop(id_, None):
                        operation.cancel()
                case _:
                    raise _Close(BAD_REQUEST, "Not a message of this protocol")

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text = message.get("text")
        if not isinstance(text, str):
            raise _Close(BAD_REQUEST, "Messages are text")
        return text

    async def _init(self, payload: Any) -> None:
        if self._begun:
            raise _Close(TOO_MANY_INITS, "Too many initialisation requests")
        self._begun = True
        if not isinstance(payload, dict | None):
            raise _Close(BAD_REQUEST, "Invalid connection_init payload")
        try:
            token = _token(payload or {})
            scope = self._websocket.scope
            request_id = request_id_of(dict(scope["headers"]))
            self._context = await self._services.context(token, request_id, address_of(scope))
            if self._context.actor:
                self._held.enter_context(self._services.streams.seat(self._context.actor.id))
        except WebSocketConnectionFailed as problem:
            raise _Close(TOO_MANY, problem.message) from None
        except Problem as problem:
            raise _Close(FORBIDDEN, problem.message) from None
        self._greeted.set()
        await self._say({"type": "connection_ack"})

    def _known(self) -> Context:
        """Who has introduced themselves."""
        if self._context is None:
            raise _Close(UNAUTHORIZED, "Unauthorized")
        return self._context

    def _start(self, id_: str, payload: dict[str, Any]) -> None:
        context = self._known().fresh()
        if id_ in self._operations:
            raise _Close(ALREADY_EXISTS, "A subscriber of this id already exists")
        if len(self._operations) >= MOST_OPERATIONS:
            raise _Close(BAD_REQUEST, f"More than {MOST_OPERATIONS} operations at once")
        query, variables = payload.get("query"), payload.get("variables")
        name = payload.get("operationName")
        if not (
            isinstance(query, str)
            and isinstance(variables, dict | None)
            and isinstance(name, str | None)
        ):
            raise _Close(BAD_REQUEST, "Invalid subscribe payload")
        running = self._run(id_, query, variables or {}, name, context)
        self._operations[id_] = asyncio.create_task(running, name="operation")

    async def _run(
        self, id_: str, query: str, variables: dict[str, Any], name: str | None, context: Context
    ) -> None:
        try:
            await self._services.gate.renew(context.caller)
            await context.demand()
            prepared = self._services.graphql.prepare(query, name)
            if prepared.type is OperationType.SUBSCRIPTION:
                await self._follow(id_, prepared, variables, context)
            else:
                await self._answer(id_, prepared, variables, context)
        except Refused as refused:
            errors = refused.formatted(context.request_id)
            await self._finish(id_, {"type": "error", "id": id_, "payload": errors})
        except Problem as problem:
            error = problem_shown(problem, context.request_id)
            await self._finish(id_, {"type": "error", "id": id_, "payload": [error]})
        except (WebSocketDisconnect, RuntimeError):
            # The socket is closed; its other half says why.
            pass
        except Exception:
            log.exception("an operation failed", request_id=context.request_id)
            await self._finish(id_, {"type": "complete", "id": id_})
        else:
            await self._finish(id_, {"type": "complete", "id": id_})

    async def _follow(
        self, id_: str, prepared: Prepared, variables: dict[str, Any], context: Context
    ) -> None:
        answers = self._services.graphql.subscribe(prepared, variables, context)
        async with contextlib.aclosing(answers):
            async for answer in answers:
                await self._next(id_, answer.body())

    async def _answer(
        self, id_: str, prepared: Prepared, variables: dict[str, Any], context: Context
    ) -> None:
        self._answering.add(id_)
        try:
            answer = await self._services.graphql.execute(prepared, variables, context)
            await self._next(id_, answer.body())
        finally:
            self._answering.discard(id_)

    async def _finish(self, id_: str, message: dict[str, Any]) -> None:
        self._operations.pop(id_, None)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._say(message)

    async def _next(self, id_: str, body: bytes) -> None:
        head = orjson.dumps({"type": "next", "id": id_})[:-1]
        began = time.perf_counter()
        await self._websocket.send_text((head + b',"payload":' + body + b"}").decode())
        self._services.vitals.sent.add(began)

    async def _say(self, message: dict[str, Any]) -> None:
        await self._websocket.send_text(orjson.dumps(message).decode())


async def _serve(server_ends: asyncio.Event) -> None:
    await server_ends.wait()
    raise _Close(GOING_AWAY, "The server is restarting")


def _decoded(text: str) -> Any:
    if len(text) > LARGEST_MESSAGE:
        raise _Close(BAD_REQUEST, "The message is too large")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _Close(BAD_REQUEST, "The message is not JSON") from None


def _token(payload: dict[str, Any]) -> str | None:
    """The token of a connection_init payload: `{"Authorization": "Bearer …"}`."""
    words = {name.lower(): value for name, value in payload.items()}
    header = words.get("authorization")
    return bearer_token(header.encode()) if isinstance(header, str) else None
