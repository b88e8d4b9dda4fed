"""Measures how fast we answer, beside others, in interleaved rounds on both databases.

`python -m bench.speed` writes docs/performance.md and docs/performance.svg; with `--large` it also
measures our lists over a million tasks.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from bench import queue
from bench.speed import large, report
from bench.speed.contenders import CONTENDERS, LIMIT, US
from bench.speed.equality import check_alike
from bench.speed.load import Bound
from bench.speed.measuring import Figures, Starts, places, trial
from bench.speed.seed import seed
from bench.speed.servers import Server, serving

TASKS = 10_000
CREATED = 1500
"""Tasks that each server creates, over all rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # Many short trials: a machine is slower for a while now and then, and then for all of a round.
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each trial")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--only", default="", help="names of what is measured: Q1,M1")
    parser.add_argument("--starts", type=int, default=3, help="of each server, to be timed")
    parser.add_argument("--pair", action="store_true", help="only us and what is hand-written")
    parser.add_argument("--large", action="store_true", help="also lists over a million tasks")
    parser.add_argument("--to", type=Path, default=queue.ROOT / "docs" / "performance.md")
    chosen = parser.parse_args()
    _keep_off_the_servers_core()
    with queue.postgres_server() as postgres, tempfile.TemporaryDirectory() as directory:
        with _databases(postgres, Path(directory)) as urls:
            starts, figures = measured(urls, directory, chosen)
        lists: large.Lists = {}
        if chosen.large:
            lists = large.measured(postgres, Path(directory), chosen.rounds)
        version = uvloop.run(queue._asked(postgres, "SHOW server_version"))
    report.write(chosen, version, starts, figures, lists)


def measured(
    urls: dict[str, str], directory: str, chosen: argparse.Namespace
) -> tuple[Starts, Figures]:
    """What starting took, and every trial."""
    contenders = [one for one in CONTENDERS if not chosen.pair or one.name in (LIMIT, US)]
    starts, figures = Starts(), Figures()
    with ExitStack() as stack:
        servers: list[Server] = []
        for database, url in urls.items():
            for contender in contenders:
                if database in contender.databases:
                    for _ in range(chosen.starts):
                        with serving(contender, database, url, directory) as server:
                            starts.add(server)
                    server = stack.enter_context(serving(contender, database, url, directory))
                    servers.append(server)
        asked = places(servers, TASKS)
        check_alike(servers, asked)
        for number in range(chosen.rounds):
            for server, what in _turns(servers, chosen.only, number):
                bound = _bound(what, chosen)
                found = trial(server, what, asked[server.port], chosen.connections, bound)
                figures.add(server, what, found)
                known = f"{server.contender.name}, {server.database}, {what}"
                print(f"round {number + 1}: {known}: {found}", file=sys.stderr)
    return starts, figures


def _bound(what: str, chosen: argparse.Namespace) -> Bound:
    if what == "M1":
        return Bound(requests=-(-CREATED // chosen.rounds))
    return Bound(seconds=chosen.seconds)


def _turns(servers: list[Server], only: str, number: int) -> Iterator[tuple[Server, str]]:
    """Who is asked what in a round, one after the other; backwards every other round."""
    for what in only.split(",") if only else report.MEASURED:
        for server in servers[:: -1 if number % 2 else 1]:
            if what in server.contender.asks:
                yield server, what


@contextmanager
def _databases(postgres: str, directory: Path) -> Iterator[dict[str, str]]:
    with queue.database(postgres) as url:
        urls = {"PostgreSQL": url, "SQLite": f"sqlite:///{directory}/speed.db"}
        for each in urls.values():
            seed(each, TASKS)
        yield urls


def _keep_off_the_servers_core() -> None:
    """Leave the first core to the servers; the load and PostgreSQL take the others."""
    if others := os.sched_getaffinity(0) - {0}:
        os.sched_setaffinity(0, others)


if __name__ == "__main__":
    main()
