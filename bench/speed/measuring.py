"""One trial of one server, and what all of them come to."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import uvloop

from bench.speed.contenders import CURSORS, POSTGRAPHILE, Place, post
from bench.speed.load import Bound, asked
from bench.speed.servers import Server, answer

PLACES = 200
APART = 7
FIRST = 1400
WARM_UP = 16
WARM_UP_SECONDS = 0.1


@dataclass(frozen=True)
class Trial:
    """What one request took: server CPU in microseconds, and latencies in milliseconds."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    requests: int

    @property
    def per_cpu_second(self) -> float:
        return 1e6 / self.cpu_us

    def __str__(self) -> str:
        return (
            f"{self.cpu_us:,.0f} us of CPU, {self.per_cpu_second:,.0f} a CPU second, "
            f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, {self.requests} requests"
        )


class Starts:
    """Seconds until the first answer, and bytes of memory then, by who was started on what."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)

    def add(self, server: Server) -> None:
        key = server.contender.name, server.database
        self._found[key].append((server.started_in, server.idle_bytes))

    def medians(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        return {
            key: (
                statistics.median(one[0] for one in found),
                statistics.median(one[1] for one in found),
            )
            for key, found in self._found.items()
        }


class Figures:
    """All trials, by who was asked what on which database."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str], list[Trial]] = defaultdict(list)

    def add(self, server: Server, what: str, trial: Trial) -> None:
        self.found[server.contender.name, server.database, what].append(trial)

    def median(self, name: str, database: str, what: str) -> Trial | None:
        """The middle of each figure, by itself."""
        trials = self.found.get((name, database, what))
        if not trials:
            return None
        return Trial(
            statistics.median(one.cpu_us for one in trials),
            statistics.median(one.p50_ms for one in trials),
            statistics.median(one.p99_ms for one in trials),
            sum(one.requests for one in trials),
        )

    def ratio(self, name: str, to: str, database: str, what: str) -> float | None:
        """How many times as much one does in a CPU second: the middle of the rounds' ratios."""
        mine, theirs = (self.found.get((one, database, what), []) for one in (name, to))
        ratios = [b.cpu_us / a.cpu_us for a, b in zip(mine, theirs, strict=False)]
        return statistics.median(ratios) if ratios else None


def trial(
    server: Server, what: str, places: Sequence[Place], connections: int, bound: Bound
) -> Trial:
    """Ask a server for as long as the bound allows, after it was warmed up."""
    requests = [server.contender.asks[what](place) for place in places]
    warm_up = Bound(seconds=WARM_UP_SECONDS, requests=WARM_UP)
    uvloop.run(asked(server.port, requests, connections, warm_up))
    before = server.cpu_seconds()
    took = sorted(uvloop.run(asked(server.port, requests, connections, bound)))
    spent = server.cpu_seconds() - before
    return Trial(
        1e6 * spent / len(took),
        1000 * took[len(took) // 2],
        1000 * took[len(took) * 99 // 100],
        len(took),
    )


def places(servers: Sequence[Server], tasks: int) -> Mapping[int, Sequence[Place]]:
    """Where lists begin, by the port of who is asked."""
    numbers = range(tasks - 2, tasks - 2 - APART * PLACES, -APART)
    found = {}
    for server in servers:
        cursors = [""] * FIRST
        if server.contender.name == POSTGRAPHILE:
            query = post("/graphql", {"query": CURSORS, "variables": {"first": FIRST}})
            edges = orjson.loads(answer(server, query))["data"]["allTasks"]["edges"]
            cursors = [edge["cursor"] for edge in edges]
        found[server.port] = [Place(number, cursors[tasks - 1 - number]) for number in numbers]
    return found
