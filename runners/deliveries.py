"""Makes deliveries of what has happened, and sends them: whichever process comes first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from db import deliveries
from db.deliveries import Answer, Taken
from db.engine import Database
from runners.loop import Loop
from runners.metrics import DELIVERIES
from settings import Settings

if TYPE_CHECKING:
    from runners.sender import Sender

log = structlog.get_logger(__name__)

SPREAD_SECONDS = 5.0
SEND_SECONDS = 2.0
"""A hint may be lost, and what failed is due again: the record is looked at this often."""
GATHERING_SECONDS = 0.1
"""Between two looks: when much happens, it is spread together."""
RECEIVERS_AT_ONCE = 50
EACH_AT_ONCE = 8
STOP_SECONDS = 2.0
"""What is on its way gets this when the process stops; the rest is sent again after its lease."""


class Deliveries:
    """Tells webhooks of what happens. No receiver has to wait for another."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._allowed_hosts = settings.webhook_allowed_hosts
        self._sender: Sender | None = None
        self._serving: dict[str, asyncio.Task[None]] = {}
        bus = database.bus
        self._spreading = Loop(
            "events are spread", bus, ("events", "webhooks"), SPREAD_SECONDS, self._spread
        )
        self._sending = Loop("deliveries are sent", bus, ("deliveries",), SEND_SECONDS, self._send)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Do it for as long as the block lasts."""
        self._spreading.start()
        self._sending.start()
        try:
            yield
        finally:
            await self._spreading.stop()
            await self._sending.stop()
            await self._finish()

    async def _spread(self) -> None:
        if await self._database.rows(deliveries.behind()):
            await self._database.write(deliveries.spread)
            self._spreading.wake()
        await asyncio.sleep(GATHERING_SECONDS)

    async def _send(self) -> None:
        free = RECEIVERS_AT_ONCE - len(self._serving)
        if not free:
            return
        due = await self._database.rows(deliveries.due(self._serving, limit=free))
        if due and self._sender is None:
            # Slow to import, and only some installations have webhooks.
            module = await asyncio.to_thread(import_module, "runners.sender")
            self._sender = module.Sender(self._allowed_hosts)
        for webhook in due:
            serving = asyncio.create_task(self._serve(webhook.id), name="deliveries to one webhook")
            self._serving[webhook.id] = serving

    async def _serve(self, webhook_id: str) -> None:
        """Send a webhook some of what is due."""
        try:
            taken = await self._database.write(deliveries.take_due, webhook_id, limit=EACH_AT_ONCE)
            if taken:
                async with asyncio.TaskGroup() as sending:
                    for each in taken:
                        sending.create_task(self._deliver(each))
                self._sending.wake()
        except Exception:
            log.exception("deliveries failed and go on", webhook_id=webhook_id)
        finally:
            del self._serving[webhook_id]

    async def _deliver(self, taken: Taken) -> None:
        assert self._sender
        try:
            answer = await self._sender.send(taken)
        except Exception:
            log.exception("a delivery could not be sent", delivery_id=taken.id)
            answer = Answer(error="It could not be sent")
        status = await self._database.write(deliveries.settle, taken, answer)
        if status:
            DELIVERIES.labels(status).inc()
        if answer.error:
            log.info("a delivery failed", delivery_id=taken.id, attempt=taken.attempt,
                     status=answer.status, error=answer.error)  # fmt: skip

    async def _finish(self) -> None:
        if serving := list(self._serving.values()):
            _, late = await asyncio.wait(serving, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
        if self._sender:
            await self._sender.close()
