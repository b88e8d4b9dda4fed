"""The table as OpenAPI; `pages/test_browser.py` uses it."""

import re
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import schemathesis

from graph.schema import rest_executor
from rest_compat import documents, openapi
from rest_compat.routes import TABLE, Row
from tests.fixtures.server import PASSWORD, Served

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    executor = rest_executor()
    return openapi.document(documents.load(executor), executor.schema)


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def parameters_of(operation: Operation) -> dict[str, Any]:
    return {parameter["name"]: parameter for parameter in operation["parameters"]}


def body_of(operation: Operation) -> Any:
    return operation["requestBody"]["content"]["application/json"]["schema"]


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()

    assert "3.1.0" == document["openapi"]


def test_every_row_is_in_it_once(document: dict[str, Any]) -> None:
    described = [
        (method, path, operation["operationId"])
        for method, path, operation in operations_of(document)
    ]

    assert sorted((row.method, row.path, row.operation) for row in TABLE) == sorted(described)


def test_no_two_operations_share_an_id(document: dict[str, Any]) -> None:
    ids = Counter(operation["operationId"] for *_, operation in operations_of(document))

    assert [] == [name for name, count in ids.items() if count > 1]


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    contents = [
        content
        for place in [
            *(operation.get("requestBody", {}) for *_, operation in operations_of(document)),
            *document["components"]["responses"].values(),
            *(
                response
                for *_, operation in operations_of(document)
                for response in operation["responses"].values()
            ),
        ]
        for content in place.get("content", {}).values()
    ]

    assert contents
    assert [] == [
        content["example"]
        for content in contents
        if not jsonschema_rs.is_valid(content["schema"], content["example"])
    ]


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    silent = [path for _, path, operation in operations_of(document) if not operation["summary"]]
    silent += [
        path for _, path, operation in operations_of(document) if not operation["description"]
    ]

    assert [] == silent


def test_words_of_the_path_are_required(document: dict[str, Any]) -> None:
    for _, path, operation in operations_of(document):
        named = set(re.findall(r"{(\w+)}", path))
        described = [one for one in operation["parameters"] if one["in"] == "path"]

        assert named == {one["name"] for one in described}
        assert all(one["required"] for one in described)


def test_words_of_the_query_are_described(document: dict[str, Any]) -> None:
    words = parameters_of(document["paths"]["/api/tasks/"]["get"])

    statuses = ["pending", "running", "completed", "failed", "cancelled"]
    assert {"query"} == {word["in"] for word in words.values()}
    assert not any(word["required"] for word in words.values())
    assert statuses == words["status"]["schema"]["items"]["enum"]
    assert words["status"]["explode"] is False
    assert 50 == words["page_size"]["schema"]["default"]
    assert "At least this priority." == words["priority"]["description"]
    assert "date-time" == words["created_after"]["schema"]["format"]


def test_the_input_is_the_body(document: dict[str, Any]) -> None:
    body = body_of(document["paths"]["/api/tasks/"]["post"])

    assert ["project_id", "title"] == sorted(body["required"])
    assert {"metadata", "tags", "estimated_duration"} < body["properties"].keys()
    assert ["string", "null"] == body["properties"]["estimated_duration"]["type"]


def test_a_body_that_may_be_left_out_is_not_required(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/tasks/{task_id}/execute"]["post"]

    assert operation["requestBody"]["required"] is False
    assert {"priority", "options"} == body_of(operation)["properties"].keys()


def test_a_row_without_words_has_no_body(document: dict[str, Any]) -> None:
    assert "requestBody" not in document["paths"]["/api/auth/refresh"]["post"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.operation)
def test_a_token_is_needed_unless_the_row_is_public(document: dict[str, Any], row: Row) -> None:
    operation = document["paths"][row.path][row.method.lower()]

    optional: list[Any] = [{"bearer": []}, {}]
    assert (optional if row.is_public else None) == operation.get("security")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.operation)
