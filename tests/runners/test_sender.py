"""The sender: once, to an address that was looked at, and no further."""

import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from db.deliveries import Answer, Taken
from runners import sender as sending
from runners.sender import Sender, signature
from tests.fixtures.missing import not_tested
from tests.fixtures.receiver import Receiver, receiving

SECRET = "a secret of the receiver"
HERE = "127.0.0.1"


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    async with receiving() as other:
        receiver.answers = [f"302 Found\r\nLocation: {other.url}"]
        answer = await send(receiver.url)

    assert Answer(302, "The receiver answered 302: redirects are not followed") == answer
    assert 0 == other.count()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_a_private_address_is_not_sent_to(receiver: Receiver, host: str) -> None:
    answer = await send(f"http://{host}:{receiver.port}/", allowed=())

    assert answer.status is None
    assert answer.error == "The address of the host is not public"
    assert 0 == receiver.count()


async def test_a_name_is_refused_when_one_of_its_addresses_is_private(receiver: Receiver) -> None:
    url = f"http://hooks.example:{receiver.port}/"
    answer = await send(url, allowed=(), addresses=["93.184.215.14", HERE])

    assert Answer(None, "The address of the host is not public") == answer


async def test_it_connects_to_the_address_that_it_looked_at(receiver: Receiver) -> None:
    url = f"http://hooks.example:{receiver.port}/a?b=c"
    answer = await send(url, addresses=[HERE])
    received = await receiver.next()

    assert Answer(200) == answer
    assert "POST /a?b=c HTTP/1.1" == received.line
    assert f"hooks.example:{receiver.port}" == received.headers["host"]


async def test_a_certificate_is_held_against_the_name_and_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certified(tmp_path, "hooks.example")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
    async with receiving(context) as receiver:
        right = await send(f"https://hooks.example:{receiver.port}/", addresses=[HERE])
        wrong = await send(f"https://other.example:{receiver.port}/", addresses=[HERE])

    assert Answer(200) == right
    assert wrong.error
    assert "certificate verify failed" in wrong.error
    assert ["hooks.example", "other.example"] == asked


async def test_the_next_address_is_tried_when_one_cannot_be_reached(receiver: Receiver) -> None:
    url = f"http://hooks.example:{receiver.port}/"
    answer = await send(url, allowed=["hooks.example"], addresses=["127.0.0.2", HERE])

    assert Answer(200) == answer


async def test_a_name_that_nobody_knows_is_an_error_of_the_delivery() -> None:
    answer = await send("http://nowhere.invalid/", allowed=["nowhere.invalid"])

    assert Answer(None, "The name of the host is not known") == answer


async def test_a_receiver_that_is_silent_is_not_waited_for(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_SECONDS", 0.2)
    receiver.silent = True

    assert Answer(None, "There was no answer within 0.2 seconds") == await send(receiver.url)


@pytest.mark.parametrize("answer", ["garbage", "99999 What", ""])
async def test_what_is_no_answer_is_an_error_of_the_delivery(
    receiver: Receiver, answer: str
) -> None:
    receiver.answers = [answer]
    got = await send(receiver.url)

    assert got.status is None
    assert got.error


async def test_nobody_who_listens_is_an_error_of_the_delivery() -> None:
    async with receiving() as receiver:
        pass
    answer = await send(receiver.url)

    assert answer.error
    assert answer.error.startswith("ConnectError")


def test_the_signature_is_the_hmac_of_the_body() -> None:
    assert signature("key", b"The quick brown fox jumps over the lazy dog") == (
        "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )


def certified(directory: Path, name: str) -> ssl.SSLContext:
    """What a server of this name speaks TLS by; its certificate is beside its key."""
    openssl = shutil.which("openssl")
    if not openssl:
        not_tested("NOT TESTED: there is no openssl to make a certificate with")
    certificate, key = directory / "certificate", directory / "key"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def send(
    url: str, allowed: Sequence[str] = (HERE,), addresses: Sequence[str] | None = None
) -> Answer:
    """What comes of a delivery to this URL; where its host leads to may be given."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses or ()

    sender = Sender(allowed, resolve) if addresses else Sender(allowed)
    try:
        return await sender.send(Taken("id", 1, "task.created", b"{}", url, SECRET))
    finally:
        await sender.close()
