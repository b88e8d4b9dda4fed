"""uvicorn's HTTP protocol, but an answer leaves in one write: it makes one for the head of its own.

ASGI allows that: a server may keep the head until the body begins.
"""

from asyncio import Transport
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HttpProtocol(HttpToolsProtocol):
    """The head of an answer is sent with the first part of its body."""

    def connection_made(self, transport: Any) -> None:
        self._joining = _Joining(transport)
        super().connection_made(cast(Transport, self._joining))

    def on_response_complete(self) -> None:
        self._joining.flush()  # The answer to HEAD has no body.
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._joining.joined
        super().handle_websocket_upgrade()


class _Joining:
    """A transport that keeps back the head of an answer, and anything that looks like it."""

    def __init__(self, transport: Any) -> None:
        self.joined = transport
        self.is_closing = transport.is_closing
        self._write = transport.write
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.joined, name)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif _is_head(data):
            self._head = data
            return
        self._write(data)

    def flush(self) -> None:
        if self._head:
            self._write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self.joined.close()


def _is_head(data: bytes) -> bool:
    """Whether these are a status line and headers, and not those of `100 Continue`."""
    return data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data[9:10] != b"1"
