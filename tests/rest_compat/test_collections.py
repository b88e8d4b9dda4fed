"""The collections that Postman and Insomnia import."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from rest_compat.routes import TABLE
from tests.fixtures.server import Served

ROWS = sorted((row.method, row.path) for row in TABLE)


@pytest.fixture
async def client(sqlite_server: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with sqlite_server.http(None) as client:
        yield client


@pytest.fixture
async def postman(client: httpx2.AsyncClient) -> Any:
    return (await client.get("/docs/postman_collection.json")).json()


@pytest.fixture
async def insomnia(client: httpx2.AsyncClient) -> list[Any]:
    export = (await client.get("/docs/insomnia_collection.json")).json()
    assert ("export", 4) == (export["_type"], export["__export_format"])
    resources: list[Any] = export["resources"]
    return resources


def of_postman(postman: Any) -> dict[str, Any]:
    """The items by name."""
    return {item["name"]: item for folder in postman["item"] for item in folder["item"]}


def of_insomnia(insomnia: list[Any]) -> dict[str, Any]:
    """The requests by name."""
    return {one["name"]: one for one in insomnia if one["_type"] == "request"}


def documented(path: str) -> str:
    """`/api/tasks/:task_id` in the spelling of the table."""
    return "/".join(f"{{{part[1:]}}}" if part.startswith(":") else part for part in path.split("/"))


def test_postman_has_every_row(postman: Any) -> None:
    requests = [item["request"] for item in of_postman(postman).values()]

    assert "v2.1.0" in postman["info"]["schema"]
    assert ROWS == sorted(
        (one["method"], documented(one["url"]["raw"].removeprefix("{{base_url}}")))
        for one in requests
    )
    assert [one["url"]["raw"] for one in requests] == [
        "/".join([*one["url"]["host"], *one["url"]["path"]]) for one in requests
    ]


def test_postman_asks_this_server_with_the_token_of_the_last_login(
    sqlite_server: Served, postman: Any
) -> None:
    variables = {variable["key"]: variable["value"] for variable in postman["variable"]}
    script = of_postman(postman)["Login"]["event"][0]["script"]["exec"][0]

    assert {"base_url": sqlite_server.url, "token": ""} == variables
    assert "{{token}}" == postman["auth"]["bearer"][0]["value"]
    assert "collectionVariables.set('token'" in script


def test_postman_has_words_for_every_request(postman: Any) -> None:
    items = of_postman(postman)

    body = json.loads(items["Create task"]["request"]["body"]["raw"])
    assert "Implement user authentication" == body["title"]
    assert "task_id" == items["Get task"]["request"]["url"]["variable"][0]["key"]
    query = {word["key"]: word for word in items["List tasks"]["request"]["url"]["query"]}
    assert "pending" == query["status"]["value"]
    assert query["status"]["disabled"]


def test_insomnia_has_every_row(insomnia: list[Any]) -> None:
    requests = of_insomnia(insomnia).values()

    assert ROWS == sorted(
        (one["method"], documented(one["url"].removeprefix("{{ _.base_url }}"))) for one in requests
    )


def test_insomnia_finds_the_parent_of_everything(insomnia: list[Any]) -> None:
    ids = [one["_id"] for one in insomnia]

    assert len(ids) == len(set(ids))
    assert {None, *ids} >= {one["parentId"] for one in insomnia}


def test_insomnia_asks_this_server_with_a_token(sqlite_server: Served, insomnia: list[Any]) -> None:
    environment = next(one for one in insomnia if one["_type"] == "environment")
    request = of_insomnia(insomnia)["Create task"]

    assert {"base_url": sqlite_server.url, "token": ""} == environment["data"]
    assert {"type": "bearer", "token": "{{ _.token }}"} == request["authentication"]
    assert "Implement user authentication" == json.loads(request["body"]["text"])["title"]
