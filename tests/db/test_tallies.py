"""Metrics that are made up when somebody looks."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, generate_latest

from db import tallies
from db.tallies import Tally, Timings


@pytest.fixture
def timings() -> Iterator[Timings]:
    found = Timings("test_seconds", "How long tests took.", ["outcome"])
    yield found
    REGISTRY.unregister(found)


@pytest.fixture
def tally() -> Iterator[Tally]:
    found = Tally("tests", "Tests.", ["room", "outcome"])
    yield found
    REGISTRY.unregister(found)


def lines(metric: str) -> list[str]:
    return [line for line in generate_latest().decode().splitlines() if line.startswith(metric)]


def test_what_took_as_long_as_a_bound_is_within_it(timings: Timings) -> None:
    for seconds in (0.005, 0.006, 20.0):
        timings.of("passed").add(seconds)
    timings.of("failed")

    told = lines("test_seconds")
    assert 'test_seconds_bucket{le="0.005",outcome="passed"} 1.0' in told
    assert 'test_seconds_bucket{le="0.01",outcome="passed"} 2.0' in told
    assert 'test_seconds_bucket{le="10.0",outcome="passed"} 2.0' in told
    assert 'test_seconds_bucket{le="+Inf",outcome="passed"} 3.0' in told
    assert 'test_seconds_sum{outcome="passed"} 20.011' in told
    assert 'test_seconds_count{outcome="failed"} 0.0' in told


def test_nothing_is_lost_between_two_looks(
    timings: Timings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "MOST_NOTED", 3)
    for _ in range(10):
        timings.of("passed").add(0.25)
    first = lines("test_seconds_count")
    timings.of("passed").add(0.25)

    assert 'test_seconds_count{outcome="passed"} 10.0' in first
    assert 'test_seconds_count{outcome="passed"} 11.0' in lines("test_seconds_count")


def test_a_tally_counts_by_all_of_its_labels(tally: Tally) -> None:
    for key in (("db", "passed"), ("db", "passed"), ("db", "failed")):
        tally.counts[key] += 1

    assert [
        'tests_total{outcome="passed",room="db"} 2.0',
        'tests_total{outcome="failed",room="db"} 1.0',
    ] == lines("tests_total")
