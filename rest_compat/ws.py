"""/ws/{session_id}: a conversation whose messages are operations."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack, aclosing, suppress
from typing import Any

import orjson
import structlog
from starlette.types import Message, Receive, Scope, Send

from graph.auth import Caller
from graph.context import Context, Problem, WebSocketConnectionFailed
from graph.execution import Answer, Prepared
from graph.http import ClientLeft, address_of, request_id_of
from graph.services import Services
from graph.streams import Streams
from rest_compat import envelope, variables
from rest_compat.envelope import Refusal, malformed, required
from rest_compat.routes import (
    CHANNELS,
    MESSAGES,
    NOTIFICATIONS,
    REQUESTS,
    USE_SESSION,
    Channel,
)

log = structlog.get_logger(__name__)

AUTHENTICATE_SECONDS = 5.0
LONGEST_MESSAGE = 64 * 1024
MOST_SUBSCRIPTIONS = 100
USE_AGAIN_SECONDS = 60.0
"""A socket uses its session this often, for as long as it is open."""

UNAUTHENTICATED = 4401
REFUSED = 4403
NO_SESSION = 4404
TOO_MANY = 4429

_Key = tuple[Any, ...]


class Sockets:
    """Talks with each client that connects to /ws/{session_id}, as an ASGI application."""

    def __init__(
        self, services: Services, operations: Mapping[str, Prepared], streams: Streams
    ) -> None:
        self._services = services
        self._operations = operations
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.held():
            conversation = _Conversation(self._services, self._operations, scope, receive, send)
            await conversation.hold()


class _Conversation:
    """One socket: who speaks, and what it follows.

    Every send is awaited, so that a client that reads slowly slows its own subscriptions down.
    When the server stops, uvicorn closes the socket (1012) and tells us like any other end.
    """

    def __init__(
        self,
        services: Services,
        operations: Mapping[str, Prepared],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._services = services
        self._operations = operations
        self._receive = receive
        self._send = send
        self._session_id = scope["path"].removesuffix("/").rpartition("/")[2]
        self._request_id = request_id_of(dict(scope["headers"]))
        self._address = address_of(scope)
        self._context: Context | None = None
        self._use_at: float | None = None
        self._held = ExitStack()
        self._deadline = asyncio.timeout(AUTHENTICATE_SECONDS)
        self._staying: asyncio.Task[None] | None = None
        self._refusal: Problem | None = None
        self._streams: dict[_Key, asyncio.Task[None]] = {}

    async def hold(self) -> None:
        """Talk until one side ends it."""
        with suppress(ClientLeft), self._held:
            await self._receive()
            await self._deliver({"type": "websocket.accept"})
            try:
                await self._listen()
            except _Closing as closing:
                end = {"type": "websocket.close", "code": closing.code, "reason": closing.reason}
                await self._deliver(end)

    async def _listen(self) -> None:
        """Hear every message, until who speaks is refused or has not said in time who that is."""
        try:
            async with self._deadline:
                while True:
                    await self._hear(await self._next())
        except TimeoutError:
            if self._refusal:
                await self._refuse(Refusal.of_problem(self._refusal))
                raise _Closing(REFUSED, self._refusal.message) from None
            await self._refuse(_unauthenticated())
            raise _Closing(UNAUTHENTICATED, "Not authenticated in time") from None
        finally:
            if self._staying:
                self._staying.cancel()
            await self._stop(*self._streams)

    async def _next(self) -> Message:
        """The next message. While it is waited for, the session stays in use."""
        while True:
            try:
                async with asyncio.timeout_at(self._use_at):
                    return await self._receive()
            except TimeoutError:
                self._use_at = asyncio.get_running_loop().time() + USE_AGAIN_SECONDS
                # What keeps us from it now may be over by then.
                with suppress(Refusal, Problem):
                    await self._use_session(await self._known())

    async def _hear(self, event: Message) -> None:
        if event["type"] == "websocket.disconnect":
            raise ClientLeft
        message: dict[str, Any] = {}
        try:
            message = _parsed(event)
            await self._answer(message)
        except Refusal as refusal:
            await self._refuse(refusal, message)
        except Problem as problem:
            await self._refuse(Refusal.of_problem(problem), message)
        except (ClientLeft, _Closing):
            raise
        except Exception:
            log.exception("a message failed", request_id=self._request_id)
            await self._refuse(Refusal.of_accident(), message)

    async def _answer(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "ping":
            await self._say({"type": "pong", "timestamp": message.get("timestamp")})
            return
        await self._demand()
        match message["type"]:
            case "authenticate":
                await self._authenticate(message)
            case "subscribe":
                await self._subscribe(message)
            case "unsubscribe":
                await self._unsubscribe(message)
            case type_ if request := REQUESTS.get(type_):
                answer = await self._execute(request.operation, message, await self._known())
                await self._say_data(request.reply, _data(answer))
            case _:
                known = ("authenticate", "ping", "subscribe", "unsubscribe", *REQUESTS)
                raise malformed("type", f"Must be one of: {', '.join(known)}")

    async def _demand(self) -> None:
        """Count what is asked for: of the user, else of the address. Raises a `Problem`."""
        actor = self._context.actor if self._context else None
        await self._services.limits.demand(actor, self._address)

    async def _authenticate(self, message: Mapping[str, Any]) -> None:
        token = _text(message, "token")
        context = await self._services.context(token, self._request_id, self._address)
        await self._use_session(context)
        if self._context is None:
            await self._take_seat(context)
            self._context = context
        # What is followed already goes on by the new token.
        self._context.caller.token = token
        self._stay(self._context.caller)
        await self._say({"type": "authenticated", "timestamp": envelope.now()})
        self._begin((NOTIFICATIONS,), NOTIFICATIONS, {}, self._context.fresh(), message)

    def _stay(self, caller: Caller) -> None:
        """Let the conversation last as long as the caller's token is good."""
        if self._staying:
            self._staying.cancel()
        self._deadline.reschedule(None)
        self._staying = asyncio.create_task(self._end_with(caller), name="caller stays")

    async def _end_with(self, caller: Caller) -> None:
        self._refusal = await self._services.gate.stay(caller)
        await self._stop(*self._streams)
        self._deadline.reschedule(0)

    async def _take_seat(self, context: Context) -> None:
        try:
            self._held.enter_context(self._services.streams.seat(context.signed_in.id))
        except WebSocketConnectionFailed as problem:
            await self._refuse(Refusal.of_problem(problem))
            raise _Closing(TOO_MANY, "Too many connections") from None

    async def _use_session(self, context: Context) -> None:
        answer = await self._execute(USE_SESSION, {"session_id": self._session_id}, context)
        if answer.errors:
            await self._refuse_session(Refusal.of_error(answer.errors[0]))
        self._use_at = asyncio.get_running_loop().time() + USE_AGAIN_SECONDS

    async def _refuse_session(self, refusal: Refusal) -> None:
        if refusal.code != "RESOURCE_NOT_FOUND":
            raise refusal
        words = "The session does not exist, has expired or is someone else's"
        details = {"session_id": self._session_id}
        await self._refuse(Refusal("WEBSOCKET_CONNECTION_FAILED", words, details))
        raise _Closing(NO_SESSION, "No such session")

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        context, channel = (await self._known()).fresh(), _channel(message)
        operation = self._operations[channel.operation]
        values = variables.collect(operation.variables, {}, {}, message)
        key = _key(channel, values)
        if key not in self._streams:
            # One more is that of the notifications.
            if len(self._streams) > MOST_SUBSCRIPTIONS:
                raise _too_many_subscriptions()
            stream = self._begin(key, channel.operation, values, context, message)
            if not await _listens(context, stream):
                return
        await self._say(_confirmed("subscribed", channel, message))

    def _begin(
        self,
        key: _Key,
        operation: str,
        values: dict[str, Any],
        context: Context,
        message: Mapping[str, Any],
    ) -> asyncio.Task[None]:
        """Follow a subscription, unless that is done already."""
        if key not in self._streams:
            prepared = self._operations[operation]
            stream = asyncio.create_task(self._follow(prepared, values, context, message))
            self._streams[key] = stream
            stream.add_done_callback(lambda _: self._streams.pop(key, None))
        return self._streams[key]

    async def _unsubscribe(self, message: Mapping[str, Any]) -> None:
        await self._known()
        channel = _channel(message)
        declared = self._operations[channel.operation].variables
        await self._stop(_key(channel, variables.collect(declared, {}, {}, message)))
        await self._say(_confirmed("unsubscribed", channel, message))

    async def _follow(
        self,
        operation: Prepared,
        values: dict[str, Any],
        context: Context,
        message: Mapping[str, Any],
    ) -> None:
        """Tell what a subscription yields, until it ends or is stopped."""
        try:
            answers = self._services.rest.subscribe(operation, values, context)
            async with aclosing(answers):
                async for answer in answers:
                    await self._tell(_data(answer))
        except Refusal as refusal:
            with suppress(ClientLeft):
                await self._refuse(refusal, message)
        except ClientLeft:
            pass
        except Exception:
            log.exception("a subscription failed", request_id=self._request_id)
            with suppress(ClientLeft):
                await self._refuse(Refusal.of_accident(), message)

    async def _tell(self, event: dict[str, Any]) -> None:
        await self._say_data(MESSAGES[event.pop("__typename")], event)

    async def _execute(self, name: str, words: Mapping[str, Any], context: Context) -> Answer:
        operation = self._operations[name]
        values = variables.collect(operation.variables, {}, {}, words)
        return await self._services.rest.execute(operation, values, context.fresh())

    async def _known(self) -> Context:
        """Who speaks, as the gate has it now.

        Raises `Refusal` while nobody has said so, and a `Problem` when they are refused by now.
        """
        if self._context is None:
            raise _unauthenticated()
        await self._services.gate.renew(self._context.caller)
        return self._context

    async def _stop(self, *keys: _Key) -> None:
        streams = [self._streams[key] for key in keys if key in self._streams]
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    async def _refuse(self, refusal: Refusal, message: Mapping[str, Any] | None = None) -> None:
        concerned = {"task_id": message["task_id"]} if message and "task_id" in message else {}
        await self._say_data("error", {**refusal.error(), **concerned})

    async def _say_data(self, type_: str, data: Mapping[str, Any]) -> None:
        """Say something with its time, beside the data unless the data itself has one."""
        message = {"type": type_, "data": data}
        if "timestamp" not in data:
            message["timestamp"] = envelope.now()
        await self._say(message)

    async def _say(self, message: Mapping[str, Any]) -> None:
        text = orjson.dumps(message).decode()
        began = time.perf_counter()
        await self._deliver({"type": "websocket.send", "text": text})
        self._services.vitals.sent.add(began)

    async def _deliver(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            raise ClientLeft from None


class _Closing(Exception):
    """We end the conversation."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


def _parsed(event: Message) -> dict[str, Any]:
    text = event.get("text")
    if text is None:
        raise _unreadable("A message is text, not binary")
    if len(text) > LONGEST_MESSAGE:
        raise _unreadable(f"A message is at most {LONGEST_MESSAGE} characters long")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(f"Malformed JSON: {error}") from None
    if not isinstance(message, dict):
        raise _unreadable("A message is a JSON object")
    _text(message, "type")
    return message


def _text(message: Mapping[str, Any], field: str) -> str:
    value = message.get(field)
    if value is None:
        raise required(field)
    if not isinstance(value, str):
        raise malformed(field, "Must be text")
    return value


def _data(answer: Answer) -> dict[str, Any]:
    """What the fields named `data` lead to."""
    if answer.errors:
        raise Refusal.of_error(answer.errors[0])
    data: dict[str, Any] = orjson.loads(answer.data or b"{}")
    while "data" in data:
        data = data["data"]
    return data


def _channel(message: Mapping[str, Any]) -> Channel:
    if channel := CHANNELS.get(_text(message, "channel")):
        return channel
    raise malformed("channel", f"Must be one of: {', '.join(CHANNELS)}")


def _key(channel: Channel, values: Mapping[str, Any]) -> _Key:
    return channel.operation, *(values.get(word) for word in channel.key)


async def _listens(context: Context, stream: asyncio.Task[None]) -> bool:
    """True as soon as the stream misses nothing any more; false if it could not begin."""
    listening = asyncio.create_task(context.listening.wait())
    await asyncio.wait({listening, stream}, return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    return context.listening.is_set()


def _confirmed(type_: str, channel: Channel, message: Mapping[str, Any]) -> dict[str, Any]:
    words = {word: message[word] for word in channel.key if word in message}
    return {"type": type_, "channel": message["channel"], **words}


def _unauthenticated() -> Refusal:
    return Refusal("AUTH_TOKEN_MISSING", "Authenticate first")


def _unreadable(issue: str) -> Refusal:
    return Refusal("VALIDATION_ERROR", "Invalid message", {"issue": issue})


def _too_many_subscriptions() -> Refusal:
    words = "Too many subscriptions on one connection"
    return Refusal("RESOURCE_LIMIT_EXCEEDED", words, {"limit": MOST_SUBSCRIPTIONS})
