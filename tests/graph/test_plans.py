"""Plans answer just as the reference executor does, whatever is asked, by whom and on what."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from app import create_app, opened
from db.actors import Actor
from graph.context import Context
from graph.execution import Answer, Executor, Refused
from graph.schema import graphql_schema, rest_schema
from graph.services import Services
from tests.fixtures.postgres import fresh_database
from tests.fixtures.server import QUICK_HASHER, settings_for
from tests.graph.documents import Request, mutations, queries
from tests.graph.world import ACTORS, fill

EXAMPLES = int(os.environ.get("PLAN_EXAMPLES", "1500"))
PHASES = [__import__("hypothesis").Phase.generate]
SURFACES = {"graphql": graphql_schema()._schema, "rest": rest_schema()._schema}


@asynccontextmanager
async def serving(kind, request, directory: Path) -> AsyncIterator[Services]:
    template = request.getfixturevalue(f"{kind}_template")
    async with AsyncExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{shutil.copy(template, directory / 'test.db')}"
        else:
            server = request.getfixturevalue("postgres_server")
            url = await stack.enter_async_context(fresh_database(server, template))
        settings = settings_for(url, directory, worker_concurrency=0)
        services = create_app(settings, QUICK_HASHER).services
        await stack.enter_async_context(opened(services.database))
        await services.database.write(fill)
        yield services


@pytest_asyncio.fixture(scope="module", params=["sqlite", "postgres"])
async def services(request, tmp_path_factory) -> AsyncIterator[Services]:
    async with serving(request.param, request, tmp_path_factory.mktemp("plans")) as services:
        yield services


async def answers(services, surface: str, asked: Request, actor: Actor | None) -> list:
    executor: Executor = getattr(services, surface)
    try:
        prepared = executor.prepare(asked.document)
    except Refused as refused:
        print(refused, asked.document)
        raise
    executes = (executor.execute_by_reference, executor.execute)
    return [
        shown(await execute(prepared, dict(asked.variables), Context(services, actor, "request")))
        for execute in executes
    ]


def shown(answer: Answer) -> Any:
    data = None if answer.data is None else orjson.dumps(orjson.loads(answer.data))
    return data, sorted(answer.errors, key=orjson.dumps)


@settings(
    max_examples=EXAMPLES // 2,
    deadline=None,
    database=None,
    derandomize="PLAN_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=PHASES,
)
@given(data=st.data())
async def test_plan_gives_the_answer_of_the_reference(services: Services, data) -> None:
    surface = data.draw(st.sampled_from(("graphql", "graphql", "rest")))
    asked = data.draw(queries(SURFACES[surface]))
    actor = data.draw(st.sampled_from(sorted(ACTORS)))

    expected, actual = await answers(services, surface, asked, ACTORS[actor])
    assert expected == actual
