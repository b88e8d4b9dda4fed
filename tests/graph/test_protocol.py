"""Our HTTP protocol and uvicorn's own: from the same bytes come the same bytes.

What differs on purpose: trailers, here; how much of a head is taken, in `test_large_heads`; how
long what does not come is waited for, in `test_idle_connections`; how many requests wait, what
becomes of handshakes, and who is told that a client has left, in `test_connections`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from graph.http import ANSWERED_WHOLE, SENT_WHOLE
from graph.protocol import LONGEST_KEPT, HttpProtocol

DATE = [(b"date", b"Mon, 30 Nov 2026 12:00:00 GMT")]
NINE = (b"content-length", b"9")
TURNS = 12
"""Of the loop, after which nothing goes on any more that does not wait."""


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def body(content: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def says(*messages: Message) -> ASGIApp:
    """An application that sends these."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def says_whole(head: dict[str, Any], content: bytes, *more: Message) -> ASGIApp:
    """An application that sends an answer as one message, to whoever takes it so."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_taken = ANSWERED_WHOLE in scope.get("extensions", {})
        answer = [head | {"body": content}] if is_taken else [head, body(content)]
        await says(*answer, *more)(scope, receive, send)

    return app


async def say_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a head whose headers can be read only once."""
    head = start(NINE) | {"headers": iter([NINE])}
    await says(head, body(b"all of it"))(scope, receive, send)


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what was sent."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", message["type"].encode()))
        if not message.get("more_body"):
            break
    answer = b"".join(parts)
    await send(start((b"content-length", b"%d" % len(answer))))
    await send(body(answer))


async def tell_scope(scope: Scope, _receive: Receive, send: Send) -> None:
    own = {"extensions", SENT_WHOLE}
    told = repr(sorted(item for item in scope.items() if item[0] not in own)).encode()
    await send(start((b"content-length", b"%d" % len(told))))
    await send(body(told))


async def answer_and_listen(scope: Scope, receive: Receive, send: Send) -> None:
    """Whoever has answered is told that nobody is there."""
    await says(start(NINE), body(b"all of it"))(scope, receive, send)
    assert (await receive())["type"] == "http.disconnect"


async def answer_to_a_listener(scope: Scope, receive: Receive, send: Send) -> None:
    """Whoever waits for the client to leave is told when it has been answered."""
    await receive()
    listener = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await says(start(NINE), body(b"all of it"))(scope, receive, send)
    assert (await listener)["type"] == "http.disconnect"


async def change_state(scope: Scope, receive: Receive, send: Send) -> None:
    """Write down something that no other request may see."""
    scope["state"]["of"] = "this request"
    await tell_scope(scope, receive, send)


async def fail(*_: Any) -> None:
    raise ZeroDivisionError


async def fail_behind_the_head(scope: Scope, receive: Receive, send: Send) -> None:
    await says(start(NINE))(scope, receive, send)
    raise ZeroDivisionError


async def fail_midway(scope: Scope, receive: Receive, send: Send) -> None:
    await says(start(NINE), body(b"all", more=True))(scope, receive, send)
    raise ZeroDivisionError


async def return_something(scope: Scope, receive: Receive, send: Send) -> str:
    await says(start(NINE), body(b"all of it"))(scope, receive, send)
    return "something"


