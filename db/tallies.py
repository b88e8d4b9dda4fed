"""Metrics of what happens thousands of times a second: noted then, made up when somebody looks."""

import collections
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client import REGISTRY, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

MOST_NOTED = 10_000


class Tally(Collector):
    """A counter: add to `counts`, by the values of its labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        self._described = name, documentation
        self._labels = labels
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(*self._described, labels=self._labels)
        for values, count in self.counts.items():
            family.add_metric(values, count)
        return [family]


class Timings(Collector):
    """A histogram of how long things took, in seconds, by the values of its labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        bounds: Sequence[float] = Histogram.DEFAULT_BUCKETS[:-1],
    ) -> None:
        self._described = name, documentation
        self._labels = labels
        self._bounds = (*bounds, inf)
        self._counted: dict[tuple[str, ...], Timed] = {}
        REGISTRY.register(self)

    def of(self, *values: str) -> "Timed":
        """Those with these labels, of which is told from now on."""
        if values not in self._counted:
            self._counted[values] = Timed(self._bounds)
        return self._counted[values]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(*self._described, labels=self._labels)
        for values, counted in self._counted.items():
            family.add_metric(values, counted.buckets(), counted.total)
        return [family]


class Timed:
    """How long things with the same labels took."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.total = 0.0
        self._noted: list[float] = []
        self._bounds = bounds
        self._within = [0] * len(bounds)

    def add(self, seconds: float) -> None:
        self._noted.append(seconds)
        if len(self._noted) > MOST_NOTED:
            self._count()

    def extend(self, seconds: Iterable[float]) -> None:
        self._noted.extend(seconds)
        self._count()

    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most so long, for each bound."""
        self._count()
        return list(zip(map(floatToGoString, self._bounds), self._within, strict=True))

    def _count(self) -> None:
        noted, self._noted = sorted(self._noted), []
        self.total += sum(noted)
        for place, bound in enumerate(self._bounds):
            self._within[place] += bisect_right(noted, bound)