def test_errors_have_the_documented_envelope(document: dict[str, Any], row: Row) -> None:
    responses = document["paths"][row.path][row.method.lower()]["responses"]
    statuses = [int(status) for status in responses if int(status) != row.success]

    assert {401, 403, 429, 500, 503} <= set(statuses)
    for status in statuses:
        name = responses[str(status)]["$ref"].removeprefix("#/components/responses/")
        described = document["components"]["responses"][name]
        assert HTTPStatus(status).phrase == described["description"]
        schema = described["content"]["application/json"]["schema"]
        assert ["code", "message", "details"] == schema["properties"]["error"]["required"]


async def test_answers_are_as_described(sqlite_server: Served, document: dict[str, Any]) -> None:
    strays: list[str] = []

    async def ask(method: str, path: str, *, json: Any = None, **words: str) -> Any:
        request = {} if json is None else {"json": json}
        response = await client.request(method, path.format(**words), **request)
        described = document["paths"][path][method.lower()]["responses"][str(response.status_code)]
        if "$ref" in described:
            strays.append(f"{method} {path}: {response.text}")
        schema = described["content"]["application/json"]["schema"]
        strays.extend(
            f"{method} {path}: {error.message}"
            for error in jsonschema_rs.validator_for(schema).iter_errors(response.json())
        )
        return response.json()["data"]

    async with sqlite_server.http("developer") as client:
        credentials = {"username": "developer", "password": PASSWORD}
        await ask("POST", "/api/auth/login", json=credentials)
        await ask("POST", "/api/auth/refresh")
        await ask("GET", "/api/health/")
        project = await ask("POST", "/api/projects/", json={"name": "P"})
        work = {"title": "T", "project_id": project["id"], "metadata": {"command": "echo hi"}}
        task = await ask("POST", "/api/tasks/", json=work)
        await ask("POST", "/api/tasks/{task_id}/execute", task_id=task["id"])
        command = await ask("POST", "/api/commands/execute", json={"command": "echo hi"})
        await ask("GET", "/api/commands/{command_id}/status", command_id=command["command_id"])
        await ask("GET", "/api/commands/running")
        await ask("GET", "/api/tasks/")
        await ask("GET", "/api/tasks/{task_id}", task_id=task["id"])
        await ask("GET", "/api/tasks/{task_id}/history", task_id=task["id"])
        await ask("GET", "/api/projects/")
        await ask("GET", "/api/projects/{project_id}", project_id=project["id"])

    assert [] == strays


async def test_refusals_are_as_described(sqlite_server: Served, document: dict[str, Any]) -> None:
    async with sqlite_server.http() as client, sqlite_server.http(None) as stranger:
        answers: list[tuple[str, httpx2.Response]] = [
            ("BadRequest", await client.post("/api/tasks/", content=b"{")),
            ("Unauthorized", await stranger.get("/api/tasks/")),
            ("NotFound", await client.get("/api/tasks/unknown")),
            ("UnprocessableEntity", await client.post("/api/tasks/", json={})),
        ]

    for name, response in answers:
        described = document["components"]["responses"][name]
        schema = described["content"]["application/json"]["schema"]
        assert described["description"] == HTTPStatus(response.status_code).phrase
        assert jsonschema_rs.is_valid(schema, response.json()), response.text


async def test_the_document_is_served(sqlite_server: Served, document: dict[str, Any]) -> None:
    async with sqlite_server.http(None) as client:
        response = await client.get("/openapi.json")

    assert document == response.json()
    assert "application/json" == response.headers["content-type"]


async def test_swagger_ui_is_served_with_all_its_files(sqlite_server: Served) -> None:
    async with sqlite_server.http(None) as client:
        page = await client.get("/docs")
        addresses = re.findall('(?:src|href)="(/static/.*?)"', page.text)
        answers = [await client.get(address) for address in addresses]

    assert "text/html; charset=utf-8" == page.headers["content-type"]
    assert [200] * 3 == [answer.status_code for answer in answers]