ANSWERS: dict[str, Callable[..., Awaitable[Any]]] = {
    "/": says_whole(start(NINE, (b"X-Word", b"a %s\tb")), b"all of it"),
    "/percent": says_whole(start(NINE, (b"x-%b%%", b"%d")), b"all of it"),
    "/in-two-messages": says(start(NINE), body(b"all of it")),
    "/closed-in-two-messages": says(start(NINE, (b"connection", b"close")), body(b"all of it")),
    "/two-whole-answers": says_whole(start(NINE), b"all of it", start(NINE), body(b"all of it")),
    "/read-once": say_once,
    "/parts": says(start(NINE), body(b"all", more=True), body(b" of it")),
    "/all-in-a-part": says(start(NINE), body(b"all of it", more=True), body()),
    "/no-length": says_whole(start(), b"all of it"),
    "/no-length-in-parts": says(start(), body(b"all", more=True), body(b" of it")),
    "/empty": says_whole(start((b"content-length", b"0")), b""),
    "/none": says_whole(start(), b""),
    "/no-content": says_whole(start(status=204), b""),
    "/no-content-of-length": says_whole(start((b"content-length", b"0"), status=204), b""),
    "/unchanged": says_whole(start(NINE, status=304), b""),
    "/odd-status": says_whole(start(NINE, status=299), b"all of it"),
    "/no-status": says_whole(start(NINE, status=700), b"all of it"),
    "/close": says_whole(start(NINE, (b"Connection", b"Close")), b"all of it"),
    "/upgrade": says_whole(start(NINE, (b"connection", b"upgrade")), b"all of it"),
    "/chunked": says_whole(start((b"transfer-encoding", b"chunked")), b"all of it"),
    "/two-framings": says_whole(start(NINE, (b"transfer-encoding", b"chunked")), b"all of it"),
    "/two-lengths": says_whole(start(NINE, (b"content-length", b"8")), b"all of it"),
    "/spelled-length": says_whole(start((b"Content-Length", b"09")), b"all of it"),
    "/like-a-length": says_whole(start((b"x-content-length", b"9")), b"all of it"),
    "/named-length": says_whole(start((b"x-word", b"content-length: 9")), b"all of it"),
    "/too-little": says_whole(start((b"content-length", b"10")), b"all of it"),
    "/too-much": says_whole(start((b"content-length", b"8")), b"all of it"),
    "/more-than-all": says_whole(start(NINE), b"all of it", body(b" and more")),
    "/two-answers": says_whole(start(NINE), b"all of it", start(NINE), body(b"all of it")),
    "/two-heads": says(start(NINE), start(NINE), body(b"all of it")),
    "/no-head": says(body(b"all of it")),
    "/only-a-head": says(start(NINE)),
    "/no-body": says(start((b"content-length", b"0")), {"type": "http.response.trailers"}),
    "/nothing": says(),
    "/forged-value": says_whole(start(NINE, (b"x-word", b"a\r\nset-cookie: b=c")), b"all of it"),
    "/half-forged-value": says_whole(start(NINE, (b"x-word", b"a\nset-cookie: b")), b"all of it"),
    "/nul-in-value": says_whole(start(NINE, (b"x-word", b"a\0b")), b"all of it"),
    "/forged-name": says_whole(start(NINE, (b"a\r\nset-cookie", b"b=c")), b"all of it"),
    "/spaced-name": says_whole(start(NINE, (b"set-cookie: a", b"b=c")), b"all of it"),
    "/tab-in-name": says_whole(start(NINE, (b"x\tword", b"a")), b"all of it"),
    "/echo": echo,
    "/scope": tell_scope,
    "/listen": answer_and_listen,
    "/listen-meanwhile": answer_to_a_listener,
    "/change-state": change_state,
    "/fail": fail,
    "/fail-behind-the-head": fail_behind_the_head,
    "/fail-midway": fail_midway,
    "/return-something": return_something,
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    return await ANSWERS.get(scope["path"], tell_scope)(scope, receive, send)  # type: ignore[no-any-return]


class Wire(asyncio.Transport):
    """A connection that remembers what is done to it; writes that follow each other are one."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.done: list[str | bytes] = []
        self.writes = 0
        self.closing = False

    def write(self, data: Any) -> None:
        self.writes += 1
        if data and self.done and isinstance(self.done[-1], bytes):
            self.done[-1] += data
        elif data:
            self.done.append(data)

    def pause_reading(self) -> None:
        self.done.append("pause reading")

    def resume_reading(self) -> None:
        self.done.append("resume reading")

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.done.append("close")
            asyncio.get_running_loop().call_soon(self.get_protocol().connection_lost, None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol: Any = protocol

    def get_protocol(self) -> Any:
        return self._protocol


async def connected(
    http: type[HttpToolsProtocol], app: ASGIApp = application, clock: Any = None, **settings: Any
) -> tuple[HttpToolsProtocol, Wire]:
    state = ServerState()
    state.default_headers = DATE
    settings = {"log_config": None, "access_log": False, "ws": "none"} | settings
    connection = http(uvicorn.Config(app, **settings), state, {"of": "the lifespan"}, clock)
    wire = Wire()
    wire.set_protocol(connection)
    connection.connection_made(wire)
    return connection, wire


async def conversation(
    http: type[HttpToolsProtocol], pieces: Iterable[bytes], **settings: Any
) -> list[str | bytes]:
    """What is done to a connection on which these come one by one, and then nothing."""
    connection, wire = await connected(http, **settings)
    for piece in pieces:
        if not wire.closing:
            connection.data_received(piece)
            await turns()
    if not wire.closing:
        connection.connection_lost(ConnectionResetError())
    await turns()
    assert not connection.tasks
    return [*wire.done, f"{connection.server_state.total_requests} answered"]


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def check_alike(*pieces: bytes, **settings: Any) -> None:
    """However the pieces are put together or split, both do the same."""
    whole = b"".join(pieces)
    letters = [whole[at : at + 1] for at in range(len(whole))]
    for each in ([whole], pieces, letters):
        theirs = await conversation(HttpToolsProtocol, each, **settings)
        ours = await conversation(HttpProtocol, each, **settings)

        assert theirs == ours


def get(path: str = "/", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/{version}", "host: localhost", *lines, "", ""]
    ).encode()


def post(path: str = "/echo", content: bytes = b"123456789", *lines: str) -> bytes:
    return get(path, f"content-length: {len(content)}", *lines, method="POST") + content


@pytest.mark.parametrize("path", ANSWERS)
async def test_an_answer_is_what_uvicorn_makes_of_it(path: str) -> None:
    behind = get("/scope") + post("/echo")
    await check_alike(get(path), behind)
    await check_alike(post(path), behind)
    await check_alike(get(path, method="HEAD"), behind)
    await check_alike(get(path, "connection: close"), behind)
    await check_alike(get(path, version="1.0"), behind)
    await check_alike(get(path, "connection: keep-alive", version="1.0"), behind)
    await check_alike(post(path, b"123456789", "expect: 100-continue"), behind)


@pytest.mark.parametrize(
    "request_",
    [
        get("/scope?a=%20b&c"),
        get("/scope/%2F/%C3%A4%FF"),
        get("/scope/" + "x" * LONGEST_KEPT + "?" + "y" * LONGEST_KEPT),
        get("http://example.org/scope?a"),
        get("*", method="OPTIONS"),
        get("/scope#a"),
        get("/\x7f"),
        get("scope"),
        get("localhost:80", method="CONNECT"),
        get("/scope", "X-Word: a", "x-word: b", "x-empty:"),
        get("/scope", "connection: upgrade", "upgrade: h2c") + get(),
        get("/scope", "connection: upgrade", "upgrade: websocket") + get(),
        get("/scope", method="BREW"),
        get("/scope", version="2.0"),
        get("/scope", version="0.9"),
        b"GET /scope\r\n\r\n",
        b"\r\n\r\n" + get("/scope"),
        b"\x16\x03\x01 by TLS",
        get("/scope").replace(b"\r\n", b"\n"),
        get("/scope", "x-word: a\r\n b"),
        get("/scope", "x-word: a\0b"),
        get("/scope", "x word: a"),
        get("/scope", "x-word : a"),
        get("/scope", "no colon"),
        get("/scope", "expect: 200-maybe"),
    ],
)
async def test_a_request_is_read_as_uvicorn_reads_it(request_: bytes) -> None:
    await check_alike(request_, get())


SMUGGLED = b"0\r\n\r\nGET /scope HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ["content-length: 47", "transfer-encoding: chunked"],
        ["transfer-encoding: chunked", "content-length: 47"],
        ["transfer-encoding: chunked"],
        ["transfer-encoding: identity", "content-length: 47"],
        ["transfer-encoding: chunked, identity"],
        ["transfer-encoding: identity, chunked"],
        ["transfer-encoding: xchunked"],
        ["transfer-encoding : chunked"],
        ["transfer-encoding:\tchunked"],
        ["transfer-encoding: chunked", "transfer-encoding: chunked"],
        ["content-length: 47", "content-length: 46"],
        ["content-length: 47", "content-length: 47"],
        ["content-length: 47, 47"],
        ["content-length: -1"],
        ["content-length: +47"],
        ["content-length: 4 7"],
        ["content-length: 0x2f"],
        ["content-length: 99999999999999999999"],
        ["content-length:"],
        ["content-length: 3", "connection: close"],
        [],
    ],
)
async def test_where_a_request_ends_is_where_uvicorn_ends_it(lines: list[str]) -> None:
    await check_alike(get("/echo", *lines, method="POST"), SMUGGLED, get())


@pytest.mark.parametrize(
    "chunks",
    [
        b"3\r\nabc\r\n6\r\ndef123\r\n0\r\n\r\n",
        b"3;name=value\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"three\r\nabc\r\n0\r\n\r\n",
    ],
)
async def test_chunks_are_read_as_uvicorn_reads_them(chunks: bytes) -> None:
    await check_alike(get("/echo", "transfer-encoding: chunked", method="POST"), chunks, get())


TRAILERS = b"3\r\nabc\r\n0\r\nauthorization: Bearer b\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"


async def test_trailers_are_no_headers() -> None:
    found: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        found.append([name for name, _ in scope["headers"]])

    sent = get("/", "transfer-encoding: chunked", method="POST") + TRAILERS + get()
    letters = (sent[at : at + 1] for at in range(len(sent)))
    for pieces in [sent], letters:
        answers = await conversation(HttpProtocol, pieces, app=app)
        assert "2 answered" == answers[-1]

    assert [[b"host", b"transfer-encoding"], [b"host"]] * 2 == found


async def test_requests_that_come_together_are_answered_one_after_the_other() -> None:
    await check_alike(get("/scope"), post(), get("/parts"), post(), get("/fail"), get())
    await check_alike(post(), get("/close"), get())
    await check_alike(get(), b"no request\r\n\r\n", get())


async def test_a_large_body_is_waited_for_when_nobody_reads_it() -> None:
    large = b"x" * 70_000

    await check_alike_in_pieces([post("/echo", large)[:-1], b"x", get()])
    await check_alike_in_pieces([post("/", large)[:30_000], post("/", large)[30_000:], get()])
    await check_alike_in_pieces([get() + post("/echo", large)[:68_000], b"x" * 9_000, get()])


async def check_alike_in_pieces(pieces: list[bytes], **settings: Any) -> None:
    theirs = await conversation(HttpToolsProtocol, pieces, **settings)
    ours = await conversation(HttpProtocol, pieces, **settings)

    assert theirs == ours


async def test_what_is_too_much_is_refused_as_uvicorn_refuses_it() -> None:
    await check_alike(get(), get(), limit_concurrency=1)
    await check_alike(get(), get(), limit_concurrency=2)


async def test_paths_are_below_the_root_path() -> None:
    await check_alike(get("/scope?a"), root_path="/below")


async def test_a_whole_answer_is_written_at_once() -> None:
    connection, wire = await connected(HttpProtocol)
    connection.data_received(get())
    await turns()

    assert 1 == wire.writes


async def test_a_body_that_has_come_is_in_the_scope() -> None:
    found: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope.get(SENT_WHOLE))
        await echo(scope, receive, send)

    bodies = post("/", b"a whole one") + post("/", b"one behind it"), get(), post("/", b"in parts")
    await conversation(HttpProtocol, [*bodies[:2], bodies[2][:-2], bodies[2][-2:]], app=app)

    assert [b"a whole one", b"one behind it", b"", None] == found


async def test_a_body_that_was_asked_for_is_not_in_the_scope() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    await conversation(HttpProtocol, [post("/", b"in parts")[:-2], b"ts"], app=app)

    assert SENT_WHOLE not in scopes[0]
