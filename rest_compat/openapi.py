"""/openapi.json: the table, the variables and the selections, as OpenAPI 3.1."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from graphql import (
    ArgumentNode,
    GraphQLSchema,
    ObjectFieldNode,
    OperationType,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_named_type,
    is_input_object_type,
    value_from_ast_untyped,
    visit,
)

from graph.execution import Prepared
from graph.system import VERSION
from rest_compat.envelope import STATUS
from rest_compat.routes import TABLE, Row
from rest_compat.shapes import Schema, example_of, object_of, of_answer, of_input
from rest_compat.variables import INPUT

BEARER = "bearer"

_ABOUT = """\
Projects and tasks of coding agents, the queues that run them, and what they print.

Sign in with `POST /api/auth/login`: this page then sends the token with every request.
The same and more is in [GraphQL](/graphql); live updates come over it, and over `/ws/{session_id}`.
"""

# What does not depend on a code: bodies that can't be read, and what nobody expected.
_CODES: dict[HTTPStatus, list[str]] = {
    HTTPStatus.BAD_REQUEST: ["VALIDATION_ERROR"],
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ["VALIDATION_ERROR"],
    HTTPStatus.INTERNAL_SERVER_ERROR: ["INTERNAL_ERROR"],
}
for _code, _status in STATUS.items():
    _CODES.setdefault(_status, []).append(_code)

_ALWAYS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_WITH_WORDS = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
_WITH_BODY = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
_WITH_CHANGES = (HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY)


def document(
    operations: Mapping[str, Prepared], schema: GraphQLSchema, table: Iterable[Row] = TABLE
) -> dict[str, Any]:
    """The OpenAPI document of the paths in the table."""
    paths: dict[str, dict[str, Any]] = {}
    for row in table:
        described = _operation(row, operations[row.operation], schema)
        paths.setdefault(row.path, {})[row.method.lower()] = described
    tags = {operation["tags"][0]: None for path in paths.values() for operation in path.values()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Claude CLI API", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{BEARER: []}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "securitySchemes": {
                BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "headers": {"RequestId": _request_id()},
            "schemas": {"Meta": _meta()},
            "responses": {_name(status): _refusal(status, _CODES[status]) for status in _CODES},
        },
    }


def _operation(row: Row, prepared: Prepared, schema: GraphQLSchema) -> dict[str, Any]:
    words = _words(prepared, schema)
    in_path = {name: words.pop(name) for name in re.findall(r"{(\w+)}", row.path)}
    in_query = words if row.method == "GET" else {}
    body = words if row.method != "GET" else {}
    described = {
        "operationId": row.operation,
        "summary": re.sub(r"(?<!^)(?=[A-Z])", " ", row.operation).capitalize(),
        "description": _purpose(prepared, schema),
        "tags": [row.path.split("/")[2]],
        "parameters": [
            *(_parameter("path", name, word) for name, word in in_path.items()),
            *(_parameter("query", name, word) for name, word in in_query.items()),
        ],
        "responses": {
            str(int(row.success)): _success(row.success, of_answer(schema, prepared)),
            **_refusals(row, has_words=bool(prepared.variables), has_body=bool(body)),
        },
    }
    if body:
        described["requestBody"] = _request_body(body)
    if row.is_public:
        described["security"] = [{BEARER: []}, {}]
    return described
