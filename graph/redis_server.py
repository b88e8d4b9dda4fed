"""The Redis in which processes count requests; imported where there is one, for that takes long."""

import time
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from graph.rate_limits import WINDOW_SECONDS, MemoryCounter

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""After Redis failed, this process counts for itself for so long before it tries again."""


class RedisServer:
    """A Redis; who waits for it waits for a second at most."""

    def __init__(self, url: str) -> None:
        patience: Any = {
            "socket_timeout": PATIENCE_SECONDS,
            "socket_connect_timeout": PATIENCE_SECONDS,
        }
        self._redis: Redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), **patience)
        self.counter = RedisCounter(self._redis)

    async def info(self) -> dict[str, Any] | None:
        """What it says of itself; None when it does not answer."""
        try:
            found: dict[str, Any] = await self._redis.info()
        except (RedisError, OSError):
            return None
        return found

    async def close(self) -> None:
        await self._redis.aclose()


class RedisCounter:
    """Counts for all processes; for this one alone while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._instead = MemoryCounter()
        self._away_until = 0.0

    async def add(self, key: str, window: int) -> int:
        if time.monotonic() < self._away_until:
            return await self._instead.add(key, window)
        try:
            name = f"claude_cli_api:limit:{key}:{window}"
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.incr(name)
            pipeline.expire(name, 2 * WINDOW_SECONDS)
            count, _ = await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("Redis does not count", error=type(error).__name__)
            self._away_until = time.monotonic() + PAUSE_SECONDS
            return await self._instead.add(key, window)
        return int(count)
