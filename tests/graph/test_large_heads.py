"""How much of a head our HTTP protocol takes before its end."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from graph.protocol import LARGEST_HEAD, HttpProtocol
from tests.graph.test_protocol import (
    body,
    check_alike_in_pieces,
    connected,
    conversation,
    get,
    post,
    start,
    turns,
)

PIECE = 1000


def in_pieces(whole: bytes) -> list[bytes]:
    return [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]


@pytest.mark.parametrize(
    "endless",
    [
        b"\r\n" * LARGEST_HEAD,
        b"GET /" + b"x" * 2 * LARGEST_HEAD,
        b"GET / HTTP/1.1\r\nx-word: " + b"x" * 2 * LARGEST_HEAD,
        b"GET / HTTP/1.1\r\n" + b"x-word: y\r\n" * LARGEST_HEAD,
        get() + b"GET / HTTP/1.1\r\nx-word: " + b"x" * 2 * LARGEST_HEAD,
    ],
    ids=["blank", "target", "value", "headers", "second"],
)
async def test_a_head_that_becomes_too_large_is_refused(endless: bytes) -> None:
    connection, wire = await connected(HttpProtocol)
    taken = 0
    for piece in in_pieces(endless):
        if wire.closing:
            break
        connection.data_received(piece)
        taken += len(piece)
        await turns()
    *_, answer, closed = wire.done

    assert "close" == closed
    assert isinstance(answer, bytes)
    assert b"HTTP/1.1 431 Request Header Fields Too Large\r\n" in answer
    assert answer.endswith(b"connection: close\r\n\r\nThe headers are too large.")
    assert LARGEST_HEAD <= taken <= LARGEST_HEAD + 4 * PIECE


async def test_trailers_that_become_too_large_end_the_connection() -> None:
    request = get("/echo", "transfer-encoding: chunked", method="POST")
    endless = request + b"1\r\na\r\n0\r\nx-trailer: " + b"x" * 2 * LARGEST_HEAD

    assert ["close", "0 answered"] == await conversation(HttpProtocol, in_pieces(endless))


async def test_a_head_that_becomes_too_large_says_nothing_in_the_middle_of_an_answer() -> None:
    waiting = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        await waiting.wait()

    connection, wire = await connected(HttpProtocol, app)
    connection.data_received(get())
    await turns()
    told = [*wire.done]
    for piece in in_pieces(b"GET /" + b"x" * 2 * LARGEST_HEAD):
        if not wire.closing:
            connection.data_received(piece)
    waiting.set()
    await turns()

    assert [*told, "close"] == wire.done


async def test_large_is_what_uvicorn_takes_unless_it_is_a_head_in_pieces() -> None:
    word = "x-word: " + "x" * (LARGEST_HEAD - 2 * PIECE)
    large = 3 * LARGEST_HEAD
    chunked = get("/echo", "transfer-encoding: chunked", method="POST")

    await check_alike_in_pieces([get("/scope", *[word] * 3), get()])
    await check_alike_in_pieces(in_pieces(get("/scope", word) + get("/scope", word)))
    await check_alike_in_pieces(in_pieces(post("/echo", b"x" * large) + get()))
    await check_alike_in_pieces([post("/echo", b"x" * large) + get()[:9], get()[9:12], get()[12:]])
    await check_alike_in_pieces(
        in_pieces(chunked + b"%x\r\n" % large + b"x" * large + b"\r\n0\r\n\r\n" + get())
    )
    await check_alike_in_pieces(in_pieces(chunked + b"1\r\nx\r\n" * large + b"0\r\n\r\n" + get()))
