"""What a process knows of its last minute."""

import pytest

from graph import vitals
from graph.vitals import Vitals


class Clock:
    """Time in the hands of a test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(vitals, "time", clock)
    return clock


def test_requests_are_those_of_the_last_minute(clock: Clock) -> None:
    pulse = Vitals()
    pulse.failed.add(clock.now - 9.0)
    clock.now += 30
    pulse.answered.add(clock.now - 0.1)
    clock.now += 29.5
    pulse.failed.add(clock.now - 0.3)
    pulse.answered.add(clock.now - 0.2)
    with_all = pulse.requests()
    clock.now += 0.5
    without_the_first = pulse.requests()

    assert (4, 2400, 0.5) == pytest.approx(with_all)
    assert (3, 200, 1 / 3) == pytest.approx(without_the_first)


def test_a_second_of_a_later_minute_begins_anew(clock: Clock) -> None:
    pulse = Vitals()
    pulse.answered.add(clock.now - 1.0)
    clock.now += 60
    pulse.answered.add(clock.now - 1.0)

    assert 1 == pulse.requests().per_minute


def test_nothing_is_no_division_by_zero() -> None:
    assert (0, 0.0, 0.0) == Vitals().requests()
    assert 0.0 == Vitals().latency()


def test_latency_is_the_mean_of_what_was_sent(clock: Clock) -> None:
    pulse = Vitals()
    pulse.sent.add(clock.now - 0.001)
    pulse.sent.add(clock.now - 0.003)

    assert 2 == pytest.approx(pulse.latency())


def test_usage_is_measured() -> None:
    pulse = Vitals()

    assert 0 <= pulse.cpu_usage() <= 100
    assert 0 < pulse.memory_usage() <= 100
