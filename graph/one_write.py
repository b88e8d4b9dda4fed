"""uvicorn's HTTP protocol, but an answer that is whole leaves in one write.

uvicorn writes the head of an answer before its body is there. ASGI allows a server to wait for it.
"""

from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

CONTROLS = bytes({*range(32), 127} - {ord("\t")})
"""What no header may contain."""
in_line = b"%b: %b\r\n".__mod__


class HttpProtocol(HttpToolsProtocol):
    """Whole answers are written at once; others, and what is out of the ordinary, by uvicorn."""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.send = _Answer(cycle).send
        super()._start_asgi_task(cycle, app)


class _Answer:
    """What is sent to one request."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send: Any = cycle.send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        cycle = self._cycle
        if message["type"] == "http.response.start" and not cycle.response_started:
            self._start = message
            return
        start, self._start = self._start, None
        if start:
            if cycle.flow.write_paused:
                await cycle.flow.drain()
            if self._write(start, message):
                return
            await self._send(start)
        await self._send(message)

    def _write(self, start: Message, message: Message) -> bool:
        """Write all of an answer; False when uvicorn has to do it."""
        cycle, body = self._cycle, message.get("body", b"")
        if message.get("more_body") or not cycle.keep_alive or cycle.disconnected:
            return False
        headers = [*cycle.default_headers, *start["headers"]]
        lines = b"".join(map(in_line, headers))
        if cycle.scope["method"] == "HEAD" or not _are_usual(lines, len(headers), len(body)):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[start["status"]], lines, body))
        cycle.message_event.set()
        cycle.on_response()
        return True


def _are_usual(lines: bytes, count: int, size: int) -> bool:
    """Whether these are so many headers and no more, of a body of that size, and say no goodbye."""
    return (
        len(lines) - len(lines.translate(None, CONTROLS)) == 2 * count
        and b"content-length: %d\r\n" % size in lines
        and b"connection:" not in lines
    )
