"""The page and the picture of what was measured."""

import argparse
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from bench.speed.contenders import CONTENDERS, FASTAPI, LIMIT, POSTGRAPHILE, STRAWBERRY, US
from bench.speed.large import Lists
from bench.speed.large import shown as lists_shown
from bench.speed.measuring import Figures, Starts
from bench.speed.picture import drawn

DATABASES = ("PostgreSQL", "SQLite")
MEASURED = {
    "Q1": "50 tasks with project and assignee",
    "Q2": "the same with history and dependencies",
    "Q3": "one task",
    "R1": "REST: a page of 50 tasks, with its count",
    "R2": "REST: one task with history and dependencies",
    "M1": "create a task with its event",
}
TARGETS = (
    *((LIMIT, what, 0.9) for what in ("Q1", "Q2", "Q3", "R1", "R2")),
    (LIMIT, "M1", 0.7),
    *((POSTGRAPHILE, what, 2.0) for what in ("Q1", "Q2")),
    (FASTAPI, "Q1", 8.0),
    (STRAWBERRY, "Q1", 20.0),
)


def write(
    chosen: argparse.Namespace, version: str, starts: Starts, figures: Figures, lists: Lists
) -> None:
    """Write the page, and the picture beside it."""
    page = "\n".join(_page(chosen, version, starts, figures, lists))
    chosen.to.write_text(page)
    chosen.to.with_suffix(".svg").write_text(drawn(figures))
    print(page)


def _page(
    chosen: argparse.Namespace, version: str, starts: Starts, figures: Figures, lists: Lists
) -> Iterator[str]:
    yield f"""# How fast it answers

Written by `make bench`; only compare numbers of one table. {chosen.rounds} rounds, the order
reversed every other round, medians; {chosen.connections} connections, {chosen.seconds:g} s a trial,
one server process each. {os.cpu_count()} cores ({_processor()}), {platform.system()}
{platform.release()}, Python {platform.python_version()}, PostgreSQL {version}. The servers share a
core; the load and PostgreSQL have the rest.

What counts is how many requests a server answers in a second of its own CPU time: that is what one
full core would serve, however busy the machine is. The time of PostgreSQL is not in it, that of
SQLite is.

20 projects, 50 users, 10,000 tasks. Everyone answers from the same record, and what they answer is
compared before it is measured: ours and the hand-written answers are the same to the letter.

![Requests in a second of CPU time]({chosen.to.with_suffix(".svg").name})

## Against what is asked of it
"""
    yield from _ratios(figures)
    for database in DATABASES:
        yield from _table(database, figures)
    yield from _starts(starts)
    yield from lists_shown(lists)
    yield from _who()


def _ratios(figures: Figures) -> Iterator[str]:
    yield "| ours : other | " + " | ".join(DATABASES) + " | wanted |"
    yield "|---|---|---|---|"
    for other, what, wanted in TARGETS:
        found = [figures.ratio(US, other, database, what) for database in DATABASES]
        if any(found):
            cells = " | ".join("" if one is None else f"{one:.2f}" for one in found)
            yield f"| {what} : {other} | {cells} | {wanted:g} |"


def _table(database: str, figures: Figures) -> Iterator[str]:
    measured = [what for what in MEASURED if figures.median(LIMIT, database, what)]
    yield f"\n## {database}\n"
    for what in measured:
        yield f"\n**{what}**: {MEASURED[what]}\n"
        yield "| | a CPU second | of hand-written | CPU µs | p50 ms | p99 ms |"
        yield "|---|---|---|---|---|---|"
        for contender in CONTENDERS:
            if found := figures.median(contender.name, database, what):
                ratio = figures.ratio(contender.name, LIMIT, database, what)
                yield (
                    f"| {contender.name} | {found.per_cpu_second:,.0f} | {ratio:.2f} "
                    f"| {found.cpu_us:,.0f} | {found.p50_ms:.1f} | {found.p99_ms:.1f} |"
                )


def _starts(starts: Starts) -> Iterator[str]:
    yield "\n## Starting\n"
    yield "| | database | seconds to the first answer | idle memory, MB |"
    yield "|---|---|---|---|"
    for (name, database), (seconds, idle_bytes) in starts.medians().items():
        yield f"| {name} | {database} | {seconds:.2f} | {idle_bytes / 1e6:.0f} |"


def _who() -> Iterator[str]:
    yield f"""
## Who is measured

- **{US}**: `claude-cli-api serve` as it is, worker and all; only the rate limits are off.
- **{LIMIT}**: [Starlette, asyncpg or sqlite3, orjson](../bench/speed/handwritten.py); an endpoint
  for each answer. Tokens are checked as ours are: their user is looked up every five seconds.
- **{POSTGRAPHILE}**: its Amber preset over our tables, on Node; it asks nobody for a token.
- **{FASTAPI}**: [pydantic models of ORM entities](../bench/speed/fastapi_orm.py), `selectinload`.
- **{STRAWBERRY}**: [resolvers and dataloaders](../bench/speed/plain_strawberry.py) over the same
  entities.

All Python servers run on uvicorn with uvloop and httptools, without access logs. The others take
uvicorn's HTTP protocol as it is; ours has
[a subclass of it](decisions/0044-usual-requests-go-a-shorter-way.md) that spends about 9 µs less on
a request."""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
