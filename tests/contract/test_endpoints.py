"""Every documented path: it has a row, takes what is documented, and answers as documented."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from graph.schema import rest_executor
from rest_compat import documents, openapi
from rest_compat.routes import TABLE
from tests.contract.facts import tasks
from tests.contract.facts.endpoints import Endpoint
from tests.contract.facts.envelope import FAILURE, LINKED_PAGE, REFUSED_FIELD, SUCCESS
from tests.contract.facts.everything import ENDPOINTS, PAGES
from tests.contract.shapes import misfits
from tests.contract.world import World
from tests.fixtures.server import Served

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=BY_NAME)
every_parameter = pytest.mark.parametrize(
    ("endpoint", "parameter"),
    [
        pytest.param(endpoint, parameter, id=f"{endpoint.name} {parameter}")
        for endpoint in ENDPOINTS
        for parameter in endpoint.query
    ],
)


def test_the_documentation_names_forty_five_endpoints() -> None:
    assert 45 == len(BY_NAME)


@every_endpoint
def test_every_endpoint_has_a_row(endpoint: Endpoint) -> None:
    rows = {(row.method, row.path): row for row in TABLE}
    row = rows[endpoint.method, endpoint.path]

    assert (endpoint.success, endpoint.is_public) == (row.success, row.is_public)


@every_endpoint
async def test_a_documented_request_is_answered_as_documented(
    world: World, endpoint: Endpoint
) -> None:
    query = {name: values[0] for name, values in endpoint.query.items()}
    response = await world.ask(endpoint, endpoint.body, **query)

    assert endpoint.success == response.status_code, response.text
    assert [] == misfits(SUCCESS | {"data": endpoint.answer}, response.json())


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        pytest.param(endpoint, body, id=f"{endpoint.name} {number}")
        for endpoint in ENDPOINTS
        for number, body in enumerate(endpoint.bodies)
    ],
)
async def test_every_documented_word_of_a_body_is_accepted(
    world: World, endpoint: Endpoint, body: Mapping[str, Any]
) -> None:
    response = await world.ask(endpoint, body)

    assert endpoint.success == response.status_code, response.text
    assert [] == misfits(SUCCESS | {"data": endpoint.answer}, response.json())


@every_parameter
async def test_every_documented_value_of_a_parameter_is_accepted(
    world: World, endpoint: Endpoint, parameter: str
) -> None:
    for value in endpoint.query[parameter]:
        response = await world.ask(endpoint, **{parameter: value})

        assert endpoint.success == response.status_code, response.text


@every_parameter
async def test_another_value_of_a_parameter_is_refused_by_its_name(
    world: World, endpoint: Endpoint, parameter: str
) -> None:
    response = await world.ask(endpoint, **{parameter: "!"})

    if parameter in endpoint.free:
        assert endpoint.success == response.status_code, response.text
        return
    assert 422 == response.status_code, response.text
    assert [] == misfits(FAILURE, response.json())
    assert [] == misfits(REFUSED_FIELD, response.json()["error"]["details"])
    assert parameter == response.json()["error"]["details"]["field"]


async def test_only_public_endpoints_answer_whoever_does_not_sign_in(server: Served) -> None:
    async with server.http(None) as client:
        answers = [
            await client.request(endpoint.method, endpoint.path, json=endpoint.body)
            for endpoint in ENDPOINTS
            if not endpoint.is_public
        ]

    for answer in answers:
        assert 401 == answer.status_code
        assert [] == misfits(FAILURE, answer.json())
        assert "AUTH_TOKEN_MISSING" == answer.json()["error"]["code"]


@every_endpoint
def test_openapi_describes_what_is_documented(endpoint: Endpoint) -> None:
    described = described_paths()[endpoint.path][endpoint.method.lower()]

    parameters = {each["name"] for each in described["parameters"] if each["in"] == "query"}
    assert set() == endpoint.query.keys() - parameters
    assert str(endpoint.success) in described["responses"]
    if endpoint.body:
        body = described["requestBody"]["content"]["application/json"]["schema"]
        # Preferences are free.
        assert set() == endpoint.body.keys() - body.get("properties", endpoint.body).keys()


@cache
def described_paths() -> dict[str, Any]:
    executor = rest_executor()
    paths: dict[str, Any] = openapi.document(documents.load(executor), executor.schema)["paths"]
    return paths


@pytest.mark.parametrize("page", PAGES)
async def test_the_documented_pages_are_served(server: Served, page: str) -> None:
    async with server.http(None) as client:
        assert 200 == (await client.get(page)).status_code


async def test_the_history_of_a_task_tells_its_details(world: World) -> None:
    task_id = await world.the("running_task_id")
    response = await world.client.get(f"/api/tasks/{task_id}/history")
    events = {event["action"]: event["details"] for event in response.json()["data"]["history"]}

    assert [] == misfits(tasks.HISTORY_DETAILS, events)


async def test_pages_are_linked(world: World) -> None:
    for _ in range(3):
        await world.task_of("true")
    path = await world.filled("/api/projects/{project_id}/tasks?page=2&page_size=1")
    response = await world.client.get(path)

    assert [] == misfits(LINKED_PAGE, response.json()["data"])
