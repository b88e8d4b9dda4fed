"""One handler for every row: what it takes, and what it answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from graph.http import LARGEST_BODY
from rest_compat.endpoint import Endpoint
from rest_compat.routes import Row
from tests.rest_compat.small import TOKEN, SmallServices, serving

OPERATIONS = """
query GetTotal { total }
query ListThings($color: [Color!], $page: Int! = 1) {
  data: things(color: $color, page: $page) { id note }
}
query GetThing($thing_id: ID!) { data: thing(thing_id: $thing_id) { id title color } }
query GetBroken { data: broken }
mutation MakeThing($input: ThingInput!) { data: make(thing: $input) { id title extra } }
mutation RemoveThing($thing_id: ID!, $confirm: Boolean) {
  data: remove(thing_id: $thing_id, confirm: $confirm) { id note }
}
mutation WakeThing($thing_id: ID!) { data: remove(thing_id: $thing_id) { id } }
"""
TABLE = (
    Row("GET", "/api/total/", "GetTotal", is_public=True),
    Row("GET", "/api/broken", "GetBroken"),
    Row("GET", "/api/things/", "ListThings"),
    Row("POST", "/api/things/", "MakeThing", 201),
    Row("GET", "/api/things/{thing_id}", "GetThing"),
    Row("DELETE", "/api/things/{thing_id}", "RemoveThing"),
    Row("POST", "/api/things/{thing_id}/wake", "WakeThing"),
)


@pytest_asyncio.fixture(scope="module")
async def address() -> AsyncIterator[str]:
    """Where the endpoint listens."""
    services = SmallServices()
    operations = {row.operation: services.rest.prepare(OPERATIONS, row.operation) for row in TABLE}
    async with serving(Endpoint(services, operations, TABLE)) as address:
        yield address


@pytest_asyncio.fixture(scope="module")
async def stranger(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Someone who has no token."""
    async with httpx2.AsyncClient(base_url=f"http://{address}") as client:
        yield client


