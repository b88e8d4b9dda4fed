"""What this process has done in the last minute: counted as it happens, read when asked for."""

import time
from collections import deque
from typing import NamedTuple

import psutil

from db.tallies import Timed, Timings

SECONDS = 60
REQUEST_SECONDS = Timings("request_seconds", "How long requests took.", ["outcome"])


class Requests(NamedTuple):
    """How requests went in the last minute; the mean is in milliseconds."""

    per_minute: int
    average_response_time: float
    error_rate: float


class LastMinute:
    """What took how long within the last sixty seconds, summed up second by second."""

    def __init__(self, told: Timed | None = None) -> None:
        self._told = told
        self._second_ends = 0.0
        self._taken: list[float] = []
        self._before: deque[tuple[float, int, float]] = deque()

    def add(self, began: float) -> None:
        """Count what began then, by `time.perf_counter`, and has come to its end now."""
        now = time.perf_counter()
        if now >= self._second_ends:
            self._sum_up(now)
        self._taken.append(now - began)

    def sums(self) -> tuple[int, float]:
        """How many there were, and how many seconds they took together."""
        self._sum_up(time.perf_counter())
        counts, seconds = zip((0, 0.0), *(sums for _, *sums in self._before), strict=True)
        return sum(counts), sum(seconds)

    def _sum_up(self, now: float) -> None:
        """Have the histogram told of all that was counted, and let go of what is too old."""
        if self._taken:
            self._before.append((self._second_ends, len(self._taken), sum(self._taken)))
            if self._told:
                self._told.extend(self._taken)
            self._taken = []
        self._second_ends = now // 1 + 1
        while self._before and self._before[0][0] <= self._second_ends - SECONDS:
            self._before.popleft()


class Vitals:
    """The pulse of this process. Feeding it takes about a microsecond."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.answered = LastMinute(REQUEST_SECONDS.of("answered"))
        self.failed = LastMinute(REQUEST_SECONDS.of("failed"))
        """Requests: those that failed did so by our own fault."""
        self.sent = LastMinute()
        """Messages that a socket took."""
        psutil.cpu_percent()  # What is asked for later counts from here.
        self._cpu = (time.monotonic(), 0.0)

    def requests(self) -> Requests:
        answered, seconds = self.answered.sums()
        failed, more_seconds = self.failed.sums()
        if not (count := answered + failed):
            return Requests(0, 0.0, 0.0)
        return Requests(count, (seconds + more_seconds) / count * 1000, failed / count)

    def latency(self) -> float:
        """How long sockets took to take a message, in milliseconds; 0 when there was none."""
        count, seconds = self.sent.sums()
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
