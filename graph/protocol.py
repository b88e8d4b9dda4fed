"""uvicorn's HTTP protocol, with less to do for each request.

Usual requests and whole answers take a shorter way here, to the same bytes. All that is out of the
ordinary goes uvicorn's way, and ends when it does not come to its end in time.
"""

import asyncio
from collections.abc import Sized
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl, service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from graph.exchange import Exchange
from graph.http import ANSWERED_WHOLE, SENT_WHOLE

HEAD_SECONDS = 30.0
"""How long a head may take to come, and the rest of a body that has been answered already."""
LARGEST_HEAD = 64 * 1024
"""How much may come of a head, or of trailers, between the first piece and the last."""
TOO_LARGE = b"The headers are too large."
TOO_LARGE_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(TOO_LARGE)),
    (b"connection", b"close"),
]
MOST_WAITING = 16
"""Requests of a connection behind the one that is being answered, before no more are read."""
MOST_TARGETS = 1024
LONGEST_KEPT = 256
EXPECT = b"expect"
NONE_READ: Any = ()
"""What the headers of a connection are while neither a head is being read nor trailers are."""


class HttpProtocol(HttpToolsProtocol):
    """A connection: has each request answered, and ends when there is none for some time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._running: Exchange | None = None
        self._waits_since = 0.0
        self._unfinished: Any = self.headers
        self._unfinished_size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn names a narrower one
        self.flow = Flow(self.transport, self.pipeline)
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "extensions": {ANSWERED_WHOLE: {}},
        }
        self._waits_since = self.loop.time()
        self._look_after(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn has told the last request; it may wait behind the one that is being answered.
        if self._running and not self._running.response_complete:
            self._running.disconnected = True
            self._running.set()
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            words = "Invalid HTTP request received."
            self.logger.warning(words)
            self.send_400_response(words)
        else:
            if self.headers is not NONE_READ:
                self._weigh(data)

    def handle_websocket_upgrade(self) -> None:
        self._unset_keepalive_if_required()  # The socket has timers of its own.
        if self._is_answering():
            # What is being answered would never hear that its client has left.
            self.transport.close()
            return
        super().handle_websocket_upgrade()
        socket: Any = self.transport.get_protocol()
        if not socket.handshake_initiated:
            # uvicorn would wait for more of what it can't read.
            self.send_400_response("Invalid WebSocket handshake received.")

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        scope: Any = {
            **self._scope,
            "http_version": parser.get_http_version(),
            "method": parser.get_method().decode(),
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self.scope = scope
        if parser.should_upgrade() and self._should_upgrade():
            return
        path, raw_path, scope["query_string"] = _target(self.url)
        scope["path"] = self.root_path + path
        scope["raw_path"] = self.root_path.encode() + raw_path
        if EXPECT in dict(self.headers):
            self.expect_100_continue = any(map(_is_expectation, self.headers))
        limit = self.limit_concurrency
        has_room = limit is None or max(len(self.connections), len(self.tasks)) < limit
        self._answer(self.app if has_room else service_unavailable)
        self.headers = NONE_READ

    def on_chunk_header(self) -> None:
        self.headers = []  # Trailers follow if no body does, and are nobody's.

    def on_chunk_complete(self) -> None:
        self.headers = NONE_READ

    def on_body(self, body: bytes) -> None:
        self.headers = NONE_READ
        asked: Any = self.cycle
        if asked.response_complete:
            return
        asked.body += body
        if len(asked.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        asked.set()

    def on_message_complete(self) -> None:
        asked: Any = self.cycle
        if asked is None:
            return
        asked.more_body = False
        if asked.response_complete:
            return
        asked.set()
        if not asked.is_read:
            asked.scope[SENT_WHOLE] = bytes(asked.body)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._waits_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close if what is waited for has not come in time, else look again when that may be so."""
        self.timeout_keep_alive_task = None
        if self._is_answering():
            return
        left = self._waits_since + self._patience() - self.loop.time()
        if left > 0:
            # An answer meanwhile would leave less.
            self._look_after(min(left, self.timeout_keep_alive))
        else:
            super().timeout_keep_alive_handler()

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _patience(self) -> float:
        """How long the next request may take to begin, or to come when it has begun."""
        has_begun = self.headers is not NONE_READ or self.cycle.more_body
        return HEAD_SECONDS if has_begun else self.timeout_keep_alive

    def _weigh(self, data: bytes) -> None:
        """Refuse headers that have become too large before their end."""
        if self.headers is not self._unfinished:
            # What their beginning came with may belong to other requests.
            self._unfinished, self._unfinished_size = self.headers, 0
            return
        self._unfinished_size += len(data)
        if self._unfinished_size > LARGEST_HEAD:
            self._refuse_headers()

    def _refuse_headers(self) -> None:
        # In the middle of an answer nothing else can be said.
        if not self._is_answering():
            headers = [*self.server_state.default_headers, *TOO_LARGE_HEADERS]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[431], *lines, b"\r\n", TOO_LARGE]))
        self.transport.close()

    def _answer(self, app: Any) -> None:
        """Begin with what is asked now, or with what was asked before, which is answered first."""
        self.cycle = Exchange(self)
        if self._running is None or self._running.response_complete:
            self._start_asgi_task(self.cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        self.tasks.add(self.loop.create_task(self._run(cycle, app)))

    async def _run(self, exchange: Any, app: Any) -> None:
        try:
            result = await app(exchange.scope, exchange.receive, exchange.send)
        except BaseException as error:  # noqa: BLE001 - uvicorn takes them all
            await exchange.run_asgi(_failing(error))
        else:
            if result is not None or not exchange.response_complete:
                await exchange.run_asgi(_returning(result))
            exchange.on_response = _nothing  # It would hold the connection.
        finally:
            # A callback would have the loop turn once more. Without the loop, the system is asked
            # for the process each time.
            self.tasks.discard(asyncio.current_task(self.loop))

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )


class Flow(FlowControl):
    """Reads on only while few requests wait, whoever asks for more.

    What is read at once may hold thousands of requests: with one such piece for each that is
    answered, more and more would wait.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if self.read_paused and len(self._waiting) < MOST_WAITING:
            super().resume_reading()


def _failing(error: BaseException) -> Any:
    """An application that fails so: what is done about it is uvicorn's."""

    async def app(*_: Any) -> None:
        raise error

    return app


def _returning(result: Any) -> Any:
    """An application that has done what it did, and returns this."""

    async def app(*_: Any) -> Any:
        return result

    return app


def _nothing() -> None: ...


def _is_expectation(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    return name == EXPECT and value.lower() == b"100-continue"


Target = tuple[str, bytes, bytes]


def _target(url: bytes) -> Target:
    """The path, as it is meant and as it was sent, and the query."""
    return _kept_target(url) if len(url) <= LONGEST_KEPT else _parsed(url)


def _parsed(url: bytes) -> Target:
    parts = httptools.parse_url(url)
    path = parts.path.decode("ascii")
    return unquote(path) if "%" in path else path, parts.path, parts.query or b""


_kept_target = lru_cache(MOST_TARGETS)(_parsed)