@pytest_asyncio.fixture(scope="module")
async def client(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Someone who is signed in."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(base_url=f"http://{address}", headers=headers) as client:
        yield client


def error_of(response: httpx2.Response) -> dict[str, Any]:
    answer = response.json()
    assert answer["data"] is None
    error: dict[str, Any] = answer["error"]
    return error


async def test_an_operation_answers_a_row(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/7")

    assert 200 == response.status_code
    assert {"id": "7", "title": "a thing", "color": "red"} == response.json()["data"]
    assert "application/json" == response.headers["content-type"]
    assert "no-store" == response.headers["cache-control"]


async def test_success_has_the_status_of_its_row(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/things", json={"title": "b", "limits": {"most": 3}})

    assert 201 == response.status_code
    assert {"title": "b", "limits": {"most": 3}} == response.json()["data"]["extra"]


async def test_words_come_from_the_query(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/?color=red,green&page=2&unknown=1")

    assert "colors ['red', 'green'] page 2" == response.json()["data"][0]["note"]


async def test_a_word_without_a_value_is_absent(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/?color=&page=")

    assert "colors [] page 1" == response.json()["data"][0]["note"]


async def test_the_body_of_a_delete_is_read(client: httpx2.AsyncClient) -> None:
    response = await client.request("DELETE", "/api/things/7", json={"confirm": True})

    assert "confirm True" == response.json()["data"]["note"]


@pytest.mark.parametrize("content", [b"", b"  \n", b"{}"])
async def test_no_body_is_an_empty_object(client: httpx2.AsyncClient, content: bytes) -> None:
    response = await client.request("DELETE", "/api/things/7", content=content)

    assert 200 == response.status_code


async def test_a_body_that_nobody_needs_is_not_read(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/things/7/wake", content=b"{not json")

    assert 200 == response.status_code


async def test_a_head_is_a_get_without_its_body(client: httpx2.AsyncClient) -> None:
    response = await client.head("/api/things/7")
    again = await client.get("/api/things/7", headers={"X-Request-ID": "-" * 36})

    assert 200 == response.status_code
    assert b"" == response.content
    assert len(again.content) == int(response.headers["content-length"])


async def test_a_request_keeps_its_id(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/7", headers={"X-Request-ID": "abc-1.2_3"})

    assert "abc-1.2_3" == response.headers["x-request-id"]
    assert "abc-1.2_3" == response.json()["meta"]["request_id"]


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "a" * 129])
async def test_an_odd_request_id_is_replaced(client: httpx2.AsyncClient, given: str) -> None:
    response = await client.get("/api/things/7", headers={"X-Request-ID": given})

    assert 36 == len(response.headers["x-request-id"])


async def test_a_problem_is_answered_with_its_code(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/things/unknown")

    assert 404 == response.status_code
    assert {
        "code": "RESOURCE_NOT_FOUND",
        "message": "The thing does not exist.",
        "details": {"id": "unknown"},
    } == error_of(response)


async def test_wrong_words_name_their_field(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/things/", json={"title": "b", "limits": {"most": "x"}})

    assert 422 == response.status_code
    assert "VALIDATION_INVALID_FORMAT" == error_of(response)["code"]
    assert "limits.most" == error_of(response)["details"]["field"]


async def test_an_accident_is_masked(client: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        response = await client.get("/api/broken")

    assert ["a resolver failed"] == [entry["event"] for entry in logs]
    assert 500 == response.status_code
    assert "INTERNAL_ERROR" == error_of(response)["code"]
    assert "secret" not in response.text


async def test_an_accident_outside_of_the_schema_is_masked(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rest_compat.variables.collect", lambda *_: 1 / 0)

    with capture_logs() as logs:
        response = await client.get("/api/things/7")

    assert ["a request failed"] == [entry["event"] for entry in logs]
    assert 500 == response.status_code
    assert "INTERNAL_ERROR" == error_of(response)["code"]
    assert "zero" not in response.text


@pytest.mark.parametrize("path", ["/api/nothing", "/api/things/1/2/3", "/"])
async def test_an_unknown_path_is_not_found(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert 404 == response.status_code
    assert "RESOURCE_NOT_FOUND" == error_of(response)["code"]


async def test_a_wrong_method_names_the_right_ones(client: httpx2.AsyncClient) -> None:
    response = await client.put("/api/things/7", json={})

    assert 405 == response.status_code
    assert "METHOD_NOT_ALLOWED" == error_of(response)["code"]
    assert "DELETE, GET, HEAD" == response.headers["allow"]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "AUTH_TOKEN_MISSING"),
        (b"Bearer bad", "AUTH_TOKEN_INVALID"),
        (b"Bearer", "AUTH_TOKEN_INVALID"),
        (b"Basic Z29vZA==", "AUTH_TOKEN_INVALID"),
        (b"Bearer \xff", "AUTH_TOKEN_INVALID"),
    ],
)
async def test_a_caller_must_be_known_before_anything_else(
    stranger: httpx2.AsyncClient, authorization: bytes | None, code: str
) -> None:
    headers = [(b"Authorization", authorization)] if authorization else []
    response = await stranger.post("/api/things/", content=b"{not json", headers=headers)

    assert 401 == response.status_code
    assert code == error_of(response)["code"]
    assert "Bearer" == response.headers["www-authenticate"]


@pytest.mark.parametrize("authorization", [None, "Bearer bad", "Bearer"])
async def test_a_public_row_does_not_ask_who_calls(address: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with httpx2.AsyncClient(base_url=f"http://{address}", headers=headers) as client:
        response = await client.get("/api/total")

    assert {"total": 7} == response.json()["data"]


@pytest.mark.parametrize(
    ("content", "issue"),
    [
        (b'{"title": }', "Malformed JSON: unexpected character"),
        (b'{"title": "\xff"}', "Malformed JSON: "),
        (b'{"title": NaN}', "Malformed JSON: "),
        (b'{"a":' * 5000, "Malformed JSON: "),
        (b"title=a", "Malformed JSON: "),
        (b"[]", "The body must be a JSON object"),
        (b"null", "The body must be a JSON object"),
        (b"1", "The body must be a JSON object"),
        (b'"title"', "The body must be a JSON object"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    client: httpx2.AsyncClient, content: bytes, issue: str
) -> None:
    response = await client.post("/api/things/", content=content)

    assert 400 == response.status_code
    assert "VALIDATION_ERROR" == error_of(response)["code"]
    assert error_of(response)["details"]["issue"].startswith(issue)


async def test_malformed_json_names_the_position(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/things/", content=b'{"title": }')

    assert 10 == error_of(response)["details"]["position"]


async def test_a_body_that_is_too_large_is_refused(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/things/", content=b"x" * (LARGEST_BODY + 1))

    assert 413 == response.status_code
    assert LARGEST_BODY == error_of(response)["details"]["max_length"]


async def test_a_body_may_come_in_pieces(client: httpx2.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"tit'
        yield b'le": "in pieces"}'

    response = await client.post("/api/things/", content=pieces())

    assert "in pieces" == response.json()["data"]["title"]


async def test_a_client_that_leaves_is_not_answered(
    address: str, stranger: httpx2.AsyncClient
) -> None:
    host, port = address.split(":")
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /api/things/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"
            b'Content-Length: 100\r\n\r\n{"title":'
        )
        writer.close()
        await writer.wait_closed()
        response = await stranger.get("/api/total")

    assert 200 == response.status_code
    assert [] == logs
