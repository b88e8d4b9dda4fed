"""Metrics of what happens thousands of times a second: noted then, made up when somebody looks."""

import collections
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

BOUNDS = Histogram.DEFAULT_BUCKETS
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
    """A histogram of how long things took, in seconds, by the value of its label."""

    def __init__(self, name: str, documentation: str, label: str, values: Sequence[str]) -> None:
        self._described = name, documentation
        self._label = label
        self._counted = {value: _Counted() for value in values}
        REGISTRY.register(self)

    def of(self, value: str) -> "_Counted":
        """Those with this label."""
        return self._counted[value]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(*self._described, labels=[self._label])
        for value, counted in self._counted.items():
            family.add_metric([value], counted.buckets(), counted.total)
        return [family]


class _Counted:
    def __init__(self) -> None:
        self.total = 0.0
        self._noted: list[float] = []
        self._within = [0] * len(BOUNDS)

    def add(self, seconds: float) -> None:
        self._noted.append(seconds)
        if len(self._noted) > MOST_NOTED:
            self._count()

    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most so long, for each bound."""
        self._count()
        return list(zip(map(floatToGoString, BOUNDS), self._within, strict=True))

    def _count(self) -> None:
        noted, self._noted = sorted(self._noted), []
        self.total += sum(noted)
        for place, bound in enumerate(BOUNDS):
            self._within[place] += bisect_right(noted, bound)
