"""What this process has done in the last minute: counted as it happens, read when asked for."""

import time
from typing import NamedTuple

import psutil
from prometheus_client import Histogram

SECONDS = 60
REQUEST_SECONDS = Histogram("request_seconds", "How long requests took.", ["outcome"])
OUTCOMES = {False: REQUEST_SECONDS.labels("answered"), True: REQUEST_SECONDS.labels("failed")}


class Requests(NamedTuple):
    """How requests went in the last minute; the mean is in milliseconds."""

    per_minute: int
    average_response_time: float
    error_rate: float


class LastMinute:
    """Sums of values over the last sixty seconds, second by second."""

    def __init__(self, width: int) -> None:
        self._nothing = [0.0] * width
        self._slots = [(0, self._nothing) for _ in range(SECONDS)]

    def add(self, *values: float) -> None:
        second = int(time.monotonic())
        since, sums = self._slots[second % SECONDS]
        if since != second:
            sums = self._nothing.copy()
            self._slots[second % SECONDS] = second, sums
        for place, value in enumerate(values):
            sums[place] += value

    def sums(self) -> list[float]:
        oldest = int(time.monotonic()) - SECONDS
        recent = [sums for since, sums in self._slots if since > oldest]
        return [sum(column) for column in zip(self._nothing, *recent, strict=True)]


class Vitals:
    """The pulse of this process. Feeding it takes about a microsecond."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests = LastMinute(3)
        self._messages = LastMinute(2)
        psutil.cpu_percent()  # What is asked for later counts from here.
        self._cpu = (time.monotonic(), 0.0)

    def answered(self, seconds: float, *, failed: bool) -> None:
        """Count a request; one that failed did so by our own fault."""
        OUTCOMES[failed].observe(seconds)
        self._requests.add(1, seconds, failed)

    def sent(self, seconds: float) -> None:
        """Count a message that a socket took, and how long that took."""
        self._messages.add(1, seconds)

    def requests(self) -> Requests:
        count, seconds, failed = self._requests.sums()
        if not count:
            return Requests(0, 0.0, 0.0)
        return Requests(int(count), seconds / count * 1000, failed / count)

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
