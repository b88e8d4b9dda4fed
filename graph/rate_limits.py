"""How often one may ask: a number a minute, by user or else by address, on every surface."""

import ipaddress
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from db.actors import Actor
from db.errors import RateLimitExceeded
from db.spelling import to_the_second
from graph.http import Headers
from settings import Settings

WINDOW_SECONDS = 60
IPV6_SITE_BITS = 64
LONGEST_KEY = 200


class Counter(Protocol):
    """Counts by key within a window; windows are numbered."""

    async def add(self, key: str, window: int) -> int:
        """One more; how many there are now."""
        ...


class MemoryCounter:
    """Counts for this process. All windows end at once, so nothing is ever looked through."""

    def __init__(self) -> None:
        self._window = 0
        self._counts: dict[str, int] = {}

    async def add(self, key: str, window: int) -> int:
        if window != self._window:
            self._window, self._counts = window, {}
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count


@dataclass(frozen=True)
class Allowance:
    """What one may still ask in this window; windows are the minutes of the clock."""

    limit: int
    used: int
    reset_at: int

    @property
    def is_exceeded(self) -> bool:
        return self.used > self.limit

    def headers(self) -> Headers:
        """The documented headers, and when to come again if it is used up."""
        found = [
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % max(self.limit - self.used, 0)),
            (b"x-ratelimit-reset", b"%d" % self.reset_at),
            (b"x-ratelimit-window", b"%d" % WINDOW_SECONDS),
        ]
        if self.is_exceeded:
            found.append((b"retry-after", b"%d" % max(self.reset_at - int(time.time()), 1)))
        return found

    def problem(self) -> RateLimitExceeded:
        reset_at = datetime.fromtimestamp(self.reset_at, UTC)
        return RateLimitExceeded(
            limit=self.limit, window=WINDOW_SECONDS, reset_at=to_the_second(reset_at)
        )


class RateLimits:
    """Who may ask how often."""

    def __init__(self, settings: Settings, counter: Counter) -> None:
        self._settings = settings
        self._counter = counter

    async def spend(self, actor: Actor | None, address: str) -> Allowance | None:
        """Count a request of this user, else of this address; None when nothing is limited."""
        if not self._settings.rate_limit_enabled:
            return None
        if actor is None:
            limit = self._settings.rate_limit_anonymous
            return await self._add(f"address:{_site(address)}", limit)
        premium, usual = self._settings.rate_limit_premium, self._settings.rate_limit_user
        return await self._add(f"user:{actor.id}", premium if actor.is_premium else usual)

    async def demand(self, actor: Actor | None, address: str) -> None:
        """The same. Raises `RateLimitExceeded`."""
        _check(await self.spend(actor, address))

    async def demand_login(self, username: str, address: str) -> None:
        """Count an attempt to sign in. Raises `RateLimitExceeded`."""
        if self._settings.rate_limit_enabled:
            key = f"login:{_site(address)}:{username}"
            _check(await self._add(key, self._settings.rate_limit_login))

    async def _add(self, key: str, limit: int) -> Allowance:
        window = int(time.time()) // WINDOW_SECONDS
        used = await self._counter.add(key[:LONGEST_KEY], window)
        return Allowance(limit, used, (window + 1) * WINDOW_SECONDS)


def _check(allowance: Allowance | None) -> None:
    if allowance and allowance.is_exceeded:
        raise allowance.problem()


def _site(address: str) -> str:
    """The address; of IPv6 the network of one site, within which addresses cost nothing."""
    if ":" not in address:
        return address
    try:
        number = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return f"{number >> IPV6_SITE_BITS:x}"
