"""/openapi.json: the table, the variables and the selections, as OpenAPI 3.1."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLNonNull,
    GraphQLSchema,
    ObjectFieldNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_named_type,
    get_nullable_type,
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
# The codes that are answered with one status whatever the table of the envelope says.
_CODES = {
    HTTPStatus.BAD_REQUEST: ["VALIDATION_ERROR"],
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ["VALIDATION_ERROR"],
    HTTPStatus.INTERNAL_SERVER_ERROR: ["INTERNAL_ERROR"],
}

_META = {
    "timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2025-07-30T12:00:00Z"],
    },
    "request_id": {"type": "string", "examples": ["01981d6e-6c00-7000-8000-000000000002"]},
    "version": {"type": "string", "examples": [VERSION]},
}


def document(
    operations: Mapping[str, Prepared], schema: GraphQLSchema, table: Iterable[Row] = TABLE
) -> dict[str, Any]:
    """The OpenAPI document of the paths in the table."""
    paths: dict[str, dict[str, Any]] = {}
    for row in table:
        described = _operation(row, operations[row.operation], schema)
        paths.setdefault(row.path, {})[row.method.lower()] = described
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
            "headers": {"RequestId": {"schema": _META["request_id"]}},
            "responses": dict(_error_responses()),
        },
    }


def _operation(row: Row, prepared: Prepared, schema: GraphQLSchema) -> dict[str, Any]:
    words = _words(prepared, schema)
    in_path = {name: words.pop(name) for name in re.findall(r"{(\w+)}", row.path)}
    in_query, in_body = (words, {}) if row.method == "GET" else ({}, words)
    described: dict[str, Any] = {
        "operationId": row.operation,
        "summary": re.sub(r"(?<!^)(?=[A-Z])", " ", row.operation).capitalize(),
        "description": _purpose(prepared, schema),
        "tags": [row.path.split("/")[2]],
        "parameters": [
            *(_parameter("path", name, word) for name, word in in_path.items()),
            *(_parameter("query", name, word) for name, word in in_query.items()),
        ],
    }
    if in_body:
        described["requestBody"] = _request_body(in_body)
    if row.is_public:
        described["security"] = [{BEARER: []}, {}]
    statuses = (
        *_ALWAYS,
        *(_WITH_WORDS if prepared.variables else ()),
        *(_WITH_BODY if in_body else ()),
        *(_WITH_CHANGES if row.method != "GET" else ()),
    )
    described["responses"] = {
        str(int(row.success)): _success(row.success, of_answer(schema, prepared)),
        **{
            str(int(status)): {"$ref": f"#/components/responses/{_name(status)}"}
            for status in sorted(statuses)
        },
    }
    return described


class _Word(NamedTuple):
    """Something that a request may say."""

    type: Any
    schema: Schema
    is_required: bool


def _words(prepared: Prepared, schema: GraphQLSchema) -> dict[str, _Word]:
    """What the variables say of the words of a request; those of `input` are its fields."""
    meanings = _meanings(prepared, schema)
    words: dict[str, _Word] = {}
    for definition in prepared.operation.variable_definitions or ():
        name = definition.variable.name.value
        variable = prepared.variables[name]
        if name == INPUT:
            fields = get_named_type(variable.type).fields
            whole = of_input(variable.type, name)
            words |= {
                inner: _Word(fields[inner].type, described, inner in whole["required"])
                for inner, described in whole["properties"].items()
            }
            continue
        described = of_input(variable.type, name) | meanings.get(name, {})
        if definition.default_value:
            described["default"] = value_from_ast_untyped(definition.default_value)
        is_required = isinstance(variable.type, GraphQLNonNull) and not variable.has_default
        words[name] = _Word(variable.type, described, is_required)
    return words


