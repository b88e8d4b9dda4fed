"""Our lists over a million tasks, beside the same over ten thousand."""

import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import queue
from bench.speed.contenders import CONTENDERS, US, Ask, Contender, Place, graphql
from bench.speed.load import Bound
from bench.speed.measuring import trial
from bench.speed.seed import id_of, seed
from bench.speed.servers import Server, serving

SIZES = (10_000, 1_000_000)
MOST_ROUNDS = 15
SECONDS = 0.2
Lists = Mapping[tuple[str, str, int], list[float]]


def _list(arguments: str) -> str:
    return f"query Listed {{ tasks({arguments}) {{ nodes {{ id title status createdAt }} }} }}"


def _asked(arguments: str) -> Ask:
    return graphql(_list(arguments), lambda _: {})


def _beyond(place: Place) -> bytes:
    return graphql(_list(f'first: 50, after: "{place.after}"'), lambda _: {})(place)


PROJECT, USER = id_of("projects", 3), id_of("users", 3)
QUESTIONS: Mapping[str, Ask] = {
    "the 50 newest": _asked("first: 50"),
    "50 after a cursor in the middle": _beyond,
    "50 of a project and a status": _asked(
        f'first: 50, filter: {{projectId: "{PROJECT}", status: [FAILED]}}'
    ),
    "50 of a status": _asked("first: 50, filter: {status: [FAILED]}"),
    "50 of an assignee": _asked(f'first: 50, filter: {{assignedTo: "{USER}"}}'),
    "50 by priority": _asked("first: 50, sort: PRIORITY"),
    "how many there are": graphql("{ tasks { totalCount } }", lambda _: {}),
    "how many a project has of a status": graphql(
        f'{{ tasks(filter: {{projectId: "{PROJECT}", status: [FAILED]}}) {{ totalCount }} }}',
        lambda _: {},
    ),
}


def measured(postgres: str, directory: Path, rounds: int) -> Lists:
    """The median answer of each round in milliseconds; nobody else asks."""
    ours = next(contender for contender in CONTENDERS if contender.name == US)
    asking = Contender(US, ours.command, QUESTIONS)
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        servers: list[tuple[int, Server]] = []
        for size in SIZES:
            url = stack.enter_context(queue.database(postgres, f"tasks_{size}"))
            for database, each in {
                "PostgreSQL": url,
                "SQLite": f"sqlite:///{directory}/tasks_{size}.db",
            }.items():
                seed(each, size)
                server = serving(asking, database, each, str(directory))
                servers.append((size, stack.enter_context(server)))
        for number in range(min(rounds, MOST_ROUNDS)):
            for question in QUESTIONS:
                for size, server in servers[:: -1 if number % 2 else 1]:
                    one = trial(server, question, [Place(size // 2)], 1, Bound(seconds=SECONDS))
                    found[question, server.database, size].append(one.p50_ms)
                    print(f"{question}, {server.database}, {size}: {one}", file=sys.stderr)
    return found


def shown(lists: Lists) -> Iterator[str]:
    """A table of times, and how many times as long they take over the larger record."""
    if not lists:
        return
    few, many = SIZES
    yield "\n## With a million tasks\n"
    yield "Milliseconds until the answer, one question at a time, the median.\n"
    for database in ("PostgreSQL", "SQLite"):
        yield f"| {database} | {few:,} tasks | {many:,} tasks | times as long |"
        yield "|---|---|---|---|"
        for question in QUESTIONS:
            one, other = (lists[question, database, size] for size in SIZES)
            times = statistics.median(b / a for a, b in zip(one, other, strict=True))
            a, b = statistics.median(one), statistics.median(other)
            yield f"| {question} | {a:.2f} | {b:.2f} | {times:.1f} |"
        yield ""
    yield "To count is to look at every row that is counted: it is only done when it is asked for."
