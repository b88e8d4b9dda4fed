"""/openapi.json and what is made of it: Swagger UI, and collections for Postman and Insomnia."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from graph.assets import PACKAGES, Page
from graph.execution import Prepared
from graph.version import VERSION
from rest_compat import collections
from rest_compat.envelope import STATUS
from rest_compat.json_schema import (
    Schema,
    example_of,
    object_of,
    of_answer,
    of_request,
    without_null,
)
from rest_compat.routes import TABLE, Row
from rest_compat.variables import HERE, INPUT

STATIC = Path(__file__).parent / "static"
BEARER = "bearer"

page = Page(
    STATIC / "docs.html",
    (
        STATIC / "docs.js",
        PACKAGES / "swagger-ui-dist" / "swagger-ui.css",
        PACKAGES / "swagger-ui-dist" / "swagger-ui-bundle.js",
    ),
)

_ABOUT = """\
Projects and tasks of coding agents, the queues that run them, and what they print.

Sign in with `POST /api/auth/login`; whoever does so [here](/docs) is signed in from then on.
The same and more is in [GraphQL](/graphql). What happens meanwhile is told by GraphQL
subscriptions, and by `/ws/{session_id}`.
"""

_ALWAYS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_WITH_WORDS = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
_WITH_BODY = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)
_WITH_CHANGES = (HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY)

_TIMESTAMP = {"type": "string", "format": "date-time", "examples": ["2025-07-30T12:00:00Z"]}
_REQUEST_ID = {"type": "string", "examples": ["01981d6e-6c00-7000-8000-000000000002"]}
_VERSION = {"type": "string", "examples": [VERSION]}


def routes(operations: Mapping[str, Prepared], schema: GraphQLSchema) -> list[BaseRoute]:
    """`/openapi.json`, Swagger UI at `/docs` with its files, and the collections."""

    @cache
    def described() -> dict[str, Any]:
        return document(operations, schema)

    async def openapi(request: Request) -> Response:
        return _json(described())

    async def postman(request: Request) -> Response:
        return _json(collections.postman(described(), _origin(request)))

    async def insomnia(request: Request) -> Response:
        return _json(collections.insomnia(described(), _origin(request)))

    return [
        Route("/openapi.json", openapi),
        Route("/docs", page, methods=["GET"]),
        Route("/docs/postman_collection.json", postman),
        Route("/docs/insomnia_collection.json", insomnia),
        *page.routes(),
    ]


def document(
    operations: Mapping[str, Prepared], schema: GraphQLSchema, table: Iterable[Row] = TABLE
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a table."""
    paths: dict[str, dict[str, Any]] = {}
    for row in table:
        operation = _operation(row, operations[row.operation], schema)
        paths.setdefault(row.path, {})[row.method.lower()] = operation
    tags = {operation["tags"][0]: None for path in paths.values() for operation in path.values()}
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Claude CLI API", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{BEARER: []}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "securitySchemes": {BEARER: bearer},
            "headers": {"RequestId": {"schema": _REQUEST_ID}},
            "responses": {
                _name(status): _refusal(status, codes) for status, codes in _codes().items()
            },
        },
    }


def _operation(row: Row, prepared: Prepared, schema: GraphQLSchema) -> dict[str, Any]:
    words = of_request(schema, prepared)
    in_path = re.findall(r"{(\w+)}", row.path)
    others = [name for name in words["properties"] if name not in (*in_path, HERE)]
    in_query, in_body = (others, []) if row.method == "GET" else ([], others)
    operation: dict[str, Any] = {
        "operationId": row.operation,
        "summary": re.sub(r"\B(?=[A-Z])", " ", row.operation).capitalize(),
        "description": _purpose(prepared, schema),
        "tags": [row.path.split("/")[2]],
        "parameters": [
            *(_parameter("path", name, words) for name in in_path),
            *(_parameter("query", name, words) for name in in_query),
        ],
        "responses": {
            str(int(row.success)): _success(row.success, of_answer(schema, prepared)),
            **_refusals(
                *_ALWAYS,
                *(_WITH_WORDS if prepared.variables else ()),
                *(_WITH_BODY if in_body else ()),
                *(_WITH_CHANGES if row.method != "GET" else ()),
            ),
        },
    }
    if in_body:
        operation["requestBody"] = _body(in_body, words)
    if row.is_public:
        operation["security"] = [{BEARER: []}, {}]
    return operation


def _purpose(prepared: Prepared, schema: GraphQLSchema) -> str:
    """What the schema says of the field that is answered: the last one."""
    root = schema.get_root_type(prepared.operation.operation)
    last: Any = prepared.operation.selection_set.selections[-1]
    return (root and root.fields[last.name.value].description) or ""


def _parameter(place: str, name: str, words: Schema) -> dict[str, Any]:
    described = without_null(words["properties"][name])
    parameter = {
        "name": name,
        "in": place,
        "required": place == "path" or name in words["required"],
        "schema": described,
    }
    if "description" in described:
        parameter["description"] = described["description"]
    if place == "query":
        parameter["allowEmptyValue"] = True
    return parameter | ({"explode": False} if described.get("type") == "array" else {})


def _body(names: list[str], words: Schema) -> dict[str, Any]:
    if names == [INPUT]:
        free = {**words["properties"][INPUT], "type": "object"}
        return {"required": False, "content": _json_content(free)}
    required = [name for name in words["required"] if name in names]
    body = object_of({name: words["properties"][name] for name in names}, required)
    return {"required": bool(required), "content": _json_content(body)}


def _success(status: int, data: Schema) -> dict[str, Any]:
    meta = {"timestamp": _TIMESTAMP, "request_id": _REQUEST_ID, "version": _VERSION}
    return _response(HTTPStatus(status).phrase, data, {"type": "null"}, meta)


def _refusals(*statuses: HTTPStatus) -> dict[str, Any]:
    return {
        str(int(status)): {"$ref": f"#/components/responses/{_name(status)}"}
        for status in sorted(statuses)
    }


def _refusal(status: HTTPStatus, codes: list[str]) -> dict[str, Any]:
    error: dict[str, Schema] = {
        "code": {"type": "string", "enum": codes, "examples": codes[:1]},
        "message": {"type": "string", "examples": [status.phrase]},
        "details": {"type": "object", "examples": [{}]},
    }
    meta = {"timestamp": _TIMESTAMP, "request_id": _REQUEST_ID}
    return _response(status.phrase, {"type": "null"}, object_of(error, error), meta)


def _response(
    description: str, data: Schema, error: Schema, meta: Mapping[str, Schema]
) -> dict[str, Any]:
    envelope = {"data": data, "error": error, "meta": object_of(meta, meta)}
    return {
        "description": description,
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}},
        "content": _json_content(object_of(envelope, envelope)),
    }


def _json_content(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema, "example": example_of(schema)}}


def _codes() -> dict[HTTPStatus, list[str]]:
    """The error codes by their status; the first ones have theirs whatever the code says."""
    codes = {
        HTTPStatus.BAD_REQUEST: ["VALIDATION_ERROR"],
        HTTPStatus.REQUEST_TIMEOUT: ["VALIDATION_ERROR"],
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ["VALIDATION_ERROR"],
        HTTPStatus.INTERNAL_SERVER_ERROR: ["INTERNAL_ERROR"],
    }
    for code, status in STATUS.items():
        codes.setdefault(status, []).append(code)
    return codes


def _name(status: HTTPStatus) -> str:
    return status.phrase.title().replace(" ", "")


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _json(content: Any) -> Response:
    headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
    return Response(orjson.dumps(content), headers=headers, media_type="application/json")
