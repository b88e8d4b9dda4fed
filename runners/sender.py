"""Sends a delivery: signed, to an address that was looked at, and no further than there."""

import asyncio
import hmac
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence

import httpx2

from db.addresses import may_be_reached
from db.deliveries import Answer, Taken

MOST_SECONDS = 10.0
CONNECT_SECONDS = 4.0
MOST_ADDRESSES = 3
LONGEST_ERROR = 200

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Refused(Exception):
    """The delivery was not sent, for a reason of ours."""


async def addresses_of(host: str, port: int) -> list[str]:
    """The addresses that a name leads to now. Raises `OSError` when there is none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class Sender:
    """Sends deliveries. Each takes a connection of its own, to an address that was looked at."""

    def __init__(self, allowed_hosts: Collection[str], resolve: Resolve = addresses_of) -> None:
        self._allowed_hosts = allowed_hosts
        self._resolve = resolve
        # Only the transport: no redirects, no cookies, no proxies of the environment.
        self._transport = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def close(self) -> None:
        await self._transport.aclose()

    async def send(self, delivery: Taken) -> Answer:
        """Send it once. What the receiver says besides its status is not read."""
        try:
            async with asyncio.timeout(MOST_SECONDS):
                status = await self._post(delivery)
        except TimeoutError:
            return Answer(error=f"There was no answer within {MOST_SECONDS:g} seconds")
        except Refused as refused:
            return Answer(error=str(refused))
        except httpx2.TimeoutException:
            return Answer(error="The receiver could not be reached in time")
        except (httpx2.TransportError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            return Answer(error=f"{type(error).__name__}: {error}"[:LONGEST_ERROR])
        return Answer(status, _complaint(status))

    async def _post(self, delivery: Taken) -> int:
        url = httpx2.URL(delivery.url)
        addresses = await self._checked_addresses(url)
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, url, delivery)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._post_to(addresses[-1], url, delivery)

    async def _checked_addresses(self, url: httpx2.URL) -> Sequence[str]:
        host = url.raw_host.decode()
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        try:
            found = await self._resolve(host, port)
        except OSError:
            raise Refused("The name of the host is not known") from None
        if not all(may_be_reached(host, address, self._allowed_hosts) for address in found):
            raise Refused("The address of the host is not public")
        return found[:MOST_ADDRESSES]

    async def _post_to(self, address: str, url: httpx2.URL, delivery: Taken) -> int:
        """Connect to this address and no other: the name may lead elsewhere by now."""
        request = httpx2.Request(
            "POST",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode(), **_headers(delivery)},
            content=delivery.body,
            extensions={
                "sni_hostname": url.raw_host.decode(),
                "timeout": {"connect": CONNECT_SECONDS},
            },
        )
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return response.status_code


def signature(secret: str, body: bytes) -> str:
    """What the header X-Signature-256 holds."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def _headers(delivery: Taken) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "claude-cli-api",
        "X-Signature-256": signature(delivery.secret, delivery.body),
        "X-Delivery-ID": delivery.id,
        "X-Event-Type": delivery.event,
    }


def _complaint(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed"
    return f"The receiver answered {status}"
