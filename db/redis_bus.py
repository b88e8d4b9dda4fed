"""Hints between processes by Redis's PUBLISH and SUBSCRIBE."""

import asyncio

from redis.asyncio import Redis

from db.bus import CHANNEL, SharedBus


class RedisBus(SharedBus):
    """Hints by PUBLISH and SUBSCRIBE."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis: Redis = Redis.from_url(url)

    async def close(self) -> None:
        await super().close()
        await self._redis.aclose()

    async def _listen(self, hears: asyncio.Event) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            hears.set()
            self.wake_all()
            async for message in channel.listen():
                self._hear(message["data"])

    async def _carry(self, _hears: asyncio.Event) -> None:
        while True:
            for message in await self._messages():
                await self._redis.publish(CHANNEL, message)
