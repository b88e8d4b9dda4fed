"""Both executors over the small record: what each of them answers, in a form to compare."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import orjson

from app import create_app, opened
from db.actors import Actor
from graph.auth import Caller
from graph.context import Context
from graph.execution import OPERATIONS, Answer, Executor, Prepared
from graph.services import Services
from tests.fixtures.databases import Maker
from tests.fixtures.server import QUICK_HASHER, settings_for
from tests.graph.world import ROWS, START, fill

Surface = Literal["graphql", "rest"]
SURFACES: tuple[Surface, ...] = ("graphql", "rest")

_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(rb'"(\d{4}-\d\d-\d\dT[\d:.]+Z)"')
_LONG_TIME = re.compile(rb'"\d{3,}:\d\d:\d\d"')
_KNOWN = {row["id"].encode() for rows in ROWS.values() for row in rows if "id" in row}


@asynccontextmanager
async def recorded(make_database: Maker, directory: Path) -> AsyncIterator[Services]:
    """What serves on a fresh database that holds the small record."""
    async with make_database(directory) as url:
        settings = settings_for(url, directory, worker_concurrency=0)
        services = create_app(settings, QUICK_HASHER).services
        async with opened(services.database):
            await services.database.write(fill)
            yield services


def executor_of(services: Services, surface: Surface) -> Executor:
    return services.rest if surface == "rest" else services.graphql


async def by_plan(
    services: Services,
    surface: Surface,
    prepared: Prepared,
    actor: Actor | None,
    variables: Mapping[str, Any],
) -> Answer:
    """The answer that clients get."""
    context = Context(services, Caller(actor), "request")
    return await executor_of(services, surface).execute(prepared, dict(variables), context)


async def by_reference(
    services: Services,
    surface: Surface,
    prepared: Prepared,
    actor: Actor | None,
    variables: Mapping[str, Any],
) -> Answer:
    """The answer of graphql-core and the resolvers."""
    executor = executor_of(services, surface)
    context = Context(services, Caller(actor), "request")
    return await executor.execute_by_reference(prepared, dict(variables), context)


def shown(prepared: Prepared, answer: Answer) -> tuple[bytes, Any]:
    """An answer, as far as it is always the same.

    Fields at the root run together: which error is first is chance; and where one leaves no data,
    whether those of the others are still told.
    """
    if answer.data is not None:
        return orjson.dumps(orjson.loads(answer.data)), sorted(answer.errors, key=orjson.dumps)
    is_alone = len(prepared.operation.selection_set.selections) == 1
    return b"no data", answer.errors if is_alone else bool(answer.errors)


def timeless(prepared: Prepared, answer: Answer) -> bytes:
    """An answer without what differs between two databases that were changed alike.

    New ids are numbered as they appear; times after the record's are all the same.
    """
    data, errors = shown(prepared, answer)
    text = b"%s %s" % (data, orjson.dumps(errors))
    numbers: dict[bytes, bytes] = {}

    def number(match: re.Match[bytes]) -> bytes:
        id_ = match[0]
        return id_ if id_ in _KNOWN else numbers.setdefault(id_, b"new %d" % len(numbers))

    def moment(match: re.Match[bytes]) -> bytes:
        return match[0] if match[1][:7] <= START.isoformat()[:7].encode() else b'"since"'

    return _LONG_TIME.sub(b'"long"', _TIME.sub(moment, _ID.sub(number, text)))


def count_of(executor: str) -> float:
    """How many operations were executed in this way, in this process."""
    return sum(
        sample.value
        for metric in OPERATIONS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["executor"] == executor
    )
