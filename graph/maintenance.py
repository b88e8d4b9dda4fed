"""Whether the system is in maintenance mode, as this process knows it."""

import contextlib
from typing import Any

from sqlalchemy import Row

from db import maintenance
from db.actors import Actor
from db.engine import Database
from db.errors import DatabaseUnavailable, SystemMaintenance

POLL_SECONDS = 5.0


class Maintenance:
    """The record's word on it, remembered until the bus says that it has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.state: Row[Any] | None = None

    async def refresh(self) -> None:
        """Look it up."""
        self.state = await self._database.first(maintenance.current())

    async def keep_current(self) -> None:
        """Look it up whenever it changes, in whichever process; runs as long as the server."""
        with self._database.bus.listen(maintenance.TOPIC) as listener:
            while True:
                await listener.wait(POLL_SECONDS)
                with contextlib.suppress(DatabaseUnavailable):
                    await self.refresh()

    def check(self, actor: Actor | None) -> None:
        """Raises `SystemMaintenance` for whoever may not change anything meanwhile."""
        if not (self.state and self.state.since_at) or (actor and actor.is_admin):
            return
        until = self.state.until_at
        raise SystemMaintenance(
            reason=self.state.message, until=until.isoformat() if until else None
        )
