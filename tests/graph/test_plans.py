"""Plans answer as the reference executor does: whatever is asked, by whomever, of either database.

`PLAN_EXAMPLES` says how many requests hypothesis writes: the same ones for the same number.
`make drills` has it write thousands.
"""

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from graphql import OperationType
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import graph.runs
from db.actors import Actor
from graph.execution import Prepared
from graph.schema import graphql_schema, rest_executor, rest_schema
from graph.services import Services
from rest_compat import documents
from tests.fixtures.databases import Maker
from tests.graph.documents import is_declared, mutations, queries, variables_of
from tests.graph.executors import (
    SURFACES,
    Surface,
    by_plan,
    by_reference,
    count_of,
    executor_of,
    recorded,
    shown,
    timeless,
)
from tests.graph.world import ACTORS

EXAMPLES = int(os.environ.get("PLAN_EXAMPLES", "200"))
A_DATABASE = EXAMPLES // 2
SCHEMAS = {"graphql": graphql_schema()._schema, "rest": rest_schema()._schema}
OPERATIONS = documents.load(rest_executor())
READS = [
    name
    for name, operation in OPERATIONS.items()
    if operation.type is OperationType.QUERY and is_declared(SCHEMAS["rest"], operation)
]

pytestmark = [
    pytest.mark.timeout(1800),
    # An error at the root leaves resolvers behind that graphql-core has called and not awaited.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def examples(count: int, **others: Any) -> settings:
    return settings(
        max_examples=max(count, 1),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        **others,
    )


@pytest_asyncio.fixture(scope="module")
async def services(
    make_database: Maker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    async with recorded(make_database, tmp_path_factory.mktemp("record")) as found:
        yield found


@pytest_asyncio.fixture(scope="module")
async def twins(
    make_database: Maker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Services, Services]]:
    """Two databases that hold the same."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with pytest.MonkeyPatch.context() as patch:
        # Nothing carries runs out here: there is nothing to wait for.
        patch.setattr(graph.runs, "WAIT_FOR_START_SECONDS", 0)
        async with recorded(make_database, first) as one, recorded(make_database, second) as other:
            yield one, other


@examples(A_DATABASE * 8 // 10 // len(ACTORS))
@given(st.data())
async def test_plan_agrees_with_the_reference_on_generated_queries(
    services: Services, data: st.DataObject
) -> None:
    surface = data.draw(st.sampled_from(SURFACES))
    asked = data.draw(queries(SCHEMAS[surface]))
    prepared = executor_of(services, surface).prepare(asked.document)

    for actor in ACTORS.values():
        await _assert_agreement(services, surface, prepared, actor, asked.variables)


@examples(A_DATABASE // 10 // len(ACTORS))
@given(st.data())
async def test_plan_agrees_with_the_reference_on_the_queries_behind_rest(
    services: Services, data: st.DataObject
) -> None:
    operation = documents.load(services.rest)[data.draw(st.sampled_from(READS))]
    variables = data.draw(variables_of(operation))

    for actor in ACTORS.values():
        await _assert_agreement(services, "rest", operation, actor, variables)


# Not shrunk: each change meets what those before it have left.
@examples(A_DATABASE // 10, phases=[Phase.generate])
@given(st.data())
async def test_plan_agrees_with_the_reference_on_generated_mutations(
    twins: tuple[Services, Services], data: st.DataObject
) -> None:
    surface = data.draw(st.sampled_from(SURFACES))
    asked = data.draw(mutations(SCHEMAS[surface]))
    actor = ACTORS[data.draw(st.sampled_from(sorted(ACTORS)))]
    prepared = executor_of(twins[0], surface).prepare(asked.document)
    expected = await by_reference(twins[0], surface, prepared, actor, asked.variables)
    actual = await by_plan(twins[1], surface, prepared, actor, asked.variables)

    assert timeless(prepared, expected) == timeless(prepared, actual)


LATER = "query B($x: Boolean!) { tasks { nodes { id @include(if: $x) } } }"


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("query A($x: Int) { tasks(first: $x) { nodes { id } } }" + LATER, {}),
        (
            "query A($x: [TaskStatus!]) { tasks(filter: {status: $x}) { nodes { id } } }" + LATER,
            {"x": ["PENDING"]},
        ),
        ("query A($x: Boolean = true) { tasks { nodes { id title @include(if: $x) } } }", {}),
        (
            "query A($x: Boolean = true) { tasks { nodes { id title @include(if: $x) } } }",
            {"x": None},
        ),
        ("query A($x: Boolean = true) { tasks { nodes { id title @skip(if: $x) } } }", {"x": None}),
    ],
    ids=["of another operation", "of another type", "by default", "null", "skipped by null"],
)
async def test_plan_agrees_with_the_reference_on_the_variables_of_directives(
    services: Services, document: str, variables: Mapping[str, Any]
) -> None:
    prepared = services.graphql.prepare(document, "A")

    for actor in ACTORS.values():
        await _assert_agreement(services, "graphql", prepared, actor, variables)


async def test_nothing_is_compiled_for_who_may_ask_for_nothing(services: Services) -> None:
    prepared = services.graphql.prepare("{ tasks { nodes { id history { id } } } }")
    answer = await by_plan(services, "graphql", prepared, None, {})

    assert ["AUTH_TOKEN_MISSING"] == [error["extensions"]["code"] for error in answer.errors]
    assert "plan" not in vars(prepared)


@pytest.mark.parametrize(("objects", "executor"), [(62, "plan"), (63, "reference")])
async def test_what_has_very_many_objects_is_left_to_the_reference(
    services: Services, objects: int, executor: str
) -> None:
    many = " ".join(f"a{number}: project {{ id }}" for number in range(objects))
    prepared = services.graphql.prepare(f"{{ tasks {{ nodes {{ {many} }} }} }}")
    before = count_of(executor)
    answer = await by_plan(services, "graphql", prepared, ACTORS["admin"], {})

    assert answer.data
    assert before + 1 == count_of(executor)


async def _assert_agreement(
    services: Services,
    surface: Surface,
    prepared: Prepared,
    actor: Actor | None,
    variables: Mapping[str, Any],
) -> None:
    """Both answer the same; and a plan leaves to the reference only what fails."""
    expected = await by_reference(services, surface, prepared, actor, variables)
    planned_before = count_of("plan")
    actual = await by_plan(services, surface, prepared, actor, variables)

    assert shown(prepared, expected) == shown(prepared, actual)
    if actor and not expected.errors and is_declared(SCHEMAS[surface], prepared):
        assert planned_before + 1 == count_of("plan")
