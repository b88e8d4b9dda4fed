"""A request and its answer on a connection, for uvicorn's HTTP protocol."""

import asyncio
from functools import lru_cache
from typing import Any, NamedTuple

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

MOST_HEADS = 256
CONTROLS = bytes({*range(32), 127} - {ord("\t")})
"""What no value of a header may contain."""
FRAMING = {b"connection", b"transfer-encoding"}
"""Headers by which an answer is more than so many bytes."""


class Exchange(RequestResponseCycle):
    """A request and its answer, which is written at once when it comes whole."""

    disconnected = response_started = response_complete = False
    more_body = True
    is_read = False
    _has_news = False
    _news: asyncio.Event | None = None
    chunked_encoding: bool | None = None
    expected_content_length = 0

    def __init__(self, connection: HttpToolsProtocol) -> None:
        # What uvicorn's own does, but for what is the same at first for all.
        scope = connection.scope
        self.scope = scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.access_logger = connection.access_logger
        self.access_log = connection.access_log
        self.default_headers = connection.server_state.default_headers
        self.on_response = connection.on_response_complete
        self.waiting_for_100_continue = connection.expect_100_continue
        self.keep_alive = scope["http_version"] != "1.0" and connection.parser.should_keep_alive()
        self.body = bytearray()

    @property
    def message_event(self) -> "Exchange":  # type: ignore[override]
        """What uvicorn tells of news, and waits by: an event is made only where it has to wait."""
        return self

    def set(self) -> None:
        self._has_news = True
        if self._news:
            self._news.set()

    def clear(self) -> None:
        self._has_news = False
        if self._news:
            self._news.clear()

    async def wait(self) -> None:
        if not self._has_news:
            self._news = self._news or asyncio.Event()
            await self._news.wait()

    async def receive(self) -> Any:
        self.is_read = True
        return await super().receive()

    async def send(self, message: Any) -> None:
        if message["type"] != "http.response.start" or "body" not in message:
            await super().send(message)
            return
        if self.flow.write_paused:
            await self.flow.drain()
        if answer := self._whole(message):
            self.response_started = self.response_complete = True
            self.transport.write(answer)
            self.set()
            self.on_response()
        else:
            await super().send(message)
            await super().send({"type": "http.response.body", "body": message["body"]})

    def _whole(self, message: Message) -> bytes | None:
        """Head and body of a usual answer; None of another one, which uvicorn has to write."""
        body = message["body"]
        names, values = zip(*self.default_headers, *message["headers"], strict=True)
        head = _head(message["status"], names)
        if head is None or values[head.length_at] != b"%d" % len(body) or not self._is_usual():
            return None
        text = b"".join(values)
        if len(text.translate(None, CONTROLS)) != len(text):
            return None
        return head.form % values + body

    def _is_usual(self) -> bool:
        return (
            self.keep_alive
            and not self.disconnected
            and not self.response_started
            and not self.waiting_for_100_continue
            and not self.access_log
            and self.scope["method"] != "HEAD"
        )


class _Head(NamedTuple):
    """The head of an answer with its headers' values left out, one of which is the length."""

    form: bytes
    length_at: int


@lru_cache(MOST_HEADS)
def _head(status: int, names: tuple[bytes, ...]) -> _Head | None:
    """A head with these headers; None when it says of the body more than how long it is."""
    spelled = [name.lower() for name in names]
    if (
        status not in STATUS_LINE
        or b"content-length" not in spelled
        or FRAMING.intersection(spelled)
        or any(map(HEADER_RE.search, spelled))
    ):
        return None
    lines = [name.replace(b"%", b"%%") + b": %b\r\n" for name in spelled]
    form = b"".join([STATUS_LINE[status], *lines, b"\r\n"])
    return _Head(form, spelled.index(b"content-length"))
