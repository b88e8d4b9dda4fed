"""What the runs of a worker report, until it is on record: written together, answered singly."""

import asyncio
from collections.abc import Callable, Sequence

from db.lifecycle import Ended, Postponed, Released, Report

LAST = (Ended, Released, Postponed)


class Entry:
    """A report, and whether it was accepted; `is_last` says that the run's slot is free then."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.is_last = isinstance(report, LAST)
        self.accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def answer(self, accepted: bool) -> None:
        if not self.accepted.done():
            self.accepted.set_result(accepted)


class Journal:
    """Reports that wait for the next turn; `wake` is called when there is one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: list[Entry] = []

    async def report(self, report: Report) -> bool:
        """Have it recorded, however long that takes. False when the run was taken from us."""
        entry = Entry(report)
        self._waiting.append(entry)
        self._wake()
        return await entry.accepted

    def take(self, most: int) -> list[Entry]:
        """What has waited longest; whoever takes it answers it or puts it back."""
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        self._waiting[:0] = entries

    def __len__(self) -> int:
        return len(self._waiting)
