"""Measures our queue beside others, in interleaved rounds on one PostgreSQL, and on SQLite.

`python -m bench.queue` writes docs/queue-performance.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import uvloop
from sqlalchemy import make_url

from db.migrations import upgrade
from tests.fixtures import postgres

ROOT = Path(__file__).parents[1]
PEERS = str(ROOT / "bench" / ".venv-queue" / "bin" / "python")
OURS = (sys.executable, "-m", "bench.queue_ours")
CONTENDERS = {
    "claude-cli-api": OURS,
    # -P: not from here, where `queue` would be this file.
    "pgqueuer": (PEERS, "-P", str(ROOT / "bench" / "queue_pgqueuer.py")),
    "procrastinate": (PEERS, "-P", str(ROOT / "bench" / "queue_procrastinate.py")),
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
CONCURRENCIES = (50, 200)
MEASURES = {
    "claude-cli-api": ("drain", "latency"),
    "pgqueuer": ("drain", "recorded", "latency"),
    "procrastinate": ("drain", "recorded", "latency"),
}
Figures = dict[tuple[str, str], list[Mapping[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1500, help="of a round; a 20th for latency")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "queue-performance.md")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    with postgres_server() as server:
        at_once = {name: best_concurrency(server, name, chosen.jobs // 2) for name in CONTENDERS}
        figures = measured(server, at_once, chosen.rounds, chosen.jobs)
        version = uvloop.run(_asked(server, "SHOW server_version"))
    report = reported(figures, at_once, version, load, chosen.rounds, chosen.jobs)
    chosen.to.write_text(report)
    print(report)


def best_concurrency(server: str, name: str, jobs: int) -> int:
    """How many jobs at once suit a contender best."""
    return max(
        CONCURRENCIES,
        key=lambda at_once: on_postgres(server, name, "drain", jobs, at_once)["per_second"],
    )


def measured(server: str, at_once: Mapping[str, int], rounds: int, jobs: int) -> Figures:
    """Every contender in every round, in the reversed order every other round."""
    figures: Figures = defaultdict(list)
    for number in range(rounds):
        order = list(CONTENDERS)[:: -1 if number % 2 else 1]
        for what, how_many in (("drain", jobs), ("recorded", jobs), ("latency", jobs // 20)):
            for name in order:
                if what in MEASURES[name]:
                    found = on_postgres(server, name, what, how_many, at_once[name])
                    figures[name, what].append(found)
        for what in ("drain", "through"):
            figures["SQLite", what].append(on_sqlite(what, jobs))
        for (name, what), found in figures.items():
            print(f"round {number + 1}: {name}, {what}: {found[-1]}", file=sys.stderr)
    return figures


def on_postgres(server: str, name: str, what: str, jobs: int, at_once: int) -> Mapping[str, float]:
    with database(server) as url:
        if name == "claude-cli-api":
            upgrade(url)
        return asked(CONTENDERS[name], url, what, jobs, at_once)


def asked(
    command: tuple[str, ...], url: str, what: str, jobs: int, at_once: int = CONCURRENCIES[0]
) -> Mapping[str, float]:
    done = subprocess.run(
        [*command, url, what, str(jobs), str(at_once)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    figures: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def on_sqlite(what: str, jobs: int) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory(dir=ROOT / "bench") as directory:
        url = f"sqlite:///{directory}/queue.db"
        upgrade(url)
        return asked(OURS, url, what, jobs)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The server of BENCH_DATABASE_URL, else one of our own on this disk; durable."""
    if given := os.environ.get("BENCH_DATABASE_URL"):
        yield given
        return
    postgres.OPTIONS |= DURABLE | {"shared_buffers": "128MB"}
    postgres.MEMORY = Path("/nonexistent")  # What is in memory is not durable.
    with postgres._running_postgres(next(postgres.installations())) as url:
        yield url


@contextmanager
def database(server: str, name: str = "queue_bench") -> Iterator[str]:
    uvloop.run(_asked(server, f"DROP DATABASE IF EXISTS {name}"))
    uvloop.run(_asked(server, f"CREATE DATABASE {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)


async def _asked(server: str, statement: str) -> str:
    connection = await asyncpg.connect(server)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


def reported(
    figures: Figures,
    at_once: Mapping[str, int],
    version: str,
    load: float,
    rounds: int,
    jobs: int,
) -> str:
    """The page, in Markdown."""

    def median(name: str, what: str, figure: str) -> float:
        return statistics.median(found[figure] for found in figures[name, what])

    def spread(name: str, what: str, figure: str) -> str:
        found = sorted(each[figure] for each in figures[name, what])
        return f"{median(name, what, figure):,.0f} [{found[0]:,.0f}–{found[-1]:,.0f}]"

    def ratio(name: str, what: str) -> str:
        ours = median("claude-cli-api", "drain", "per_second")
        return f"{ours / median(name, what, 'per_second'):.2f}"

    rows = "\n".join(
        f"| {name} | {at_once[name]} | {spread(name, 'drain', 'per_second')} "
        f"| {ratio(name, 'drain')} | {spread(name, MEASURES[name][-2], 'per_second')} "
        f"| {ratio(name, MEASURES[name][-2])} "
        f"| {median(name, 'latency', 'p50_ms'):.1f} | {median(name, 'latency', 'p99_ms'):.1f} |"
        for name in CONTENDERS
    )
    return f"""# How fast the queue is

Written by `make bench-queue`; only compare numbers of one table. {rounds} rounds, the order
reversed every other round; medians, and the lowest and highest in brackets. {os.cpu_count()} cores
with a load of {load:.1f} by others at the start, {platform.system()} {platform.release()}, Python {
        platform.python_version()
    }, PostgreSQL {version},
durable (`fsync` and `synchronous_commit` on), one worker process. How many jobs it runs at once is
what suits it best of {
        " and ".join(map(str, CONCURRENCIES))
    }, by a drain of its own before the first round.

## PostgreSQL

| | at once | no-op jobs drained a second | ours to it | the same, a record kept | ours to it \
| enqueue to start, p50 ms | p99 ms |
|---|---|---|---|---|---|---|---|
{rows}

Drain: {jobs:,} jobs wait, spread over 20 projects and three lanes, and one worker carries them out.
Ours is the real worker with every rule on: limits per project, lanes, ranks, fairness,
dependencies, leases and fences; a task's status and its history are written when a run is queued,
begins and ends, and the beginning is committed before a process may run. Only the process itself is
left out. The others keep a queue and nothing beside it; each uses its own driver, as many jobs a
batch as is its default, and its handler does nothing. pgqueuer is faster still with larger batches:
with 100 in place of 10, some 1.8 times. Its start weighs less the more jobs there are: of 5,000
(`--jobs 5000`) it drains about as many a second as ours.

A record kept: what ours always does, their handlers do as well, as one who offers tasks with a
history has to. Each sets the task's status and writes a line of its history, when it begins and
when it ends, by one statement each time, in tables with fewer columns and indexes than ours.

Enqueue to start: from the call that enqueues to the moment the worker has the run in hand, by
NOTIFY; ours goes from one connection pool and bus to another's. Until the beginning is on record,
which is when a process may start, the median is
{median("claude-cli-api", "latency", "recorded_p50_ms"):.1f} ms.

## SQLite, every commit on disk (`synchronous=FULL`)

| | jobs a second |
|---|---|
| drained | {spread("SQLite", "drain", "per_second")} |
| end to end: executed one by one by 50 users while one worker works | {
        spread("SQLite", "through", "per_second")
    } |
"""


if __name__ == "__main__":
    main()
