"""Who may do what: each root field says it, and it is asked before anything is done."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_object_type,
    is_required_argument,
    is_required_input_field,
)

from db.actors import PERMISSIONS
from db.types import Permission, Role
from tests.fixtures.server import Served

FOR_EVERYONE = {"Query.health", "Query.detailedHealth", "Mutation.login", "Mutation.refreshToken"}
FOR_ADMINISTRATORS = {
    "Query.accounts",
    "Mutation.createUser",
    "Mutation.updateUser",
    "Mutation.pauseQueue",
    "Mutation.resumeQueue",
    "Mutation.notify",
    "Mutation.startMaintenance",
    "Mutation.endMaintenance",
}
# What concerns nobody else but oneself.
FOR_VIEWERS = {
    "Mutation.changePassword",
    "Mutation.updatePreferences",
    "Mutation.removeProjectMember",
    "Mutation.createSession",
    "Mutation.touchSession",
    "Mutation.updateSession",
    "Mutation.deleteSession",
    "Mutation.restoreSession",
    "Mutation.acknowledgeNotification",
}
FOR_EXECUTION = {
    "Mutation.executeTask",
    "Mutation.retryTask",
    "Mutation.cancelTask",
    "Mutation.executeCommand",
    "Mutation.cancelRun",
    "Mutation.createSchedule",
    "Mutation.updateSchedule",
    "Mutation.removeSchedule",
    "Mutation.clearQueue",
    "Mutation.setQueuePriority",
    "Mutation.sendMessage",
    "Mutation.interruptRun",
    "Mutation.answerApproval",
}
VALUES = {"ID": '"x"', "String": '"x"', "Int": "1", "Boolean": "true", "JSON": "{}",
          "DateTime": '"2026-01-31T12:00:00Z"'}  # fmt: skip


@pytest.fixture
def server(shared_server: Served) -> Served:
    return shared_server


async def test_each_root_field_asks_for_what_it_needs(server: Served) -> None:
    wrong = {
        name: sorted(permissions)
        for name, permissions in asked(server.app.services.graphql.schema).items()
        if permissions != expected(name)
    }

    assert {} == wrong


async def test_who_may_not_is_refused_before_anything_is_done(server: Served) -> None:
    schema = server.app.services.graphql.schema
    found, wanted = {}, {}
    for name, permissions in asked(schema).items():
        if name.startswith("Subscription") or not permissions:
            continue
        wanted[name, "nobody"] = "AUTH_TOKEN_MISSING"
        found[name, "nobody"] = await code_of(server, document(schema, name), None)
        for role in Role:
            if not permissions <= PERMISSIONS[role]:
                wanted[name, role] = "AUTH_INSUFFICIENT_PERMISSIONS"
                found[name, role] = await code_of(server, document(schema, name), role)

    assert wanted == found


def expected(name: str) -> set[Permission]:
    if name in FOR_EVERYONE:
        return set()
    if name in FOR_ADMINISTRATORS:
        return {Permission.ADMINISTER}
    if not name.startswith("Mutation") or name in FOR_VIEWERS:
        return {Permission.READ}
    return {Permission.EXECUTE if name in FOR_EXECUTION else Permission.WRITE}


def asked(schema: GraphQLSchema) -> dict[str, set[Permission]]:
    """What each root field asks of its caller."""
    return {
        f"{root}.{name}": {
            asks.permission for asks in field.extensions["strawberry-definition"].permission_classes
        }
        for root in roots(schema)
        for name, field in root.fields.items()
    }


def roots(schema: GraphQLSchema) -> Iterator[GraphQLObjectType]:
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        assert root
        yield root


def document(schema: GraphQLSchema, name: str) -> str:
    """The smallest operation with this field."""
    root, _, field_name = name.partition(".")
    field = next(one for one in roots(schema) if str(one) == root).fields[field_name]
    needed = {word: arg.type for word, arg in field.args.items() if is_required_argument(arg)}
    words = ", ".join(f"{word}: {value_of(type_)}" for word, type_ in needed.items())
    shown = " { __typename }" if is_object_type(get_named_type(field.type)) else ""
    return f"{root.lower()} {{ {field_name}{f'({words})' if words else ''}{shown} }}"


def value_of(type_: Any) -> str:
    match get_nullable_type(type_) if isinstance(type_, GraphQLNonNull) else type_:
        case GraphQLList():
            return "[]"
        case GraphQLEnumType(values=values):
            return str(next(iter(values)))
        case GraphQLInputObjectType(fields=fields):
            needed = {
                word: one.type for word, one in fields.items() if is_required_input_field(one)
            }
            return f"{{{', '.join(f'{word}: {value_of(of)}' for word, of in needed.items())}}}"
        case scalar:
            return VALUES[str(scalar)]


async def code_of(server: Served, query: str, username: str | None) -> str:
    answer = await server.graphql(query, username)
    return str(answer["errors"][0]["extensions"]["code"]) if "errors" in answer else "done"
