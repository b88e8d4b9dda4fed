"""What this process has done in the last minute: counted as it happens, read when asked for."""

import time
from collections import deque
from typing import NamedTuple

import psutil

from db.tallies import Timings

SECONDS = 60
ANSWERED, FAILED = "answered", "failed"
REQUEST_SECONDS = Timings("request_seconds", "How long requests took.", ["outcome"])


class Requests(NamedTuple):
    """How requests went in the last minute; the mean is in milliseconds."""

    per_minute: int
    average_response_time: float
    error_rate: float


class LastMinute:
    """What took how long within the last sixty seconds, summed up second by second."""

    def __init__(self) -> None:
        self._second = 0
        self._taken: list[float] = []
        self._before: deque[tuple[int, int, float]] = deque()

    def add(self, seconds: float) -> None:
        if self._second != (now := int(time.monotonic())):
            self._sum_up(now)
        self._taken.append(seconds)

    def sums(self) -> tuple[int, float]:
        """How many there were, and how many seconds they took together."""
        self._sum_up(int(time.monotonic()))
        counts, seconds = zip((0, 0.0), *(sums for _, *sums in self._before), strict=True)
        return sum(counts), sum(seconds)

    def _sum_up(self, now: int) -> None:
        if self._taken:
            self._before.append((self._second, len(self._taken), sum(self._taken)))
            self._taken = []
        self._second = now
        while self._before and self._before[0][0] <= now - SECONDS:
            self._before.popleft()


class Vitals:
    """The pulse of this process. Feeding it takes about a microsecond."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._answers = LastMinute()
        self._failures = LastMinute()
        self._messages = LastMinute()
        self._answered = REQUEST_SECONDS.of(ANSWERED)
        self._failed = REQUEST_SECONDS.of(FAILED)
        psutil.cpu_percent()  # What is asked for later counts from here.
        self._cpu = (time.monotonic(), 0.0)

    def answered(self, seconds: float, *, failed: bool) -> None:
        """Count a request; one that failed did so by our own fault."""
        if failed:
            self._failures.add(seconds)
            self._failed.add(seconds)
        else:
            self._answers.add(seconds)
            self._answered.add(seconds)

    def sent(self, seconds: float) -> None:
        """Count a message that a socket took, and how long that took."""
        self._messages.add(seconds)

    def requests(self) -> Requests:
        answered, seconds = self._answers.sums()
        failed, more_seconds = self._failures.sums()
        if not (count := answered + failed):
            return Requests(0, 0.0, 0.0)
        return Requests(count, (seconds + more_seconds) / count * 1000, failed / count)

    def latency(self) -> float:
        """How long sockets took to take a message, in milliseconds; 0 when there was none."""
        count, seconds = self._messages.sums()
        return seconds / count * 1000 if count else 0.0

    def cpu_usage(self) -> float:
        """How busy the machine's processors were since somebody asked before, in percent."""
        at, percent = self._cpu
        if time.monotonic() - at >= 1:
            percent = psutil.cpu_percent()
            self._cpu = time.monotonic(), percent
        return percent

    def memory_usage(self) -> float:
        """How much of the machine's memory is in use, in percent."""
        return psutil.virtual_memory().percent
