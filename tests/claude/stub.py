"""A stand-in for the Messages API on loopback: answers each request with the next reply."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

MODEL = "claude-sonnet-5"
INPUT_TOKENS, OUTPUT_TOKENS = 1000, 20

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]

_numbers = itertools.count(1)


def says(*pieces: str, gate: asyncio.Event | None = None) -> Reply:
    """Plain text, streamed piece by piece; with a gate the last piece waits until it opens."""
    return _message("end_turn", [_text(*pieces)], gate)


def calls(tool: str, /, **call: Any) -> Reply:
    """A tool call, after which the client comes back with its result."""
    return _message("tool_use", [_tool(tool, call)])


def thinks(thought: str, text: str) -> Reply:
    """A thought, and what is said after it."""
    thinking = [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": thought},
        {"type": "signature_delta", "signature": "c2lnbmVk"},
    ]
    return _message("end_turn", [thinking, _text(text)])


def fails(status: int) -> Reply:
    """An error of the API."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        error = {"type": ERRORS[status], "message": f"stub error {status}"}
        body = json.dumps({"type": "error", "error": error}).encode()
        writer.write(
            f"HTTP/1.1 {status} Error\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()

    return reply


def hangs() -> Reply:
    """No answer at all, for as long as the client waits."""

    async def reply(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return reply


class Stub:
    """The API that a CLI is pointed at: what it was asked, and what it is to answer."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self._replies: list[Reply] = []
        self._usual: Reply = says("Done.")
        self._arrived = asyncio.Condition()

    def reply(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order; any others with «Done.»."""
        self._replies += replies

    def reply_always(self, reply: Reply) -> None:
        """Answer every further request with this."""
        self._usual = reply

    async def asked(self, times: int = 1) -> None:
        """Wait until so many requests have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= times)

    def heard(self, number: int) -> str:
        """All that was in the messages of the nth request, as JSON; -1 for the last one."""
        return json.dumps(self.requests[number]["messages"], ensure_ascii=False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request after another."""
        try:
            while request := await _request(reader):
                async with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                await (self._replies.pop(0) if self._replies else self._usual)(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client was stopped.
        finally:
            writer.close()


@asynccontextmanager
async def stubbed() -> AsyncIterator[Stub]:
    """A stub that listens, on a port of its own."""
    stub = Stub()
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(stub.serve(reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        server.close()
        for connection in tuple(connections):
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    found: dict[str, Any] = json.loads(body)
    return found


def _message(
    stop_reason: str, blocks: Sequence[Sequence[dict[str, Any]]], gate: asyncio.Event | None = None
) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: keep-alive\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for event in _events(stop_reason, blocks):
            if gate and event["type"] == "content_block_stop":
                await gate.wait()
            await _send(writer, f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await _send(writer, b"")

    return reply


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


def _events(
    stop_reason: str, blocks: Sequence[Sequence[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    used = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
    yield {
        "type": "message_start",
        "message": {
            "id": f"msg_{next(_numbers)}",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": used,
        },
    }
    for index, (start, *deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": used | {"output_tokens": OUTPUT_TOKENS},
    }
    yield {"type": "message_stop"}


def _text(*pieces: str) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": ""},
        *({"type": "text_delta", "text": piece} for piece in pieces),
    ]


def _tool(name: str, call: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "tool_use", "id": f"toolu_{next(_numbers)}", "name": name, "input": {}},
        {"type": "input_json_delta", "partial_json": json.dumps(call)},
    ]
